"""Masks of a probe set: where a thing is to be seen on its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from posixpath import splitext
from typing import Any

import sqlalchemy as sa
from PIL import Image

from rosetta.errors import InvalidRequest, NotFound
from rosetta.masks import Masks
from rosetta.results import Page
from service.database.schema import probe_images, probe_masks
from service.queries import names
from service.queries.labels import LONGEST_TEXT, plain_text
from service.settings import Settings
from service.uploads import image_path, missing


@dataclass(frozen=True)
class Mask:
    """An uploaded mask: of a thing, on the image of a name or a position, by the sha256 of its file."""

    text: str
    image: str
    digest: str


def mask_words(conn: sa.Connection, probe_set_id: int) -> list[str]:
    """What a probe set has masks of, in the order of the alphabet."""
    of = probe_masks.c.probe_set_id == probe_set_id
    return list(conn.scalars(sa.select(probe_masks.c.text).where(of).distinct().order_by(probe_masks.c.text)))


def list_masks(conn: sa.Connection, probe: str) -> Page[Masks]:
    """What a probe set has masks of, and on how many images each.

    Raises:
        NotFound: when there is no such probe set, with the nearest names.
    """
    probe_set = names.probe_row(conn, probe)
    counted = sa.select(probe_masks.c.text, sa.func.count().label("images")).group_by(probe_masks.c.text)
    rows = conn.execute(counted.where(probe_masks.c.probe_set_id == probe_set.id).order_by(probe_masks.c.text))
    return Page(tuple(Masks(probe_set=probe_set.name, text=row.text, images=row.images) for row in rows))


def add_masks(conn: sa.Connection, settings: Settings, probe: str, masks: Sequence[Mask]) -> Page[Masks]:
    """All that the probe set has masks of now; those of the same thing are replaced.

    Args:
        conn: the transaction to write in.
        settings: say where uploads lie.
        probe: the probe set's name.
        masks: uploaded PNG files. An image that none of a thing's masks is of shows nothing of it.

    Raises:
        NotFound: when there is no such probe set, with the nearest names.
        InvalidRequest: when there is none, an image is unknown or has two masks of one thing, or a file was not
            uploaded, is no PNG or of another shape than its image.
    """
    probe_set = names.probe_row(conn, probe)
    if not masks:
        raise InvalidRequest("no masks came: give one or more")
    if absent := missing(settings, "images", sorted({mask.digest for mask in masks})):
        raise InvalidRequest(
            f"mask {absent[0]} was not uploaded: PUT /v1/images/{absent[0]} first", missing=absent[:100]
        )
    places = _Places(conn, settings, probe_set)
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for mask in masks:
        text = plain_text("name of a mask's folder", mask.text, LONGEST_TEXT)
        position = places.position(mask)
        if (text, position) in rows:
            raise InvalidRequest(f"two masks of '{text}' are of {mask.image}: give one")
        places.check_shape(mask, position)
        rows[text, position] = {
            "probe_set_id": probe_set.id,
            "text": text,
            "position": position,
            "digest": mask.digest,
        }
    same = probe_masks.c.text.in_({text for text, _ in rows})
    conn.execute(sa.delete(probe_masks).where(probe_masks.c.probe_set_id == probe_set.id, same))
    conn.execute(sa.insert(probe_masks), list(rows.values()))
    return list_masks(conn, probe)


def remove_masks(conn: sa.Connection, probe: str, text: str) -> None:
    """Deletes a probe set's masks of a thing.

    Raises:
        NotFound: when there is no such probe set, or it has none of it.
    """
    probe_set = names.probe_row(conn, probe)
    of = probe_masks.c.probe_set_id == probe_set.id, probe_masks.c.text == text
    if not conn.execute(sa.delete(probe_masks).where(*of)).rowcount:
        raise NotFound(f"probe set '{probe}' has no masks of '{text}': `rosetta probes masks {probe}` lists them")


class _Places:
    """The images of a probe set by what a mask's file may be called."""

    def __init__(self, conn: sa.Connection, settings: Settings, probe_set: sa.Row[Any]) -> None:
        self._settings, self._probe_set = settings, probe_set
        columns = probe_images.c
        rows = conn.execute(
            sa.select(columns.position, columns.name, columns.digest).where(columns.probe_set_id == probe_set.id)
        ).all()
        self._digests: Mapping[int, str | None] = {row.position: row.digest for row in rows}
        self._whole: Mapping[str, int] = {row.name: row.position for row in rows if row.name is not None}
        self._stems: dict[str, list[int]] = {}
        for row in rows:
            stem = str(row.position) if row.name is None else _stem(row.name)
            self._stems.setdefault(stem, []).append(row.position)
        self._sizes: dict[int, tuple[int, int]] = {}

    def position(self, mask: Mask) -> int:
        """Of the image that a mask is of.

        Raises:
            InvalidRequest: when no image, or several, are called so.
        """
        for name in (mask.image, _stem(mask.image)):
            if name in self._whole:
                return self._whole[name]
        stem = _stem(mask.image)
        if not self._whole and stem.isdecimal():
            stem = str(int(stem))  # 007.png
        found = self._stems.get(stem, [])
        if len(found) == 1:
            return found[0]
        whole = next(iter(self._whole), None)
        like = (
            f"such as '{_stem(whole)}.png'"
            if whole
            else f"a position from 0 to {len(self._digests) - 1}, such as '0.png'"
        )
        trouble = "several images are" if found else "no image is"
        raise InvalidRequest(
            f"{trouble} called as mask '{mask.image}' of '{mask.text}' in probe set '{self._probe_set.name}': "
            f"name it as its image, {like}",
            image=mask.image,
            text=mask.text,
        )

    def check_shape(self, mask: Mask, position: int) -> None:
        """Returns when a mask has the shape of its image, or that of the probe set.

        Raises:
            InvalidRequest: when it has another, or is no PNG.
        """
        with Image.open(image_path(self._settings, mask.digest)) as opened:  # decoded whole when it was uploaded
            form, size = opened.format, opened.size
        if form != "PNG":
            raise InvalidRequest(f"mask '{mask.image}' of '{mask.text}' is a {form}: masks are PNG files")
        own = (self._probe_set.width, self._probe_set.height)
        if not _alike(size, own) and not _alike(size, self._size(position)):
            shown = self._size(position)
            raise InvalidRequest(
                f"mask '{mask.image}' of '{mask.text}' is {size[0]}x{size[1]} pixels, of another shape than its "
                f"image of {shown[0]}x{shown[1]}: make it of the same width to height",
                image=mask.image,
                text=mask.text,
            )

    def _size(self, position: int) -> tuple[int, int]:
        """Width and height of an image's file, upright; of a generator's sample, the probe set's own."""
        if position not in self._sizes:
            digest = self._digests[position]
            if digest is None:
                self._sizes[position] = (self._probe_set.width, self._probe_set.height)
            else:
                with Image.open(image_path(self._settings, digest)) as image:
                    turned = image.getexif().get(_ORIENTATION, 1) >= _FIRST_TURNED
                    self._sizes[position] = image.size[::-1] if turned else image.size
        return self._sizes[position]


_ORIENTATION, _FIRST_TURNED = 0x0112, 5  # EXIF: from 5 on, width and height change places


def _stem(name: str) -> str:
    return splitext(name)[0]


def _alike(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes have one ratio of sides, give or take a pixel of rounding."""
    return abs(size[0] * other[1] - size[1] * other[0]) <= max(other)
