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
        q_value: float32, Benjamini-Hochberg over all figures; NaN where no two controls differ.
    """

    expected: Tensor
    z: Tensor
    q_value: Tensor


def judge(figures: Tensor, controls: Tensor, *, symmetric: bool = False) -> Judged:
    """Figures held against controls, each against its own.

    A handful of controls tells their mean and deviation, but no small p: so each control is scored as the figures are,
    against the other controls of its figure, and the scores of all of them make one null.

    Args:
        figures: float64 [...].
        controls: float64 [C, ...], NaN where there is none.
        symmetric: the sign of a control is arbitrary, so that their mean is known to be 0; then a figure far below 0
            counts as one far above.
    """
    controls = controls.double()
    there = controls.isfinite()
    count = there.sum(0)
    values = torch.where(there, controls, 0.0)
    lost = 0 if symmetric else 1  # degrees of freedom that the mean takes
    centre = torch.zeros_like(values[0]) if symmetric else values.sum(0) / count
    offsets = torch.where(there, controls - centre, 0.0)
    squares = offsets.square().sum(0)
    z = _score(figures - centre, squares, count - lost)
    # Without control c, the mean moves by -offset / (n - 1), and the sum of squares by -offset^2 n / (n - 1).
    outside = 1.0 if symmetric else count / (count - 1).clamp(min=1)
    others = (squares - offsets.square() * outside).clamp(min=0)
    null = _score(torch.where(there, offsets * outside, torch.nan), others, count - 1 - lost)
    if symmetric:
        return Judged(centre, z, q_values(z.abs(), z.abs().flatten(), null.abs().flatten()))
    return Judged(centre, z, q_values(z, z.flatten(), null.flatten()))


def _score(offset: Tensor, squares: Tensor, freedom: Tensor) -> Tensor:
    """Offsets in deviations; NaN without a degree of freedom, or where all controls are the same."""
    std = (squares / freedom).sqrt()
    return torch.where((freedom > 0) & (std > 0), offset / std, torch.nan)
