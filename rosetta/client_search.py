"""What a client searches for: units like a unit, what a text and an image find; blocking and with an event loop."""

from __future__ import annotations

from typing import Any, overload

from rosetta.addresses import parse_address
from rosetta.connection import Connection
from rosetta.effects import Operation, Request
from rosetta.errors import InvalidRequest
from rosetta.image_search import ImageAnswer, ImageMatch
from rosetta.image_sources import ImageSource, sent_image
from rosetta.results import Page, SketchMatch
from rosetta.rows import Rows
from rosetta.text_search import TextAnswer, TextMatches
from rosetta.transport import AsyncTransport
from rosetta.wire import decode, send

Box = tuple[float, float, float, float]


class ImageMatches(Rows[ImageMatch]):
    """Units that answer to an image.

    Attributes:
        probe_set: whose distribution they are held against.
        models: that looked at it.
        left_out: units that have no score, as a map of one position has no inside.
        note: what a reader should know; None: nothing.
    """

    def __init__(self, answer: ImageAnswer) -> None:
        super().__init__(answer.items, ImageMatch, "units that answer to it")
        self.probe_set = answer.probe_set
        self.models = answer.models
        self.left_out = answer.left_out
        self.note = answer.note

    def _headline(self) -> str:
        return super()._headline() + (f" ({self.note})" if self.note else "")


def search(
    *,
    unit: str | None,
    text: str | None,
    image: ImageSource | None,
    box: Box | None,
    image_text: str | None,
    into: str | None,
    probe: str | None,
    top: int,
) -> Operation[Rows[Any]]:
    """Units like a unit, what a text finds, or units that answer to an image."""
    if sum(asked is not None for asked in (unit, text, image)) != 1:
        raise InvalidRequest("name what to search for: a unit, a text or an image, one of the three")
    if box is not None and image is None:
        raise InvalidRequest("a box is one in an image: name the image too")
    if image_text is not None and text is None:
        raise InvalidRequest("an image-text model is shown a text: give the text too")
    body: dict[str, Any] = {"in": into, "probe": probe, "top": top}
    if unit is not None:
        parse_address(unit)
        response = yield from send(Request("POST", "/v1/search", body={"unit": unit, **body}))
        return Rows(decode(response, Page[SketchMatch]).items, SketchMatch, "units like it")
    if text is not None:
        asked = {"text": text, "image_text": image_text, **body}
        response = yield from send(Request("POST", "/v1/search", body=asked))
        return TextMatches(decode(response, TextAnswer))
    assert image is not None  # it is one of the three
    body |= {"image": (yield from sent_image(image)), "box": None if box is None else list(box)}
    response = yield from send(Request("POST", "/v1/search", body=body))
    return ImageMatches(decode(response, ImageAnswer))


class SearchCalls(Connection):
    """The calls that search, and send what to search by."""

    @overload
    def search(
        self, *, unit: str, model: str | None = None, top: int = 10, probe: str | None = None
    ) -> Rows[SketchMatch]: ...
    @overload
    def search(
        self,
        *,
        text: str,
        image_text: str | None = None,
        model: str | None = None,
        top: int = 10,
        probe: str | None = None,
    ) -> TextMatches: ...
    @overload
    def search(
        self,
        *,
        image: ImageSource,
        box: Box | None = None,
        model: str | None = None,
        top: int = 10,
        probe: str | None = None,
    ) -> ImageMatches: ...
    def search(
        self,
        *,
        unit: str | None = None,
        text: str | None = None,
        image: ImageSource | None = None,
        box: Box | None = None,
        image_text: str | None = None,
        model: str | None = None,
        top: int = 10,
        probe: str | None = None,
    ) -> Rows[Any]:
        """Units like one, best first, also in models that it was never compared with; or what a text or an image finds.

        Of a unit, sketches are compared, whose cosine approximates the correlation that `matches` has exactly. Of a
        text, the words are looked for in labels, and where an image-text model is registered, units are found that
        respond as the images fit the text; `by` says where each row comes from, and `searched` and `note` of the answer
        whether the model was asked. An image goes through the models,
        and units rank by how much more they fire inside the box than outside (without a box: on all of it), against
        their distribution over the probe set.

        Args:
            unit: its address, such as `dcgan-faces/main.8:45` or `dcgan-faces/813`; or
            text: words, such as `glasses`; or
            image: a file, its bytes or a picture of Pillow; of an animation there is no telling which picture is meant.
            box: x, y, width and height in it, pixels.
            image_text: the image-text model that a text is shown to; the one registered first when left out.
            model: where to look: a model, a family or a nickname; everywhere when left out.
            top: how many.
            probe: a probe set; when left out, of a unit the one on which its model was mined last, and of a text, as an
                image-text model sees it, the one on which any was.

        Raises:
            NotFound: with the nearest names, or when the model was not mined.
            InvalidRequest: when the unit is dead, there is no word in the text, the file is no image, or a box lies
                outside.
            Unavailable: of an image, when no worker is at work.

        Example:
            >>> client.search(unit="dcgan-faces/813", top=5)
            >>> client.search(text="glasses")
            >>> client.search(image="me.jpg", box=(10, 10, 50, 50))
        """
        return self._run(
            search(unit=unit, text=text, image=image, box=box, image_text=image_text, into=model, probe=probe, top=top)
        )

    def send_image(self, image: ImageSource) -> str:
        """The sha256 by which the service knows an image now, for a day unless a probe set has it.

        Raises:
            InvalidRequest: when it is none that networks can look at.
        """
        return self._run(sent_image(image))


class AsyncSearchCalls:
    """`SearchCalls`, awaited."""

    _transport: AsyncTransport

    @overload
    async def search(
        self, *, unit: str, model: str | None = None, top: int = 10, probe: str | None = None
    ) -> Rows[SketchMatch]: ...
    @overload
    async def search(
        self,
        *,
        text: str,
        image_text: str | None = None,
        model: str | None = None,
        top: int = 10,
        probe: str | None = None,
    ) -> TextMatches: ...
    @overload
    async def search(
        self,
        *,
        image: ImageSource,
        box: Box | None = None,
        model: str | None = None,
        top: int = 10,
        probe: str | None = None,
    ) -> ImageMatches: ...
    async def search(
        self,
        *,
        unit: str | None = None,
        text: str | None = None,
        image: ImageSource | None = None,
        box: Box | None = None,
        image_text: str | None = None,
        model: str | None = None,
        top: int = 10,
        probe: str | None = None,
    ) -> Rows[Any]:
        """As `Client.search`."""
        return await self._transport.run(
            search(unit=unit, text=text, image=image, box=box, image_text=image_text, into=model, probe=probe, top=top)
        )

    async def send_image(self, image: ImageSource) -> str:
        """As `Client.send_image`."""
        return await self._transport.run(sent_image(image))
