"""The one reader of the environment: `ROSETTA_*`, then `rosetta.toml`, then defaults."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from rosetta.errors import InvalidRequest
from rosetta.local import default_data_dir

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"(?i)\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*")


def parse_bytes(text: str) -> int:
    """The number of bytes that `8GiB`, `512M` or `1000` stand for (units are powers of 1024).

    Raises:
        InvalidRequest: when the text is no size.
    """
    match = _SIZE.fullmatch(text)
    if not match:
        raise InvalidRequest(f"'{text}' is not a size: write it like 8GiB or 512MiB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


class Settings(BaseSettings):
    """All settings, from `ROSETTA_<NAME>` or `rosetta.toml`."""

    model_config = SettingsConfigDict(
        env_prefix="ROSETTA_", toml_file="rosetta.toml", extra="ignore", frozen=True, env_ignore_empty=True
    )

    database_url: str | None = Field(None, description="Postgres with pgvector; unset: the embedded server")
    broker_url: str | None = Field(None, description="Redis; unset: the embedded server")
    data_dir: Path = Field(default_factory=default_data_dir, description="uploads, embedded servers, logs")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    memory_budget: int = Field(
        default_factory=lambda: os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4,
        description="bytes that mining may use beside the models, such as 8GiB (default: a quarter of the memory)",
    )
    api_keys: Annotated[tuple[str, ...], NoDecode] = Field((), description="comma-separated; needed beyond loopback")
    weights_dirs: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="folders a request may name weights in, colon-separated; uploads always are"
    )
    max_weights_bytes: int = Field(8 * 2**30, description="the largest weight file taken, such as 8GiB")
    max_image_bytes: int = Field(64 * 2**20, description="the largest image file taken, such as 64MiB")
    pictures_bytes: int = Field(2 * 2**30, description="what kept heat maps may take on disk, such as 2GiB")
    stored_maps_bytes: int = Field(4 * 2**30, description="what coarse maps for times without a worker may take")
    lease_s: float = Field(30.0, description="a worker that is silent for so long has lost its part")
    sweep_s: float = Field(5.0, description="how often lost parts are looked for")
    stale_s: float = Field(60.0, description="a queued part is rung again after so long")

    @field_validator(
        "memory_budget", "max_weights_bytes", "max_image_bytes", "pictures_bytes", "stored_maps_bytes", mode="before"
    )
    @classmethod
    def _bytes(cls, value: object) -> object:
        return parse_bytes(value) if isinstance(value, str) else value

    @field_validator("api_keys", mode="before")
    @classmethod
    def _keys(cls, value: object) -> object:
        return tuple(key.strip() for key in value.split(",") if key.strip()) if isinstance(value, str) else value

    @field_validator("weights_dirs", mode="before")
    @classmethod
    def _paths(cls, value: object) -> object:
        return tuple(value.split(os.pathsep)) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, and that over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def uploads_dir(self) -> Path:
        """Where uploaded weights lie, by digest."""
        return self.data_dir / "uploads"

    @property
    def images_dir(self) -> Path:
        """Where probe images lie, by digest."""
        return self.data_dir / "images"

    @property
    def queries_dir(self) -> Path:
        """Where images that are asked about lie for a day, by digest."""
        return self.data_dir / "queries"

    @property
    def pictures_dir(self) -> Path:
        """Where maps and generated images are kept while there is room."""
        return self.data_dir / "pictures"

    @property
    def thumbnails_dir(self) -> Path:
        """Where coarse maps and small generated images are kept while there is room."""
        return self.data_dir / "thumbnails"

    @property
    def checkpoints_dir(self) -> Path:
        """Where jobs that steer a generator keep where they are, and what they show meanwhile."""
        return self.data_dir / "checkpoints"

    @property
    def equivalents_dir(self) -> Path:
        """Where coefficients of translations between models lie, by digest."""
        return self.data_dir / "equivalents"

    @property
    def all_weights_dirs(self) -> tuple[Path, ...]:
        """The folders that a request may name weights in."""
        return (self.uploads_dir, *self.weights_dirs)


@cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
