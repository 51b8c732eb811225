"""What a client does with labels, blocking and with an event loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rosetta.addresses import parse_address
from rosetta.client_labelling import AsyncLabellingCalls, LabellingCalls
from rosetta.effects import Operation, Request
from rosetta.labels import Label, LabelKind
from rosetta.operations import list_all
from rosetta.rows import Rows
from rosetta.transport import AsyncTransport
from rosetta.wire import decode, send

# The address of a unit, such as `dcgan-faces/813`, or the number of a concept.
Target = str | int


def add_label(target: Target, text: str, author: str | None) -> Operation[Label]:
    """The label of a unit or a concept; asking twice is safe."""
    body: dict[str, Any] = {"text": text, "author": author, **_of(target)}
    return decode((yield from send(Request("POST", "/v1/labels", body=body))), Label)


def list_labels(target: Target | None, params: Mapping[str, Any], limit: int | None) -> Operation[Rows[Label]]:
    """The labels of a unit, of a concept, or of everything."""
    path, params = "/v1/labels", {name: value for name, value in params.items() if value is not None}
    if target is not None:
        params |= _of(target)
    return (yield from list_all(path, Label, "labels", params, limit))


def remove_label(label: int) -> Operation[Label]:
    """The label as it was."""
    return decode((yield from send(Request("DELETE", f"/v1/labels/{label}", repeatable=False))), Label)


def _of(target: Target) -> dict[str, Any]:
    if isinstance(target, int):
        return {"concept": target}
    parse_address(target)
    return {"unit": target}


class LabelCalls(LabellingCalls):
    """The calls about labels: what units and concepts answer to, in words."""

    def label(self, target: Target, text: str, *, author: str | None = None) -> Label:
        """The label that a unit or a concept has now; the same of the same author again is the one there is.

        Args:
            target: a unit's address, such as `dcgan-faces/813`, or a concept's number.
            text: what it answers to, such as `glasses`.
            author: who says so; `anonymous` when left out.

        Raises:
            NotFound: when there is no such unit or concept, with the nearest names.
            InvalidRequest: when text or author is empty or too long.

        Example:
            >>> client.label("dcgan-faces/813", "bright background", author="ada")
        """
        return self._run(add_label(target, text, author))

    def labels(
        self,
        target: Target | None = None,
        *,
        members: bool = False,
        kind: LabelKind | None = None,
        text: str | None = None,
        model: str | None = None,
        probe: str | None = None,
        limit: int | None = None,
    ) -> Rows[Label]:
        """Labels, newest first.

        Args:
            target: of a unit, by its address, or of a concept, by its number; of everything when left out.
            members: of the concept's members in its place.
            kind: `person`, `text` or `mask`; all when left out.
            text: that have these words, as a search finds them.
            model: of units of this model, family or nickname.
            probe: measured on this probe set.
            limit: how many; all when left out.

        Raises:
            NotFound: with the nearest names.

        Example:
            >>> client.labels("dcgan-faces/813")
        """
        of = "members" if members else None
        params = {"of": of, "kind": kind, "text": text, "model": model, "probe": probe}
        return self._run(list_labels(target, params, limit))

    def remove_label(self, label: int) -> Label:
        """The label of that number, which is gone now.

        Raises:
            NotFound: when there is none.
        """
        return self._run(remove_label(label))


class AsyncLabelCalls(AsyncLabellingCalls):
    """`LabelCalls`, awaited."""

    _transport: AsyncTransport

    async def label(self, target: Target, text: str, *, author: str | None = None) -> Label:
        """As `Client.label`."""
        return await self._transport.run(add_label(target, text, author))

    async def labels(
        self,
        target: Target | None = None,
        *,
        members: bool = False,
        kind: LabelKind | None = None,
        text: str | None = None,
        model: str | None = None,
        probe: str | None = None,
        limit: int | None = None,
    ) -> Rows[Label]:
        """As `Client.labels`."""
        of = "members" if members else None
        params = {"of": of, "kind": kind, "text": text, "model": model, "probe": probe}
        return await self._transport.run(list_labels(target, params, limit))

    async def remove_label(self, label: int) -> Label:
        """As `Client.remove_label`."""
        return await self._transport.run(remove_label(label))
