"""What a client does with maps, blocking and with an event loop."""

from __future__ import annotations

from typing import Literal

from rosetta import maps
from rosetta.connection import Connection
from rosetta.handles import AsyncJobHandle, JobHandle
from rosetta.maps import Maps, UnitMap
from rosetta.transport import AsyncTransport

Colour = Literal["model", "layer", "concept"]


class MapCalls(Connection):
    """The calls about maps: all units of a probe set in two dimensions."""

    def maps(self, probe: str | None = None, *, limit: int | None = None) -> Maps:
        """The maps, newest first; of one probe set when it is named.

        Raises:
            NotFound: with the nearest names.
        """
        return self._run(maps.list_maps(probe, limit))

    def map(self, probe: str, *, version: int | None = None) -> UnitMap:
        """A map with its points.

        Args:
            probe: the probe set's name.
            version: of the probe set's maps; the newest when left out.

        Raises:
            NotFound: when there is none yet, or no such version.

        Example:
            >>> client.map("faces").to_pandas().plot.scatter("x", "y")
        """
        return self._run(maps.get_map(probe, version))

    def make_map(
        self, probe: str, *, n_neighbors: int | None = None, min_dist: float | None = None, seed: int | None = None
    ) -> JobHandle:
        """The job that makes a map; mining does it with the usual numbers, unless the units are very many.

        Args:
            probe: the probe set's name.
            n_neighbors: of each unit that are kept near: few show detail, many the whole. [15]
            min_dist: how near points may lie, from 0 to below 1. [0.1]
            seed: of the layout. [0]
        """
        numbers = {"n_neighbors": n_neighbors, "min_dist": min_dist, "seed": seed}
        return JobHandle(self._transport, self._run(maps.make_map(probe, numbers)))

    def map_picture(self, map_id: int, colour: Colour = "model", *, size: int = 960) -> bytes:
        """A map as a PNG file, `size` pixels wide, coloured by model, layer or concept.

        Raises:
            NotFound: when there is none of that number.
        """
        return self._run(maps.picture(map_id, colour, size))


class AsyncMapCalls:
    """`MapCalls`, awaited."""

    _transport: AsyncTransport

    async def maps(self, probe: str | None = None, *, limit: int | None = None) -> Maps:
        """As `Client.maps`."""
        return await self._transport.run(maps.list_maps(probe, limit))

    async def map(self, probe: str, *, version: int | None = None) -> UnitMap:
        """As `Client.map`."""
        return await self._transport.run(maps.get_map(probe, version))

    async def make_map(
        self, probe: str, *, n_neighbors: int | None = None, min_dist: float | None = None, seed: int | None = None
    ) -> AsyncJobHandle:
        """As `Client.make_map`."""
        numbers = {"n_neighbors": n_neighbors, "min_dist": min_dist, "seed": seed}
        return AsyncJobHandle(self._transport, await self._transport.run(maps.make_map(probe, numbers)))

    async def map_picture(self, map_id: int, colour: Colour = "model", *, size: int = 960) -> bytes:
        """As `Client.map_picture`."""
        return await self._transport.run(maps.picture(map_id, colour, size))
