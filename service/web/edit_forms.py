"""Edits in words, and edits from the fields of a form: what the editor sends where no script runs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

from rosetta.edits import Align, Box, ChangeUnit, CopyPaste, Edit, ImageReference, Shift, Zoom
from rosetta.errors import InvalidRequest

Fields = Mapping[str, str]

_PROBE_IMAGE = re.compile(r"(?P<probe>\S+)\s+(?P<position>\d{1,9})")
_CONCEPT = re.compile(r"concept\s+(?P<concept>\d{1,9})", re.IGNORECASE)


def describe(edit: Mapping[str, Any]) -> str:
    """What an edit of a recipe does, such as `shift by (8, 0)`; `editor-edits.js` says the same."""
    match edit.get("kind"):
        case "shift":
            return f"shift by {_place(edit['dx'], edit['dy'])}"
        case "zoom":
            around = f" around {_place(*edit['centre'])}" if edit.get("centre") else ""
            return f"zoom {_number(edit['factor'])}{around}"
        case "copy-paste":
            source = f" of {_image(edit['image'])}" if edit.get("image") else ""
            return f"copy {_box(edit['box'])}{source} to {_place(*edit['to'])}"
        case "unit":
            what = edit.get("unit") or f"concept {edit.get('concept')}"
            by = "" if edit["action"] == "remove" else f" by {_number(edit.get('amount', 2.0))}"
            where = f" in {_box(edit['box'])}" if edit.get("box") else ""
            return f"{'mute' if edit['action'] == 'remove' else edit['action']} {what}{by}{where}"
        case "align":
            strength = edit.get("strength", 1.0)
            part = "" if strength == 1 else f", strength {_number(strength)}"
            return f"align to {_image(edit['image'])}{part}"
    return str(edit.get("kind"))


def describe_image(reference: Mapping[str, Any]) -> str:
    """What an image reference of a recipe names."""
    return _image(reference)


def edits_of(fields: Fields, uploaded: str | None = None) -> list[Edit]:
    """The edits that the filled fields ask for, in their order in the form.

    Args:
        fields: by name; a form sends those that were left alone empty.
        uploaded: sha256 of the image to align to, where one was sent.

    Raises:
        InvalidRequest: when a field holds no number, half of an edit is missing, or nothing is asked for.
    """
    found: list[Edit] = []
    dx, dy = (number_of(fields, name) for name in ("dx", "dy"))
    if dx or dy:
        found.append(Shift(dx or 0.0, dy or 0.0))
    factor = number_of(fields, "factor")
    if factor is not None and factor != 1:
        found.append(Zoom(factor))
    box = _box_of(fields)
    to = [number_of(fields, name) for name in ("to_x", "to_y")]
    if any(value is not None for value in to):
        if box is None or to[0] is None or to[1] is None:
            raise InvalidRequest("a copy needs a box (x, y, width, height) and both numbers of where it goes")
        found.append(CopyPaste(box, (to[0], to[1])))
    if what := fields.get("other", "").strip() or fields.get("unit", "").strip():
        found.append(_change(what, fields, None if any(value is not None for value in to) else box))
    if image := _align_to(fields, uploaded):
        strength = number_of(fields, "strength")
        found.append(Align(image, 1.0 if strength is None else strength))
    if not found:
        raise InvalidRequest(
            "nothing is asked for: fill in a shift, a zoom, a box and where its copy goes, a unit, or an image to align"
        )
    return found


def number_of(fields: Fields, name: str) -> float | None:
    """The number in a field; None where it is empty.

    Raises:
        InvalidRequest: when it holds something else.
    """
    text = fields.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidRequest(f"{name.replace('_', ' ')} is a number, not '{text}'")
    return value


def _box_of(fields: Fields) -> Box | None:
    given = [number_of(fields, name) for name in ("x", "y", "w", "h")]
    if all(value is None for value in given):
        return None
    x, y, width, height = given
    if x is None or y is None or width is None or height is None:
        raise InvalidRequest("a box is four numbers: x, y, width and height, in pixels of the image")
    return x, y, width, height


def _change(what: str, fields: Fields, box: Box | None) -> ChangeUnit:
    action = fields.get("action") or "remove"
    actions: dict[str, Literal["raise", "lower", "remove"]] = {"raise": "raise", "lower": "lower", "remove": "remove"}
    if action not in actions:
        raise InvalidRequest(f"a unit is raised, lowered or removed: '{action}' is none of it")
    amount = number_of(fields, "amount")
    values: dict[str, Any] = {"action": actions[action], "amount": 2.0 if amount is None else amount, "box": box}
    if match := _CONCEPT.fullmatch(what):
        return ChangeUnit(concept=int(match["concept"]), **values)
    return ChangeUnit(unit=what, **values)


def _align_to(fields: Fields, uploaded: str | None) -> ImageReference | None:
    if uploaded is not None:
        return ImageReference(digest=uploaded)
    text = fields.get("align", "").strip()
    if not text:
        return None
    match = _PROBE_IMAGE.fullmatch(text)
    if match is None:
        raise InvalidRequest(f"an image of a probe set is its name and a number, such as 'faces 7': '{text}' is not")
    return ImageReference(probe=match["probe"], position=int(match["position"]))


def _image(reference: Mapping[str, Any]) -> str:
    if reference.get("digest"):
        return f"upload {reference['digest'][:8]}"
    if reference.get("translation") is not None:
        return f"image {reference['position']} of translation {reference['translation']}"
    return f"{reference.get('probe')} {reference.get('position')}"


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def _place(x: float, y: float) -> str:
    return f"({_number(x)}, {_number(y)})"


def _box(box: tuple[float, float, float, float]) -> str:
    x, y, width, height = box
    return f"{_number(width)} \N{MULTIPLICATION SIGN} {_number(height)} at {_place(x, y)}"
