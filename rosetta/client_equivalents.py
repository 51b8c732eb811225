"""What a client does with translations between models, blocking and with an event loop."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from rosetta import equivalents
from rosetta.connection import Connection
from rosetta.equivalents import EquivalentSets, Method
from rosetta.progress import JobBar
from rosetta.transport import AsyncTransport

if TYPE_CHECKING:
    from rosetta.translating import Translated


class EquivalentCalls(Connection):
    """The calls that translate between models: from the units of one to those of another."""

    def translate(
        self,
        activations: Any,
        from_: str,
        to: str,
        *,
        probe: str | None = None,
        top: int | None = None,
        method: Method = "ridge",
        progress: bool = True,
    ) -> Translated:
        """The units of one model, told from those of another through their matches.

        The service fits coefficients on the probe set the first time; they are applied here.

        Args:
            activations: of `from_`: means over positions, a numpy array `[N, U]` by unit number; or a mapping from its
                layers to means `[N, C]` or to maps `[N, C, H, W]`.
            from_: the model they are of: a name, or a nickname that stands for one model.
            to: the model whose units are told.
            probe: on which the two were compared; the newest such when left out.
            top: from how many matches a unit is told, at most; as many as mining kept, up to 10, when left out.
            method: `ridge`: from all of them; `best`: from the best one, scaled by r.
            progress: show a bar while coefficients are fitted.

        Returns:
            The units' values in the same form, NaN where nothing matches; `explained` says how much of their variance
            the shared units explain on held-out images.

        Raises:
            NotFound: when a name is unknown, or the two were not compared.
            InvalidRequest: when these are not activations of that model.
            ImportError: without numpy and safetensors: `pip install 'rosetta-neurons[frames]'`.

        Example:
            >>> told = client.translate(activations, from_="clip-rn50", to="dcgan-faces")
            >>> told.explained, told.values.shape
        """
        with JobBar() if progress else nullcontext() as watch:
            return self._run(equivalents.translate(activations, from_, to, _numbers(probe, top), method, watch))

    def equivalents(
        self, source: str | None = None, target: str | None = None, *, limit: int | None = None
    ) -> EquivalentSets:
        """The translations between models that were fitted, newest first.

        Args:
            source: from this model, family or nickname; any when left out.
            target: to this one.
            limit: how many; all when left out.
        """
        return self._run(equivalents.list_equivalents(source, target, limit))


class AsyncEquivalentCalls:
    """`EquivalentCalls`, awaited."""

    _transport: AsyncTransport

    async def translate(
        self,
        activations: Any,
        from_: str,
        to: str,
        *,
        probe: str | None = None,
        top: int | None = None,
        method: Method = "ridge",
        progress: bool = True,
    ) -> Translated:
        """As `Client.translate`."""
        with JobBar() if progress else nullcontext() as watch:
            operation = equivalents.translate(activations, from_, to, _numbers(probe, top), method, watch)
            return await self._transport.run(operation)

    async def equivalents(
        self, source: str | None = None, target: str | None = None, *, limit: int | None = None
    ) -> EquivalentSets:
        """As `Client.equivalents`."""
        return await self._transport.run(equivalents.list_equivalents(source, target, limit))


def _numbers(probe: str | None, top: int | None) -> dict[str, Any]:
    return {"probe": probe, "k": top}
