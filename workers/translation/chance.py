"""Is a figure more than what controls give? z-scores against them, and q-values against all of them together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workers.mining.significance import q_values


@dataclass(frozen=True)
class Judged:
    """Figures beside their controls.

    Attributes:
        expected: float64, what the controls give on average.
        z: float64, deviations of the controls between the figure and that.
        q_value: float32, Benjamini-Hochberg over all figures; NaN where there are no two finite controls.
    """

    expected: Tensor
    z: Tensor
    q_value: Tensor


def judge(figures: Tensor, controls: Tensor, *, two_sided: bool = False) -> Judged:
    """Figures held against controls, each against its own.

    A handful of controls tells their mean and deviation, but no small p: so each control is scored as the figures are,
    against the other controls of its figure, and the scores of all of them make one null.

    Args:
        figures: float64 [...].
        controls: float64 [C, ...], NaN where there is none.
        two_sided: whether figures far below their controls count as well.
    """
    controls = controls.double()
    there = controls.isfinite()
    count = there.sum(0)
    values = torch.where(there, controls, 0.0)
    centre = values.sum(0) / count
    offsets = torch.where(there, controls - centre, 0.0)
    squares = offsets.square().sum(0)
    z = _score(figures - centre, squares, count)
    # Without control c: the mean moves by -offset / (n - 1), the sum of squares by -offset^2 n / (n - 1).
    rest = (count - 1).clamp(min=1)
    others = (squares - offsets.square() * count / rest).clamp(min=0)
    null = _score(torch.where(there, offsets * count / rest, torch.nan), others, count - 1)
    if two_sided:
        return Judged(centre, z, q_values(z.abs(), z.abs().flatten(), null.abs().flatten()))
    return Judged(centre, z, q_values(z, z.flatten(), null.flatten()))


def _score(offset: Tensor, squares: Tensor, count: Tensor) -> Tensor:
    """Offsets in deviations; NaN with fewer than two controls, or where all of them are the same."""
    std = (squares / (count - 1)).sqrt()
    return torch.where((count >= 2) & (std > 0), offset / std, torch.nan)
