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


def test_each_control_is_scored_without_itself():
    """The same figure and controls in one column: q is the share of the controls' own scores above the figure's."""
    controls = numbers(30, 1)
    own = []
    for place in range(30):
        rest = torch.cat([controls[:place], controls[place + 1 :]])[:, 0]
        own.append((controls[place, 0] - rest.mean()) / rest.std())
    figure = controls.mean(0) + 1.2 * controls.std(0)
    expected = (1 + sum(score >= 1.2 for score in own)) / 31
    assert float(judge(figure, controls).q_value) == pytest.approx(float(expected))


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
