import pytest
import torch

from workers.translation.chance import judge


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_z_counts_the_deviations_of_a_figures_own_controls():
    figures, controls = numbers(5), numbers(12, 5, seed=1) * torch.tensor([1.0, 10, 100, 1, 1]) + 3
    judged = judge(figures, controls)
    torch.testing.assert_close(judged.expected, controls.mean(0))
    torch.testing.assert_close(judged.z, (figures - controls.mean(0)) / controls.std(0))


def test_chance_alone_is_hardly_ever_significant_and_a_planted_figure_is():
    figures, controls = numbers(400), numbers(16, 400, seed=1)
    figures[7] = 12
    judged = judge(figures, controls)
    assert judged.q_value[7] < 0.1
    assert (judged.q_value < 0.1).sum() <= 2
    below = judge(-figures, controls, symmetric=True)
    assert below.q_value[7] < 0.1
    assert (below.q_value < 0.1).sum() <= 2
    torch.testing.assert_close(below.z, -figures / controls.square().mean(0).sqrt())
    assert not below.expected.any()
    assert judge(-figures, controls).q_value[7] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("place", range(5))
def test_each_control_is_scored_without_itself(place):
    """One figure, of a score just beside a control's own: q is the share of own scores that reach it."""
    controls = numbers(5, 1)
    own = torch.stack(
        [(controls[c] - rest.mean()) / rest.std() for c in range(5) for rest in [controls[torch.arange(5) != c]]]
    )
    for beside in (-1e-6, 1e-6):
        score = own[place] + beside
        expected = (1 + (own >= score).sum()) / 6
        found = judge(controls.mean(0) + score * controls.std(0), controls)
        assert float(found.q_value) == pytest.approx(float(expected))


def test_missing_controls_do_not_count_and_too_few_give_no_verdict():
    controls = numbers(6, 3)
    controls[3:, 0] = torch.nan
    controls[1:, 1] = torch.nan
    controls[:, 2] = 1.0
    judged = judge(torch.tensor([1.0, 1.0, 2.0]), controls)
    assert judged.z[0] == pytest.approx(float((1 - controls[:3, 0].mean()) / controls[:3, 0].std()))
    assert judged.z[1:].isnan().all()
    assert judged.q_value[1:].isnan().all()
    assert judged.q_value[0].isfinite()
