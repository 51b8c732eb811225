"""The curve of losses: places in the SVG against points that are worked out by hand."""

import math

import pytest

from service.web.charts import HEIGHT, WIDTH, loss_curve


def test_the_highest_loss_is_at_the_top_and_steps_are_evenly_apart():
    curve = loss_curve([2.0, 1.0, 0.0])
    assert curve.path == f"0.0,0.0 {WIDTH / 2:.1f},{HEIGHT / 2:.1f} {WIDTH:.1f},{HEIGHT:.1f}"
    assert (curve.first, curve.last, curve.steps) == (2.0, 0.0, 3)
    assert [text for _, text in curve.ticks] == ["2.00", "1.33", "0.67", "0.00"]


def test_losses_may_be_negative_or_all_the_same_and_some_no_number():
    assert loss_curve([-0.5, math.nan, -1.0]).path == f"0.0,0.0 {WIDTH:.1f},{HEIGHT:.1f}"
    assert loss_curve([-0.5, -1.0]).ticks[0][1] == "\N{MINUS SIGN}0.50"
    assert loss_curve([0.3, 0.3]).path == f"0.0,0.0 {WIDTH:.1f},0.0"


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, math.inf]])
def test_no_curve_of_fewer_than_two(losses):
    assert loss_curve(losses) is None
