import numpy as np
import pytest
import torch

from workers.translation.normal_equations import NormalEquations

V, K, S = 4, 3, 200


def samples(seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(V, K, S)) + 0.5, generator.normal(size=(V, S))


def sums_of(x, y, *splits):
    sums = NormalEquations(V, K)
    for split in splits or (slice(None),):
        sums.update(torch.arange(V), torch.from_numpy(x[..., split]), torch.from_numpy(y[..., split]))
    return sums


def by_lstsq(x, y, ridge):
    """Weights and intercept: the penalty as further rows of the centred problem."""
    centred = x - x.mean(1, keepdims=True)
    penalty = np.sqrt(ridge * centred.var(1).mean() * x.shape[1]) * np.eye(len(x))
    rows, answers = np.vstack([centred.T, penalty]), np.concatenate([y - y.mean(), np.zeros(len(x))])
    weights = np.linalg.lstsq(rows, answers, rcond=None)[0]
    return weights, y.mean() - weights @ x.mean(1)


@pytest.mark.parametrize("ridge", [0.0, 0.01, 2.0])
def test_the_solution_is_that_of_least_squares(ridge):
    x, y = samples()
    weights, intercept = sums_of(x, y).solve(ridge)
    for unit in range(V):
        expected = by_lstsq(x[unit], y[unit], ridge)
        np.testing.assert_allclose(weights[unit], expected[0], atol=1e-10)
        np.testing.assert_allclose(intercept[unit], expected[1], atol=1e-10)


def test_predictors_that_are_missing_or_the_same_have_the_least_weights():
    x, y = samples()
    x[0, 1] = 0
    x[1, 2] = x[1, 0]
    weights, _ = sums_of(x, y).solve(0.0)
    np.testing.assert_allclose(weights[0, [0, 2]], by_lstsq(x[0, [0, 2]], y[0], 0)[0], atol=1e-8)
    assert abs(weights[0, 1]) < 1e-12
    np.testing.assert_allclose(weights[1], by_lstsq(x[1], y[1], 0)[0], atol=1e-8)


def test_explained_is_r_squared_of_any_regression_on_other_samples():
    weights, intercept = sums_of(*samples()).solve(0.01)
    x, y = samples(seed=1)
    by_unit, total = sums_of(x, y).explained(weights, intercept)
    errors = (y - np.einsum("vk,vks->vs", weights, x) - intercept.numpy()[:, None]) ** 2
    spread = (y - y.mean(1, keepdims=True)) ** 2
    np.testing.assert_allclose(by_unit, 1 - errors.sum(1) / spread.sum(1), atol=1e-10)
    assert total == pytest.approx(1 - errors.sum() / spread.sum())


def test_a_target_that_is_always_the_same_has_none_and_is_left_out_of_the_total():
    x, y = samples()
    y[2] = 3.0
    by_unit, total = sums_of(x, y).explained(torch.zeros(V, K).double(), torch.zeros(V).double())
    assert by_unit.isnan().tolist() == [False, False, True, False]
    others = y[[0, 1, 3]]
    expected = 1 - (others**2).sum() / ((others - others.mean(1, keepdims=True)) ** 2).sum()
    assert total == pytest.approx(expected)


def test_any_split_gives_the_same():
    x, y = samples()
    whole = sums_of(x, y).solve(0.1)
    parts = sums_of(x, y, slice(0, 1), slice(1, 90)).merge(sums_of(x, y, slice(90, None))).solve(0.1)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other)


def test_some_targets_at_a_time():
    x, y = samples()
    sums = NormalEquations(V, K)
    for rows in (torch.tensor([2, 0]), torch.tensor([1, 3])):
        sums.update(rows, torch.from_numpy(x)[rows], torch.from_numpy(y)[rows])
    torch.testing.assert_close(sums.solve(0.0)[0], sums_of(x, y).solve(0.0)[0])
