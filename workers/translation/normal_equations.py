"""Normal equations: linear regressions of V targets, each on k predictors of its own, from sums alone."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor


class NormalEquations:
    """Streaming sums of products: any split of the samples gives the same.

    Of each target the products of all pairs of (x_1 ... x_k, 1, y), in float64. They tell the regression, and also how
    well any other one does on these samples. The numbers should be of about size 1: nothing is shifted.
    """

    def __init__(self, targets: int, predictors: int) -> None:
        """Begin empty: V targets, k predictors each."""
        self._products = torch.zeros(targets, predictors + 2, predictors + 2, dtype=torch.float64)

    def update(self, rows: Tensor, predictors: Tensor, answers: Tensor) -> None:
        """Take samples of some targets in.

        Args:
            rows: int64 [V'], which targets.
            predictors: float [V', k, S].
            answers: float [V', S].
        """
        ones = torch.ones_like(answers)[:, None]
        values = torch.cat([predictors, ones, answers[:, None]], 1).double()
        self._products[rows] += torch.bmm(values, values.transpose(1, 2)).cpu()

    def merge(self, other: NormalEquations) -> Self:
        """Take in what `other` saw, of other samples."""
        self._products += other._products
        return self

    def solve(self, ridge: float) -> tuple[Tensor, Tensor]:
        """Weights float64 [V, k] and intercept float64 [V] of the ridge regression (Hoerl & Kennard 1970).

        Minimises the mean of (y - a - w x)^2 plus `ridge` times the mean variance of the predictors times |w|^2; of
        several solutions the one of the least |w|, so that a predictor that is always 0 has no weight.
        """
        x, one, y = slice(None, -2), -2, -1
        count = self._products[:, one, one].clamp(min=1)[:, None]
        means = self._products[:, x, one] / count
        mean = self._products[:, one, y] / count[:, 0]
        covariance = self._products[:, x, x] / count[..., None] - means[:, :, None] * means[:, None]
        with_y = self._products[:, x, y] / count - means * mean[:, None]
        variances = covariance.diagonal(dim1=1, dim2=2)
        penalty = ridge * variances.mean(1)[:, None, None] * torch.eye(variances.shape[1], dtype=torch.float64)
        weights = (torch.linalg.pinv(covariance + penalty, hermitian=True) @ with_y[..., None])[..., 0]
        return weights, mean - (weights * means).sum(1)

    def explained(self, weights: Tensor, intercept: Tensor) -> tuple[Tensor, float]:
        """R^2 of a regression on these samples: of each target, float64 [V], NaN where it is always the same; of all.

        That of all is 1 - the sum of all squared errors / the sum of all squared deviations.
        """
        one = torch.ones_like(intercept)
        errors = torch.cat([-weights, -intercept[:, None], one[:, None]], 1)
        residual = torch.einsum("vi,vij,vj->v", errors, self._products, errors)
        squares, sums, count = self._products[:, -1, -1], self._products[:, -1, -2], self._products[:, -2, -2]
        total = squares - sums.square() / count
        live = total > 1e-10 * squares
        by_target = torch.where(live, 1 - residual / total, torch.nan)
        return by_target, float(1 - residual[live].sum() / total[live].sum())
