"""The files of a diffusers pipeline, from a weights folder or the hub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.utils import HFValidationError, validate_repo_id

from rosetta.errors import InvalidRequest
from workers.zoo import hub
from workers.zoo.locations import Locations

# A pipeline has a folder a component; the oldest published ones have all in one.
INDEX = ("model_index.json",)
UNET = ("unet/config.json", "config.json")
SCHEDULER = ("scheduler/scheduler_config.json", "scheduler_config.json")
WEIGHTS = tuple(
    f"{folder}diffusion_pytorch_model.{kind}" for folder in ("unet/", "") for kind in ("safetensors", "bin")
)


@dataclass(frozen=True)
class PipelineFiles:
    """Where one pipeline's files are, all in one place.

    Attributes:
        name: the pipeline's on the hub, `owner/name`.
        locations: where files may lie.
        folder: the pipeline's inside a weights folder; None: it is on the hub or in its cache.
    """

    name: str
    locations: Locations
    folder: Path | None

    @classmethod
    def of(cls, name: str, locations: Locations) -> PipelineFiles:
        """The files of a pipeline.

        Raises:
            InvalidRequest: when it is no name of a pipeline.
        """
        try:
            validate_repo_id(name)
        except HFValidationError:
            raise InvalidRequest(
                f"'{name}' is no name of a pipeline: write diffusers:OWNER/NAME, as on the hub and inside a weights "
                "folder",
                source=f"diffusers:{name}",
            ) from None
        folders = (folder / name for folder in locations.folders)
        return cls(name, locations, next((folder for folder in folders if _first(folder, UNET)), None))

    def config(self, names: Sequence[str]) -> tuple[Path, dict[str, Any]]:
        """A configuration: its file and its content.

        Raises:
            InvalidRequest: when it is nowhere, or no JSON object.
        """
        place = (self.locations.folders[0] if self.locations.folders else Path("$ROSETTA_WEIGHTS_DIRS")) / self.name
        file = self._file(names, f"put the pipeline's files into {place} as on the hub")
        try:
            content = json.loads(file.read_bytes())
        except (ValueError, RecursionError) as error:
            raise self.refusal(f"its {file.name} is broken ({error}): copy or download it again") from error
        if not isinstance(content, dict):
            raise self.refusal(f"its {file.name} is no configuration: copy or download it again")
        return file, content

    def index(self) -> dict[str, Any]:
        """What the pipeline consists of; empty where a weights folder does not say it."""
        return {} if self.folder and not _first(self.folder, INDEX) else self.config(INDEX)[1]

    def weights(self) -> Path:
        """The UNet's weights: the given file, else the pipeline's.

        Raises:
            InvalidRequest: when they are nowhere.
        """
        return self.locations.given or self._file(WEIGHTS, self.locations.mend(WEIGHTS[0], self.name, self.name))

    def refusal(self, reason: str) -> InvalidRequest:
        """The error of a pipeline that cannot be used."""
        return InvalidRequest(f"diffusers:{self.name}: {reason}", source=f"diffusers:{self.name}")

    def _file(self, names: Sequence[str], mend: str) -> Path:
        if self.folder is None:
            return hub.repository_file(self.name, names, mend)
        if found := _first(self.folder, names):
            return found
        raise self.refusal(f"there is no {names[0]} in '{self.folder}': {mend}")


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)
