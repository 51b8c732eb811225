"""What a client has units labelled by, blocking and with an event loop: words, and masks of a probe set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rosetta import masks
from rosetta.connection import Connection
from rosetta.effects import Operation, Request
from rosetta.errors import InvalidRequest
from rosetta.handles import AsyncJobHandle, JobHandle
from rosetta.masks import MaskRows
from rosetta.results import Job
from rosetta.transport import AsyncTransport
from rosetta.wire import compute, decode, send

By = Literal["text", "mask"]
# Words themselves, or a file of one a line.
Words = Sequence[str] | Path


def find_labels(
    probe: str, by: By, models: Sequence[str] | str | None, words: Words | None, options: dict[str, Any]
) -> Operation[Job]:
    """The job that labels units."""
    if isinstance(words, str | Path):
        file = Path(words).expanduser()
        words = yield from compute(lambda: _lines(file))
    body = {
        "probe": probe,
        "by": by,
        "models": [models] if isinstance(models, str) else models,
        "words": None if words is None else list(words),
        **options,
    }
    given = {name: value for name, value in body.items() if value is not None}
    return decode((yield from send(Request("POST", "/v1/labels/find", body=given))), Job)


def _lines(path: Path) -> list[str]:
    """The words in a file, one a line; empty lines are none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise InvalidRequest(f"{path} cannot be read: {reason}", path=str(path)) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


class LabellingCalls(Connection):
    """The calls that have units and concepts labelled."""

    def find_labels(
        self,
        probe: str,
        *,
        by: By = "text",
        words: Words | None = None,
        models: Sequence[str] | str | None = None,
        image_text: str | None = None,
        each: int | None = None,
        top: int | None = None,
        q_value: float | None = None,
        quantile: float | None = None,
        least_iou: float | None = None,
    ) -> JobHandle:
        """The job that labels units, and the concepts of them; `labels(kind=...)` has what it found.

        By text, an image-text model says which words fit the images that a unit fires on most (CLIP-Dissect, Oikarinen
        and Weng 2023); by mask, a unit is labelled with the things that it overlaps with (Network Dissection, Bau et
        al. 2017). A job's labels take the place of those that one of its kind gave the same units before.

        Args:
            probe: the probe set's name.
            by: `text` or `mask`.
            words: to choose from, or a file of one a line; of masks, some of those there are. [built-in; all]
            models: to label; all that were mined on the probe set when left out.
            image_text: by text: the image-text model; the only one when left out.
            each: by text: words a unit at most. [1]
            top: by text: images of a unit that count. [a twentieth of all, 10 to 100]
            q_value: by text: only words below it are kept. [0.05]
            quantile: by mask: a unit is on in this part of all its activations. [0.005]
            least_iou: by mask: only words of a larger intersection over union are kept. [0.04]

        Raises:
            NotFound: with the nearest names, or when a model was not mined.
            InvalidRequest: when there is no image-text model, there are no masks, or a number is none.

        Example:
            >>> client.find_labels("faces", words=["glasses", "hair", "smile"]).wait()
            >>> client.labels(kind="text")
        """
        options = {
            "image_text": image_text,
            "each": each,
            "top": top,
            "q_value": q_value,
            "quantile": quantile,
            "least_iou": least_iou,
        }
        return JobHandle(self._transport, self._run(find_labels(probe, by, models, words, options)))

    def masks(self, probe: str) -> MaskRows:
        """What a probe set has masks of, and on how many images each is to be seen.

        Raises:
            NotFound: with the nearest names.
        """
        return self._run(masks.list_masks(probe))

    def add_masks(self, probe: str, folder: str | Path, *, progress: bool = True) -> MaskRows:
        """What a probe set has masks of, once those of a folder were sent; those of the same things are replaced.

        Args:
            probe: the probe set's name.
            folder: a folder each thing, named as it; in it PNG files that are not zero where the thing is, named as
                their image, or by its position in a generator's samples. An image without one shows nothing of it.
            progress: show a bar.

        Raises:
            NotFound: with the nearest names.
            InvalidRequest: when a file is no PNG, is of no image, or has another shape than its image; then nothing is
                stored.

        Example:
            >>> client.add_masks("photos", "masks")
        """
        return self._run(masks.add_masks(probe, Path(folder).expanduser(), progress=progress))

    def remove_masks(self, probe: str, text: str) -> None:
        """Removes a probe set's masks of a thing; labels that were found by them stay.

        Raises:
            NotFound: when there are none.
        """
        self._run(masks.remove_masks(probe, text))


class AsyncLabellingCalls:
    """`LabellingCalls`, awaited."""

    _transport: AsyncTransport

    async def find_labels(
        self,
        probe: str,
        *,
        by: By = "text",
        words: Words | None = None,
        models: Sequence[str] | str | None = None,
        image_text: str | None = None,
        each: int | None = None,
        top: int | None = None,
        q_value: float | None = None,
        quantile: float | None = None,
        least_iou: float | None = None,
    ) -> AsyncJobHandle:
        """As `Client.find_labels`."""
        options = {
            "image_text": image_text,
            "each": each,
            "top": top,
            "q_value": q_value,
            "quantile": quantile,
            "least_iou": least_iou,
        }
        job = await self._transport.run(find_labels(probe, by, models, words, options))
        return AsyncJobHandle(self._transport, job)

    async def masks(self, probe: str) -> MaskRows:
        """As `Client.masks`."""
        return await self._transport.run(masks.list_masks(probe))

    async def add_masks(self, probe: str, folder: str | Path, *, progress: bool = True) -> MaskRows:
        """As `Client.add_masks`."""
        return await self._transport.run(masks.add_masks(probe, Path(folder).expanduser(), progress=progress))

    async def remove_masks(self, probe: str, text: str) -> None:
        """As `Client.remove_masks`."""
        await self._transport.run(masks.remove_masks(probe, text))
