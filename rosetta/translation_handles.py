"""A translation, as the client hands it out: its images, latents and recipe, and what may be changed of it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from rosetta import html, steering
from rosetta.edits import Edit
from rosetta.errors import RosettaError
from rosetta.handles import AsyncJobHandle, JobHandle
from rosetta.pictures import Format, Picture
from rosetta.recipes import Optimiser
from rosetta.rows import Rows
from rosetta.steering import Side
from rosetta.translations import Translation, TranslationImage
from rosetta.transport import AsyncTransport, Transport

if TYPE_CHECKING:
    import numpy

_SHOWN = 6  # images in a notebook


class _TranslationHandle:
    """An inversion, or an edit of one.

    Attributes:
        id: its number.
        kind: `inversion` or `edit`.
        parent: of an edit, the number of the translation it starts from.
        generator: whose images they are.
        probe_set: on which the units that steer were mined.
        pairs: how many of them.
        items: its images, with their measures and losses.
        recipe: all that makes it again, for `client.run_recipe`.
    """

    def __init__(self, translation: Translation) -> None:
        self._result = translation
        self.id = translation.id
        self.kind = translation.kind
        self.parent = translation.parent
        self.generator = translation.generator
        self.probe_set = translation.probe_set
        self.pairs = translation.pairs
        self.items: Rows[TranslationImage] = Rows(translation.items, TranslationImage, "images")
        self.recipe: dict[str, Any] = translation.recipe

    def as_result(self) -> Translation:
        """The plain value that the service answered."""
        return self._result

    def __str__(self) -> str:
        """The translation in a line."""
        of = f"of translation {self.parent} " if self.parent else ""
        return (
            f"{self.kind} {self.id} {of}by {self.generator}: {len(self.items):,} images, {self.pairs:,} pairs of units"
        )

    def __repr__(self) -> str:
        return f"<{self}>\n{self.items!r}"


class TranslationHandle(_TranslationHandle):
    """A translation, which can be asked for its pictures and changed."""

    def __init__(self, transport: Transport, translation: Translation) -> None:
        super().__init__(translation)
        self._transport = transport

    def picture(
        self, position: int = 0, side: Side = "picture", *, size: int | None = None, format: Format = "png"
    ) -> Picture:
        """One of its images, or what it was to become, as a file.

        Args:
            position: its place, from 0.
            side: `picture`, what was made, or `target`.
            size: the longer side, pixels; the generator's own when left out.
            format: `png` or `webp`.

        Raises:
            NotFound: when it has no such image.

        Example:
            >>> client.translation(1).picture().save("face.png")
        """
        return self._transport.run(steering.picture(self.id, position, side, size, format))

    def latents(self) -> numpy.ndarray:
        """The latents of its images, float32 [N, Z] in z, [N, W] in w, [N, L, W] in w+.

        Raises:
            ImportError: without numpy: `pip install 'rosetta-neurons[frames]'`.
        """
        return self._transport.run(steering.latents(self.id))

    def edit(
        self, *edits: Edit, positions: Sequence[int] | None = None, optimiser: Optimiser | None = None
    ) -> JobHandle:
        """The job that changes its images, one edit after the other, each a new translation's start.

        Args:
            edits: such as `Shift(8, 0)`, `Zoom(1.25)`, `ChangeUnit("remove", unit="dcgan-faces/813")`.
            positions: of its images; all when left out.
            optimiser: how; as it was made when left out, from where it ended.

        Raises:
            NotFound: when a unit, a concept or an image is unknown.
            InvalidRequest: when an edit leaves the frame, or no pair that steers has its unit.

        Example:
            >>> from rosetta import Shift
            >>> job = client.translation(1).edit(Shift(8, 0)).wait()
            >>> client.translation(job).picture()
        """
        return JobHandle(self._transport, self._transport.run(steering.edit(self.id, edits, positions, optimiser)))

    def _repr_html_(self) -> str:
        cells = []
        try:
            for item in self.items[:_SHOWN]:
                pair = "".join(
                    html.picture(self.picture(item.position, side, size=128, format="webp"), "image/webp", side, 128)
                    for side in ("target", "picture")
                )
                cells.append(f"<div style='display:inline-block;margin-right:12px'>{pair}</div>")
        except RosettaError as error:  # a notebook shows what it can
            cells = [html.text(error.message, quiet=True)]
        return f"<p>{escape(str(self))}</p>{''.join(cells)}{self.items._repr_html_()}"


class AsyncTranslationHandle(_TranslationHandle):
    """A translation, which can be asked for its pictures and changed without blocking."""

    def __init__(self, transport: AsyncTransport, translation: Translation) -> None:
        super().__init__(translation)
        self._transport = transport

    async def picture(
        self, position: int = 0, side: Side = "picture", *, size: int | None = None, format: Format = "png"
    ) -> Picture:
        """As `TranslationHandle.picture`."""
        return await self._transport.run(steering.picture(self.id, position, side, size, format))

    async def latents(self) -> numpy.ndarray:
        """As `TranslationHandle.latents`."""
        return await self._transport.run(steering.latents(self.id))

    async def edit(
        self, *edits: Edit, positions: Sequence[int] | None = None, optimiser: Optimiser | None = None
    ) -> AsyncJobHandle:
        """As `TranslationHandle.edit`."""
        operation = steering.edit(self.id, edits, positions, optimiser)
        return AsyncJobHandle(self._transport, await self._transport.run(operation))
