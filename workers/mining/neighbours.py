"""Top neighbours, kept while blocks of a correlation matrix stream by; ranks both ways; best buddies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workers.mining.errors import ShapeError

_CHUNK = 4096  # rows at once when ranks are looked up, to bound the [rows, K, K] temporary


@dataclass(frozen=True)
class Neighbours:
    """Each unit's best units of another model, best first.

    Attributes:
        index: int64 [U, K], unit numbers of the other model; -1 where there is none (dead units, small models).
        correlation: float32 [U, K], Pearson r; NaN where there is none.
    """

    index: Tensor
    correlation: Tensor


class TopNeighbours:
    """Top K both ways of an [A, B] matrix that arrives in blocks of rows."""

    def __init__(self, rows: int, columns: int, keep: int, device: torch.device) -> None:
        """Begin with nothing kept.

        Args:
            rows: A.
            columns: B.
            keep: K, at most.
            device: where the blocks are.
        """
        self._keep = min(keep, columns), min(keep, rows)
        self._row_values = torch.full((rows, self._keep[0]), -torch.inf, device=device)
        self._row_index = torch.full((rows, self._keep[0]), -1, dtype=torch.int64, device=device)
        self._column_values = torch.full((self._keep[1], columns), -torch.inf, device=device)
        self._column_index = torch.full((self._keep[1], columns), -1, dtype=torch.int64, device=device)

    def add(self, rows: Tensor, block: Tensor) -> None:
        """Take in some complete rows.

        Args:
            rows: int64 [n], which rows of the matrix they are; each row comes once.
            block: float32 [n, B]; NaN is never chosen. Overwritten.
        Raises:
            ShapeError: when the two do not fit.
        """
        if block.ndim != 2 or block.shape != (len(rows), self._column_values.shape[1]):
            raise ShapeError(f"block is {tuple(block.shape)}, expected {(len(rows), self._column_values.shape[1])}")
        block.nan_to_num_(nan=-torch.inf)
        values, index = block.topk(self._keep[0], dim=1)
        self._row_values[rows] = values
        self._row_index[rows] = index
        values, index = block.topk(min(self._keep[1], len(rows)), dim=0)
        values = torch.cat([self._column_values, values])
        index = torch.cat([self._column_index, rows[index]])
        self._column_values, best = values.topk(self._keep[1], dim=0)
        self._column_index = index.gather(0, best)

    def result(self) -> tuple[Neighbours, Neighbours]:
        """The rows' neighbours among the columns, and the columns' among the rows."""
        return (
            self._finish(self._row_values, self._row_index),
            self._finish(self._column_values.T, self._column_index.T),
        )

    @staticmethod
    def _finish(values: Tensor, index: Tensor) -> Neighbours:
        none = values == -torch.inf
        return Neighbours(index.masked_fill(none, -1).cpu(), values.clamp(-1, 1).masked_fill(none, torch.nan).cpu())


def reciprocal_ranks(forward: Tensor, backward: Tensor) -> Tensor:
    """At which rank each neighbour has the unit among its own.

    Args:
        forward: int64 [A, K], unit numbers of B, best first; -1: none.
        backward: int64 [B, L], unit numbers of A, best first; -1: none.
    Returns:
        int64 [A, K], 1-based; 0: not among the neighbour's L, or there is no neighbour.
    """
    ranks = torch.zeros_like(forward)
    for start in range(0, len(forward), _CHUNK):
        index = forward[start : start + _CHUNK]
        units = torch.arange(start, start + len(index)).view(-1, 1, 1)
        found = backward[index.clamp(min=0)] == units
        ranks[start : start + _CHUNK] = torch.where(found.any(-1) & (index >= 0), found.int().argmax(-1) + 1, 0)
    return ranks


def best_buddies(forward: Tensor, backward: Tensor, k: int = 1) -> Tensor:
    """Pairs of units that rank each other among their top k.

    Args:
        forward: int64 [A, >= k], each unit's neighbours, best first; -1: none.
        backward: int64 [B, >= k], the other way.
        k: the same both ways.
    Returns:
        int64 [M, 2], rows (a, b) in order of a, then rank (Dravid et al. 2023, section 3).
    """
    forward = forward[:, :k]
    units, rank = (reciprocal_ranks(forward, backward[:, :k]) > 0).nonzero(as_tuple=True)
    return torch.stack([units, forward[units, rank]], dim=1)
