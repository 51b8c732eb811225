"""What a client searches for: units like a unit, and what a text finds; blocking and with an event loop."""

from __future__ import annotations

from typing import Any, overload

from rosetta.addresses import parse_address
from rosetta.connection import Connection
from rosetta.effects import Operation, Request
from rosetta.errors import InvalidRequest
from rosetta.labels import TextMatch
from rosetta.results import Page, SketchMatch
from rosetta.rows import Rows
from rosetta.transport import AsyncTransport
from rosetta.wire import decode, send


def search(
    *, unit: str | None, text: str | None, into: str | None, probe: str | None, top: int
) -> Operation[Rows[Any]]:
    """The units whose sketches are nearest to a unit's, or what a text finds."""
    if (unit is None) == (text is None):
        raise InvalidRequest("name what to search for: a unit or a text, one of the two")
    body: dict[str, Any] = {"in": into, "probe": probe, "top": top}
    if unit is not None:
        parse_address(unit)
        response = yield from send(Request("POST", "/v1/search", body={"unit": unit, **body}))
        return Rows(decode(response, Page[SketchMatch]).items, SketchMatch, "units like it")
    response = yield from send(Request("POST", "/v1/search", body={"text": text, **body}))
    return Rows(decode(response, Page[TextMatch]).items, TextMatch, "units and concepts")


class SearchCalls(Connection):
    """The one call that searches."""

    @overload
    def search(
        self, *, unit: str, model: str | None = None, top: int = 10, probe: str | None = None
    ) -> Rows[SketchMatch]: ...
    @overload
    def search(
        self, *, text: str, model: str | None = None, top: int = 10, probe: str | None = None
    ) -> Rows[TextMatch]: ...
    def search(
        self,
        *,
        unit: str | None = None,
        text: str | None = None,
        model: str | None = None,
        top: int = 10,
        probe: str | None = None,
    ) -> Rows[Any]:
        """Units like one, best first, also in models that it was never compared with; or what a text finds.

        Of a unit, sketches are compared, whose cosine approximates the correlation that `matches` has exactly. Of a
        text, the words are looked for in labels; `by` says where each row comes from.

        Args:
            unit: its address, such as `dcgan-faces/main.8:45` or `dcgan-faces/813`; or
            text: words, such as `glasses`.
            model: where to look: a model, a family or a nickname; everywhere when left out.
            top: how many.
            probe: a probe set; of a unit, the one on which its model was mined last when left out.

        Raises:
            NotFound: with the nearest names, or when the model was not mined.
            InvalidRequest: when the unit is dead, or there is no word in the text.

        Example:
            >>> client.search(unit="dcgan-faces/813", top=5)
            >>> client.search(text="glasses")
        """
        return self._run(search(unit=unit, text=text, into=model, probe=probe, top=top))


class AsyncSearchCalls:
    """`SearchCalls`, awaited."""

    _transport: AsyncTransport

    @overload
    async def search(
        self, *, unit: str, model: str | None = None, top: int = 10, probe: str | None = None
    ) -> Rows[SketchMatch]: ...
    @overload
    async def search(
        self, *, text: str, model: str | None = None, top: int = 10, probe: str | None = None
    ) -> Rows[TextMatch]: ...
    async def search(
        self,
        *,
        unit: str | None = None,
        text: str | None = None,
        model: str | None = None,
        top: int = 10,
        probe: str | None = None,
    ) -> Rows[Any]:
        """As `Client.search`."""
        return await self._transport.run(search(unit=unit, text=text, into=model, probe=probe, top=top))
