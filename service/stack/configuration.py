"""Settings on their way: read with one clear line for what is wrong, handed to children, completed by a stack's."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from rosetta.errors import InvalidRequest, Unavailable
from service.settings import Settings
from service.stack import state


def load(data_dir: Path | None = None) -> Settings:
    """The settings of the environment and of rosetta.toml, with absolute paths.

    Args:
        data_dir: the data directory that the command line names.

    Raises:
        InvalidRequest: naming the setting that cannot be read.
    """
    try:
        settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"rosetta.toml cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]).upper()
        raise InvalidRequest(f"ROSETTA_{name} cannot be '{first['input']}': {first['msg']}") from error
    absolute = {
        "data_dir": settings.data_dir.expanduser().absolute(),
        "weights_dirs": tuple(folder.expanduser().absolute() for folder in settings.weights_dirs),
    }
    return settings.model_copy(update=absolute)


def variables(settings: Settings, **more: str) -> dict[str, str]:
    """The environment in which a child reads these very settings, wherever it runs."""
    given = {f"ROSETTA_{name.upper()}": _encode(getattr(settings, name)) for name in settings.model_fields_set}
    return {**os.environ, **given, "ROSETTA_DATA_DIR": str(settings.data_dir), **more}


def complete(settings: Settings, *, broker: bool = True) -> Settings:
    """The settings with both URLs: those given, else those of the stack that runs on the data directory.

    Args:
        settings: as they were read.
        broker: whether the broker's is needed too.

    Raises:
        Unavailable: when a URL is missing and no stack runs.
    """
    needed = {"database_url": "ROSETTA_DATABASE_URL", **({"broker_url": "ROSETTA_BROKER_URL"} if broker else {})}
    missing = [variable for name, variable in needed.items() if getattr(settings, name) is None]
    if not missing:
        return settings
    stack = state.running(settings.data_dir)
    if stack is None:
        raise Unavailable(
            f"{' and '.join(missing)} not set, and no stack runs on {settings.data_dir}: "
            "set what is missing, or start the local stack with `rosetta up`"
        )
    found: Mapping[str, str] = {"database_url": stack.database_url, "broker_url": stack.broker_url}
    return settings.model_copy(
        update={name: found[name] for name in needed if getattr(settings, name) is None},
    )


def _encode(value: object) -> str:
    if isinstance(value, tuple):
        return (os.pathsep if value and isinstance(value[0], Path) else ",").join(map(str, value))
    return str(value)
