"""What a recipe is made of, looked at before it becomes a job."""

from __future__ import annotations

import math

import sqlalchemy as sa

from rosetta.edits import Align, Box, ChangeUnit, CopyPaste, Edit, ImageReference, Shift, Zoom
from rosetta.errors import InvalidRequest
from rosetta.recipes import Optimiser
from service.queries import translations
from service.queries.probe_images import probe_image
from service.settings import Settings
from service.uploads import check_image, uploaded_image

Frame = tuple[int, int]

MOST_STEPS, MOST_DRAWS, MOST_STARTS = 10_000, 16_384, 16


def check_image_reference(conn: sa.Connection, settings: Settings, image: ImageReference) -> None:
    """Looks an image up.

    Raises:
        InvalidRequest: when it is not one of the three.
        NotFound: when it is not there.
    """
    if image.digest is not None and image.probe is None and image.translation is None:
        check_image(uploaded_image(settings, image.digest), image.digest[:12], still=True)
    elif image.probe is not None and image.position is not None and image.translation is None:
        probe_image(conn, image.probe, image.position)
    elif image.translation is not None and image.position is not None and image.probe is None:
        translations.read_picture(conn, image.translation, image.position, "picture")
    else:
        raise InvalidRequest(
            "an image is an uploaded one (digest), one of a probe set (probe, position), or one of a translation "
            "(translation, position): name one of the three"
        )


def check_optimiser(optimiser: Optimiser) -> None:
    """Refuses numbers that are none.

    Raises:
        InvalidRequest: naming the first.
    """
    for name, most in (("steps", MOST_STEPS), ("draws", MOST_DRAWS), ("starts", MOST_STARTS), ("scouting", MOST_STEPS)):
        value = getattr(optimiser, name)
        if not 1 <= value <= most:
            raise InvalidRequest(f"{name} lies between 1 and {most:,}: {value} does not", **{name: value})
    if optimiser.starts > optimiser.draws:
        raise InvalidRequest(f"{optimiser.starts} starts are more than the {optimiser.draws} draws they come from")
    if not 0 < optimiser.rate <= 10:
        raise InvalidRequest(f"rate lies above 0 and up to 10: {optimiser.rate} does not", rate=str(optimiser.rate))
    for name in ("prior", "keep", "pixel", "perceptual"):
        value = getattr(optimiser, name)
        if not (value >= 0 and math.isfinite(value)):
            raise InvalidRequest(f"{name} is 0 or more: {value} is not", **{name: str(value)})


def check_edit(edit: Edit, frame: Frame) -> None:
    """Refuses an edit that leaves the frame or whose number is none, before a worker begins.

    Args:
        edit: one.
        frame: width and height of the generator's images, pixels.

    Raises:
        InvalidRequest: saying which.
    """
    width, height = frame
    match edit:
        case Shift() if not (abs(edit.dx) < width and abs(edit.dy) < height):
            raise InvalidRequest(
                f"a shift stays inside the frame, {width} x {height} pixels: by ({edit.dx:g}, {edit.dy:g}) nothing is "
                "left"
            )
        case Zoom() if not 0 < edit.factor < math.inf:
            raise InvalidRequest(f"a zoom's factor lies above 0: {edit.factor:g} does not")
        case Zoom(centre=(x, y)) if not (0 <= x <= width and 0 <= y <= height):
            raise InvalidRequest(
                f"a zoom's centre lies inside the frame, {width} x {height} pixels: ({x:g}, {y:g}) does not"
            )
        case CopyPaste():
            check_box(edit.box, frame)
            check_box((*edit.to, *edit.box[2:]), frame)
        case ChangeUnit():
            if not 0 < edit.amount < math.inf:
                raise InvalidRequest(f"an amount lies above 0: {edit.amount:g} does not")
            if edit.box is not None:
                check_box(edit.box, frame)
        case Align() if not 0 <= edit.strength <= 1:
            raise InvalidRequest(f"a strength lies between 0 and 1: {edit.strength:g} does not")


def check_box(box: Box, frame: Frame) -> None:
    """Refuses a box that leaves the frame or has no area."""
    x, y, width, height = box
    if not (width > 0 and height > 0 and x >= 0 and y >= 0 and x + width <= frame[0] and y + height <= frame[1]):
        raise InvalidRequest(
            f"a box lies inside the frame, {frame[0]} x {frame[1]} pixels, and has an area: {width:g} x {height:g} "
            f"at ({x:g}, {y:g}) does not"
        )


def check_seed(seed: int) -> int:
    """The seed itself, when it is one.

    Raises:
        InvalidRequest: when it is not.
    """
    if not 0 <= seed < 2**31:
        raise InvalidRequest(f"a seed lies between 0 and {2**31 - 1}: {seed} does not", seed=seed)
    return seed
