"""Addresses of units: `model/layer:channel`, or a model and a unit number."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rosetta.errors import InvalidRequest

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_LAYER_CHANNEL = re.compile(r"(?P<layer>[^:\s]+):(?P<channel>\d{1,9})")
_NUMBER = re.compile(r"\d{1,9}")


@dataclass(frozen=True, slots=True)
class UnitReference:
    """A unit inside a model, before it is looked up: by number, or by layer and channel."""

    number: int | None = None
    layer: str | None = None
    channel: int | None = None

    def __str__(self) -> str:
        return str(self.number) if self.number is not None else f"{self.layer}:{self.channel}"


def parse_unit(text: str | int) -> UnitReference:
    """The unit that `214` or `main.8:45` names.

    Raises:
        InvalidRequest: when the text is neither.
    """
    text = str(text).strip()
    if _NUMBER.fullmatch(text):
        return UnitReference(number=int(text))
    if match := _LAYER_CHANNEL.fullmatch(text):
        return UnitReference(layer=match["layer"], channel=int(match["channel"]))
    raise InvalidRequest(f"'{text}' is not a unit: write its number (214) or layer:channel (main.8:45)", unit=text)


def parse_address(text: str) -> tuple[str, UnitReference]:
    """The model and unit of `model/layer:channel`, `model/214` or `model 214`.

    Raises:
        InvalidRequest: when the text has no model or no unit.
    """
    model, separator, unit = text.strip().replace(" ", "/", 1).partition("/")
    if not separator or not model:
        raise InvalidRequest(
            f"'{text}' is not an address: write model/layer:channel, or a model and a unit number", address=text
        )
    return model, parse_unit(unit)


def format_address(model: str, layer: str, channel: int) -> str:
    """The address `model/layer:channel`."""
    return f"{model}/{layer}:{channel}"


def check_model_name(name: str) -> str:
    """The name itself, when it is a slash-free slug.

    Raises:
        InvalidRequest: when it is not.
    """
    if not MODEL_NAME.fullmatch(name):
        raise InvalidRequest(
            f"'{name}' is not a name: use 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
            name=name,
        )
    return name
