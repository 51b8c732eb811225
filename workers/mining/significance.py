"""Is a match better than chance? q-values against the permutation null of per-unit maxima."""

from __future__ import annotations

import torch
from torch import Tensor


def q_values(correlation: Tensor, best: Tensor, null: Tensor) -> Tensor:
    """Benjamini-Hochberg q-values of matches.

    A unit's best match is the largest of thousands of correlations, so it is held against the same maximum over
    permuted images. The hypotheses of one family are the best matches of all live units of one model in another;
    p = (1 + #{null maxima >= r}) / (1 + #null) (Phipson & Smyth 2010), and q by Benjamini & Hochberg 1995. A match of
    lower rank gets the q of the threshold at its r, so q never decreases as r falls.

    Args:
        correlation: float [...], the r to judge.
        best: float [U], each live unit's best r; NaN (dead units) is left out.
        null: float [M], per-unit maxima of all permutations; NaN is left out.
    Returns:
        float32 of `correlation`'s shape, in (0, 1]; NaN where r is NaN.
    """
    best = best[~best.isnan()].double().sort().values
    null = null[~null.isnan()].double().sort().values
    if not len(best) or not len(null):
        return torch.where(correlation.isnan(), torch.nan, 1.0).float()
    exceeding = len(null) - torch.searchsorted(null, best)
    p = (1 + exceeding) / (1 + len(null))
    at_least = torch.arange(len(best), 0, -1)  # how many of the family reach each threshold
    q = torch.cummin(p * len(best) / at_least, dim=0).values.clamp(max=1)
    place = torch.searchsorted(best, correlation.double().contiguous(), right=True) - 1
    result = torch.where(place >= 0, q[place.clamp(min=0)], 1.0)
    return torch.where(correlation.isnan(), torch.nan, result).float()
