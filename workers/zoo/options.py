"""Options of a source, as in `onnx:model.onnx?size=224&mean=0.5`: parsed, and checked with one clear line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import parse_qsl

from rosetta.errors import InvalidRequest
from workers.zoo.base import Preprocessing

IMAGE_OPTIONS = ("size", "mean", "std", "interpolation")


def split(reference: str, scheme: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """What stands before the `?` of a reference, and the options after it.

    Raises:
        InvalidRequest: when an option is not among the known ones.
    """
    name, _, query = reference.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(options.keys() - set(known)):
        knows = f"it knows {', '.join(known)}" if known else "it knows none"
        raise InvalidRequest(f"a source {scheme}: has no option '{unknown[0]}': {knows}")
    return name, options


def size(text: str) -> tuple[int, int]:
    """Height and width of `224` or `HEIGHTxWIDTH`.

    Raises:
        InvalidRequest: when the text is neither.
    """
    sides = text.lower().split("x")
    if len(sides) not in {1, 2} or not all(side.isdecimal() and 0 < int(side) < 2**15 for side in sides):
        raise InvalidRequest(f"'{text}' is no size: write size=224 or size=HEIGHTxWIDTH")
    return int(sides[0]), int(sides[-1])


def image_size(
    options: Mapping[str, str], fixed: tuple[int | None, int | None], file: str, usual: int = 224
) -> tuple[int, int]:
    """Height and width of a network's input: the file's where it fixes them, else as asked, else the usual ones.

    Raises:
        InvalidRequest: when the file fixes another size than the one that is asked for.
    """
    asked = size(options["size"]) if "size" in options else (None, None)
    for own, wanted in zip(fixed, asked, strict=True):
        if own and wanted and own != wanted:
            height, width = (side or "?" for side in fixed)
            raise InvalidRequest(f"{file} takes images of {height}x{width}, not {options['size']}")
    return fixed[0] or asked[0] or usual, fixed[1] or asked[1] or usual


def colours(option: str, text: str) -> tuple[float, float, float]:
    """Three numbers, one a channel, from `0.5` or `0.485,0.456,0.406`; of `std`, positive ones.

    Raises:
        InvalidRequest: when the text is something else.
    """
    try:
        numbers = [float(number) for number in text.split(",")]
        if option == "std" and not all(number > 0 for number in numbers):
            raise ValueError(text)
        red, green, blue = numbers * 3 if len(numbers) == 1 else numbers
    except ValueError:
        rule = "positive numbers" if option == "std" else "numbers"
        raise InvalidRequest(f"{option}={text} is neither one nor three {rule}: write {option}=0.5") from None
    return red, green, blue


def preprocessing(options: Mapping[str, str], height: int, width: int) -> Preprocessing:
    """How a network of height x width wants its images by `mean`, `std` and `interpolation`.

    Without them it is shown images in [0, 1], resized bilinearly.

    Raises:
        InvalidRequest: when an option is malformed.
    """
    interpolation = options.get("interpolation", "bilinear")
    if interpolation not in {"bilinear", "bicubic"}:
        raise InvalidRequest(f"'{interpolation}' is no interpolation: write bilinear or bicubic")
    chosen: Literal["bilinear", "bicubic"] = "bicubic" if interpolation == "bicubic" else "bilinear"
    return Preprocessing(
        height, width, colours("mean", options.get("mean", "0")), colours("std", options.get("std", "1")), chosen
    )
