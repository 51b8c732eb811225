"""One pass over the images: all its models' streams, their cross-products, and r at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from workers.mining.exemplars import Exemplars
from workers.mining.layout import ModelLayout
from workers.mining.neighbours import TopNeighbours
from workers.mining.plan import Block, Pass
from workers.mining.products import CrossProducts
from workers.mining.resize import joint
from workers.mining.sketches import noise_maps, normalise
from workers.mining.stream import ModelStream, Shifts
from workers.mining.thumbnails import Thumbnails, thumbnails

TakeThumbnails = Callable[[str, Thumbnails], None]

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
    """The running statistics of one pass.

    Attributes:
        part: which one.
        seen: images so far.
        sketched: places of the models whose sketches it takes.
    """

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
        self._dead_units: dict[ModelStream, Tensor] = {}
        self._digest, self._device = probe_digest, device
        self.sketched = sketched = {block.first for block in part.blocks if block.second is None}
        partners: dict[int, list[ModelLayout]] = {place: [] for place in part.models}
        for block in part.blocks:
            if block.second is None:
                partners[block.first].append(noise)
            else:
                partners[block.first].append(models[block.second])
                partners[block.second].append(models[block.first])
        self._streams = {
            place: ModelStream(
                models[place],
                partners[place],
                shifts[place],
                part.batch,
                permutations,
                device,
                exemplars=place in sketched,
            )
            for place in part.models
        }
        self._noise = (
            ModelStream(noise, [models[place] for place in sketched], Shifts(), part.batch, 0, device)
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

    def finish_batch(self, positions: Tensor, take: Mapping[int, TakeThumbnails] = MappingProxyType({})) -> None:
        """Add the batch to all sums, once every model has written every layer.

        Args:
            positions: int64 [B], the images' places in the probe set, in the miner's order.
            take: by a model's place, what takes the thumbnails of each of its layers; of models in `sketched` alone.
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
            products.update(self._streams[block.first].buffers, self._second(block).buffers, images, self.seen)
        for place, take_one in take.items():
            for layer, found in thumbnails(self._streams[place], images):
                take_one(layer, found)
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

    def exemplars(self, place: int) -> tuple[Exemplars, Exemplars] | None:
        """By maximum and by mean, of all units by number; None where this pass took no sketch of the model."""
        stream = self._streams[place]
        found = stream.exemplars()
        if found is None:
            return None
        by_number = torch.argsort(stream.layout.numbers)
        by_maximum, by_mean = (Exemplars(one.images.cpu()[by_number], one.values.cpu()[by_number]) for one in found)
        return by_maximum, by_mean

    def fill_pairs(self, states: Mapping[tuple[int, int], PairState]) -> None:
        """Hand each block's r, and its null's, to its pair."""
        for block, products in self._blocks():
            if block.second is None:
                continue
            state = states[block.first, block.second]
            for i, rows in self._row_slices(block, products):
                numbers, norms = self._norms(block, i, rows)
                covariances = self._covariances(block, products, products.cross[i], i, rows)
                state.top.add(numbers, (covariances / norms).float())
                for p, top in enumerate(state.null):
                    null = [part[p] for part in products.null[i]]
                    top.add(numbers, (self._covariances(block, products, null, i, rows) / norms).float())

    def fill_sketches(self, sketches: Mapping[int, Tensor]) -> None:
        """Write the sketches that this pass took, by unit number."""
        for block, products in self._blocks():
            if block.second is None:
                for i, rows in self._row_slices(block, products):
                    numbers, norms = self._norms(block, i, rows)
                    covariances = self._covariances(block, products, products.cross[i], i, rows)
                    sketches[block.first][numbers.cpu()] = normalise(covariances, norms[:, 0].isnan()).cpu()

    def _blocks(self) -> Iterator[tuple[Block, CrossProducts]]:
        return zip(self.part.blocks, self._products, strict=True)

    def _second(self, block: Block) -> ModelStream:
        if block.second is not None:
            return self._streams[block.second]
        assert self._noise is not None
        return self._noise

    def _row_slices(self, block: Block, products: CrossProducts) -> Iterator[tuple[int, slice]]:
        """The block's rows in slices that fit the scratch memory: group index, channels of the group."""
        step = max(1, _BLOCK_BYTES // (8 * self._second(block).layout.units))
        for i, part in enumerate(products.slices):
            for start in range(part.start, part.stop, step):
                yield i, slice(start, min(part.stop, start + step))

    def _norms(self, block: Block, i: int, rows: slice) -> tuple[Tensor, Tensor]:
        """Unit numbers of the rows, int64 [n], and float64 [n, V] |x| |y|, centred; NaN for dead units."""
        first, second = self._streams[block.first], self._second(block)
        group = first.layout.groups[i]
        places = slice(group.start + rows.start, group.start + rows.stop)
        parts = []
        for j, other in enumerate(second.layout.groups):
            grid = joint(group.grid, other.grid)
            squared = torch.outer(first.moments[i].at(grid)[1][rows], second.moments[j].at(grid)[1])
            parts.append(squared.sqrt_())
        norms = torch.cat(parts, 1)
        norms[self._dead(first)[places]] = torch.nan
        norms[:, self._dead(second)] = torch.nan
        return first.layout.numbers.to(self._device)[places], self._by_number(second, norms)

    def _covariances(
        self, block: Block, products: CrossProducts, sums: Sequence[Tensor], i: int, rows: slice
    ) -> Tensor:
        """Centred cross-products of some rows of group i: float64 [n, V], columns by unit number."""
        first, second = self._streams[block.first], self._second(block)
        local = slice(rows.start - products.slices[i].start, rows.stop - products.slices[i].start)
        parts = []
        for j, other in enumerate(second.layout.groups):
            grid = joint(first.layout.groups[i].grid, other.grid)
            count = self.seen * grid[0] * grid[1]
            means = torch.outer(first.moments[i].at(grid)[0][rows], second.moments[j].at(grid)[0] / count)
            parts.append(sums[j][local].double() - means)
        return self._by_number(second, torch.cat(parts, 1))

    @staticmethod
    def _by_number(stream: ModelStream, columns: Tensor) -> Tensor:
        """Columns in group order, put in order of unit numbers."""
        if len(stream.layout.groups) == 1:
            return columns
        return columns[:, torch.argsort(stream.layout.numbers).to(columns.device)]

    def _dead(self, stream: ModelStream) -> Tensor:
        """Which units are dead: bool [U], in group order; asked for after the last batch."""
        if stream not in self._dead_units:
            self._dead_units[stream] = torch.cat([group.dead for group in stream.unit_moments()])
        return self._dead_units[stream]
