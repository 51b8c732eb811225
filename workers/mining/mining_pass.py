"""One pass over the images: all its models' streams, their cross-products, and r at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from workers.mining.layout import ModelLayout
from workers.mining.neighbours import TopNeighbours
from workers.mining.plan import Block, Pass
from workers.mining.products import CrossProducts
from workers.mining.resize import joint
from workers.mining.sketches import noise_maps, normalise
from workers.mining.stream import ModelStream, Shifts

# A block of r, its sorted copies and indices together stay below this (workers.mining.plan.SCRATCH_BYTES).
_BLOCK_BYTES = 24 * 2**20


class PairState:
    """A pair's top neighbours while its blocks come in, and those of each permutation."""

    def __init__(
        self, first: ModelLayout, second: ModelLayout, keep: int, permutations: int, device: torch.device
    ) -> None:
        self.top = TopNeighbours(first.units, second.units, keep, device)
        self.null = [TopNeighbours(first.units, second.units, 1, device) for _ in range(permutations)]


class MiningPass:
    """The running statistics of one pass."""

    def __init__(
        self,
        part: Pass,
        models: Sequence[ModelLayout],
        noise: ModelLayout,
        shifts: Sequence[Shifts],
        probe_digest: str,
        permutations: int,
        device: torch.device,
    ) -> None:
        """Allocate everything the pass needs (see `Miner`)."""
        self.part, self.seen = part, 0
        self._digest, self._device = probe_digest, device
        sketched = {block.first for block in part.blocks if block.second is None}
        partners: dict[int, list[ModelLayout]] = {place: [] for place in part.models}
        for block in part.blocks:
            if block.second is None:
                partners[block.first].append(noise)
            else:
                partners[block.first].append(models[block.second])
                partners[block.second].append(models[block.first])
        self._streams = {
            place: ModelStream(models[place], partners[place], shifts[place], part.batch, permutations, device)
            for place in part.models
        }
        self._noise = (
            ModelStream(noise, [models[place] for place in sketched], Shifts(), part.batch, permutations, device)
            if sketched
            else None
        )
        self._products = [
            CrossProducts(
                models[block.first],
                noise if block.second is None else models[block.second],
                block.rows,
                0 if block.second is None else permutations,
                device,
            )
            for block in part.blocks
        ]

    def write(self, place: int, layer: str, maps: Tensor) -> None:
        """Take one layer's maps of the batch, [B, C, H, W], of the model at `place`; they are copied at once."""
        self._streams[place].write(layer, maps)

    def finish_batch(self, positions: Tensor) -> None:
        """Add the batch to all sums, once every model has written every layer.

        Args:
            positions: int64 [B], the images' places in the probe set, in the miner's order.
        Raises:
            NonFiniteError: naming model, layer and image.
        """
        images = len(positions)
        if self._noise:
            self._noise.write("noise", noise_maps(self._digest, positions))
        streams = [*self._streams.values(), *([self._noise] if self._noise else [])]
        for stream in streams:
            stream.finish(positions)
        for block, products in self._blocks():
            products.update(
                self._streams[block.first].buffers, self._second(block).buffers, images, self.seen
            )
        for stream in streams:
            stream.roll(images)
        self.seen += images

    def close(self) -> None:
        """Close the null's cycle, after the last batch."""
        for block, products in self._blocks():
            products.close(self._streams[block.first].buffers, self._second(block).buffers)

    def unit_moments(self, place: int) -> dict[str, Tensor]:
        """Mean, std, minimum, maximum and dead of all units by number (workers.mining.miner.Profile)."""
        stream = self._streams[place]
        groups = stream.unit_moments()
        by_number = torch.argsort(stream.layout.numbers)
        return {
            name: torch.cat([getattr(group, name) for group in groups]).cpu()[by_number]
            for name in ("mean", "std", "minimum", "maximum", "dead")
        }

    def fill_pairs(self, states: Mapping[tuple[int, int], PairState]) -> None:
        """Hand each block's r, and its null's, to its pair."""
        for block, products in self._blocks():
            if block.second is None:
                continue
            state = states[block.first, block.second]
            totals = [(state.top, products.cross)] + [
                (state.null[p], [[part[p] for part in row] for row in products.null])
                for p in range(products.permutations)
            ]
            for top, sums in totals:
                for rows, covariances, norms in self._covariances(block, products, sums):
                    top.add(rows, (covariances / norms).float())

    def fill_sketches(self, sketches: Mapping[int, Tensor]) -> None:
        """Write the sketches that this pass took, by unit number."""
        for block, products in self._blocks():
            if block.second is None:
                for rows, covariances, norms in self._covariances(block, products, products.cross):
                    dead = norms[:, 0].isnan()
                    sketches[block.first][rows.cpu()] = normalise(covariances, dead).cpu()

    def _blocks(self) -> Iterator[tuple[Block, CrossProducts]]:
        return zip(self.part.blocks, self._products, strict=True)

    def _second(self, block: Block) -> ModelStream:
        if block.second is not None:
            return self._streams[block.second]
        assert self._noise is not None
        return self._noise

    def _covariances(
        self, block: Block, products: CrossProducts, sums: Sequence[Sequence[Tensor]]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Centred cross-products and the products of norms, NaN for dead units; columns by unit number.

        Yields:
            int64 [n] unit numbers of the rows, float64 [n, V], float64 [n, V].
        """
        first, second = self._streams[block.first], self._second(block)
        numbers = first.layout.numbers.to(self._device)
        columns = torch.argsort(second.layout.numbers).to(self._device)
        dead_rows, dead_columns = self._dead(first), self._dead(second)
        step = max(1, _BLOCK_BYTES // (8 * second.layout.units))
        for i, group in enumerate(first.layout.groups):
            part = products.slices[i]
            for start in range(part.start, part.stop, step):
                rows = slice(start, min(part.stop, start + step))
                covariances, norms = [], []
                for j, other in enumerate(second.layout.groups):
                    grid = joint(group.grid, other.grid)
                    count = self.seen * grid[0] * grid[1]
                    sum_x, norm_x = (value[rows] for value in first.moments[i].at(grid))
                    sum_y, norm_y = second.moments[j].at(grid)
                    total = sums[i][j][rows.start - part.start : rows.stop - part.start].double()
                    covariances.append(total - torch.outer(sum_x, sum_y) / count)
                    norms.append(torch.outer(norm_x, norm_y).sqrt())
                places = slice(group.start + rows.start, group.start + rows.stop)
                norm = torch.cat(norms, 1)
                norm[dead_rows[places]] = torch.nan
                norm[:, dead_columns] = torch.nan
                yield numbers[places], torch.cat(covariances, 1)[:, columns], norm[:, columns]

    @staticmethod
    def _dead(stream: ModelStream) -> Tensor:
        """bool [U], in group order."""
        return torch.cat([group.dead for group in stream.unit_moments()])
