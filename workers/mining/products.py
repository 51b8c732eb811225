"""Cross-products of two models' units, and of the permutation null, in one pass."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from workers.mining.buffers import GroupBuffer
from workers.mining.layout import ModelLayout
from workers.mining.resize import common

# Products are summed in float32 over so many images, then in float64: rounding stays that of one product.
_PARTIAL_IMAGES = 256


def accumulator_bytes(rows: int, columns: int, permutations: int) -> int:
    """What `CrossProducts` of rows x columns units takes."""
    return rows * columns * (8 + 4 + 4 * permutations)


class CrossProducts:
    """Sums over images and positions of x[u] y[v], for a range of one model's units and all of another's.

    `cross[i][j]`: float64 [C_i, C_j] for group i of the first and group j of the second model. The null sets each
    image of the first model against another image of the second, at the same positions: in visiting order, the
    p-th permutation shifts by p (p = 1 ... permutations), cyclically. Since images are visited in a random order this
    is a random derangement, and any split into batches gives the same one. `null[i][j]`: float32 [p, C_i, C_j].
    """

    def __init__(
        self,
        first: ModelLayout,
        second: ModelLayout,
        rows: slice,
        permutations: int,
        device: torch.device,
    ) -> None:
        """Begin with zeros.

        Args:
            first: the model whose units are the rows.
            second: the model whose units are the columns.
            rows: which of the first model's units, in its group order.
            permutations: how many permutations the null takes.
            device: where to accumulate.
        """
        self.first, self.second, self.rows = first, second, rows
        self.permutations = permutations
        self.slices = []
        for group in first.groups:
            low = max(rows.start, group.start) - group.start
            high = min(rows.stop, group.start + group.channels) - group.start
            self.slices.append(slice(low, max(low, high)))
        sizes = [part.stop - part.start for part in self.slices]
        columns = [group.channels for group in second.groups]
        self._cross = [[torch.zeros(n, m, dtype=torch.float64, device=device) for m in columns] for n in sizes]
        self._partial = [[torch.zeros(n, m, device=device) for m in columns] for n in sizes]
        self._partial_images = 0
        self.null = [[torch.zeros(permutations, n, m, device=device) for m in columns] for n in sizes]

    def update(self, first: list[GroupBuffer], second: list[GroupBuffer], images: int, seen: int) -> None:
        """Take a batch in.

        Args:
            first, second: the two models' buffers, by group.
            images: how many images the batch has.
            seen: how many came before it.
        """
        for i, x in enumerate(first):
            if self.slices[i].start == self.slices[i].stop:
                continue
            for j, y in enumerate(second):
                sums = [self._partial[i][j], *self.null[i][j]]
                grid = common(x.group.grid, y.group.grid)
                for p, total in enumerate(sums):
                    skip = max(0, p - seen)  # the first p images of all meet the last ones, in `close`
                    if images > skip:
                        left = x.rows(grid, skip, images - skip)[:, self.slices[i]]
                        total.addmm_(left.T, y.rows(grid, skip - p, images - skip))
        self._partial_images += images
        if self._partial_images >= _PARTIAL_IMAGES:
            self._flush()

    @property
    def cross(self) -> list[list[Tensor]]:
        """The sums so far, float64 [C_i, C_j] by group."""
        self._flush()
        return self._cross

    def _flush(self) -> None:
        if not self._partial_images:
            return
        for row, partials in zip(self._cross, self._partial, strict=True):
            for total, partial in zip(row, partials, strict=True):
                total += partial
                partial.zero_()
        self._partial_images = 0

    def close(self, first: list[GroupBuffer], second: list[GroupBuffer]) -> None:
        """Close the cycle of the null, after the last batch: the first images meet the last ones."""
        for i, x in enumerate(first):
            for j, y in enumerate(second):
                grid = common(x.group.grid, y.group.grid)
                for p in range(1, self.permutations + 1):
                    left = x.head(grid, p)[:, self.slices[i]]
                    self.null[i][j][p - 1].addmm_(left.T, y.tail(grid, p))

    def merge(self, other: CrossProducts) -> Self:
        """Take in what `other` summed over other images shifted by the same (each closes its own null)."""
        for mine, theirs in ((self.cross, other.cross), (self.null, other.null)):
            for row, other_row in zip(mine, theirs, strict=True):
                for a, b in zip(row, other_row, strict=True):
                    a += b
        return self
