import math

import pytest
import torch
from planted import SIDE, painter
from torch import nn

from rosetta.errors import InvalidRequest
from workers.mining.activations import Recorder
from workers.translation.interventions import Intervening, Intervention, controls, coverage
from workers.zoo.base import LatentSpace, Network

UNITS = "units"
Z = torch.tensor([[1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 0.5, 0.0]])


def maps_with(*interventions, rows=None):
    """What the units are before and after, and the image."""
    generator, seen = painter(), []
    before = Z[:, :, None, None] * generator.module.masks
    with (
        Intervening(generator, interventions, rows),
        Recorder(generator.module, [UNITS], lambda _, maps: seen.append(maps.clone())) as recorder,
    ):
        image = recorder.run_whole(Z)
    return before, seen[0], image


@pytest.mark.parametrize(
    ("intervention", "expected"),
    [
        (Intervention.zero(UNITS, 0), lambda x: 0 * x),
        (Intervention.set(UNITS, 0, 1.5), lambda x: 0 * x + 1.5),
        (Intervention.boost(UNITS, 0, 3.0), lambda x: 3 * x),
        (Intervention.add(UNITS, 0, -0.5), lambda x: x - 0.5),
    ],
)
def test_a_unit_is_changed_and_no_other(intervention, expected):
    before, after, image = maps_with(intervention)
    torch.testing.assert_close(after[:, 0], expected(before[:, 0]))
    torch.testing.assert_close(after[:, 1:], before[:, 1:])
    torch.testing.assert_close(image[:, 0], 0.05 * after[:, :3].sum(1))


def test_a_box_changes_cells_as_far_as_it_covers_them():
    before, after, _ = maps_with(Intervention.zero(UNITS, 3, box=(1.5, 2.0, 2.0, 1.0)))
    expected = before[:, 3].clone()
    expected[:, 2, 1:4] *= torch.tensor([0.5, 0.0, 0.5])
    torch.testing.assert_close(after[:, 3], expected)


@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (4, 4), (64, 64)])
def test_coverage_keeps_the_part_of_the_image_that_a_box_has(grid):
    box, image = (3.3, 1.25, 17.1, 30.5), (48, 32)
    covered = coverage(box, image, grid)
    assert covered.shape == grid
    assert covered.min() >= 0
    assert covered.max() <= 1
    assert float(covered.mean()) == pytest.approx(17.1 * 30.5 / (48 * 32), rel=1e-5)


def test_coverage_cell_by_cell_as_by_counting_fine_points():
    box, image, grid, fine = (1.0, 2.5, 4.0, 3.25), (8, 8), (3, 4), 96
    x, y, width, height = box
    rows, columns = ((torch.arange(fine) + 0.5) * side / fine for side in image)
    inside = torch.outer(((rows > y) & (rows < y + height)).double(), ((columns > x) & (columns < x + width)).double())
    expected = inside.unflatten(0, (grid[0], -1)).unflatten(2, (grid[1], -1)).mean((1, 3))
    torch.testing.assert_close(coverage(box, image, grid).double(), expected, atol=1e-6, rtol=0)


def test_interventions_follow_each_other_and_each_has_its_images():
    before, after, _ = maps_with(Intervention.add(UNITS, 0, 1.0), Intervention.boost(UNITS, 0, 2.0))
    torch.testing.assert_close(after[:, 0], 2 * (before[:, 0] + 1))
    before, after, _ = maps_with(
        Intervention.zero(UNITS, 0),
        Intervention.set(UNITS, 0, 7.0),
        Intervention.zero(UNITS, 1),
        rows=[[1], [0], slice(None)],
    )
    assert (after[0, 0] == 7).all()
    assert not after[1, 0].any()
    assert not after[:, 1].any()


def test_what_changes_is_said_beforehand():
    intervention = Intervention(UNITS, 1, scale=0.3, shift=-2.0, box=(2.5, 1.0, 4.0, 6.5))
    before, after, _ = maps_with(intervention)
    torch.testing.assert_close(intervention.change(before[:, 1], (SIDE, SIDE)), after[:, 1] - before[:, 1])


def test_hooks_detach_also_after_an_error_and_the_maps_given_are_left_alone():
    generator = painter()
    clean = generator.module(Z)
    with Intervening(generator, [Intervention.zero(UNITS, 0)]):
        assert not torch.equal(generator.module(Z), clean)
    with pytest.raises(RuntimeError), Intervening(generator, [Intervention.zero(UNITS, 0)]):
        generator.module(Z[:, :3])
    assert torch.equal(generator.module(Z), clean)
    modules = list(generator.module.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def network_of(module, to_maps=None, channels=4):
    return Network(
        module,
        ("0",),
        "x",
        "planted",
        latents=LatentSpace(channels, 2, 2),
        images=lambda x: x,
        inputs=lambda x: (x.values,),
        to_maps=to_maps,
    )


def test_tokens_are_changed_through_their_maps_and_gradients_pass():
    network = network_of(nn.Sequential(nn.Identity()), lambda _, tokens: tokens.transpose(1, 2).unflatten(2, (2, 2)))
    tokens = torch.randn(3, 4, 5, requires_grad=True)
    with Intervening(network, [Intervention.boost("0", 2, 3.0, box=(0, 0, 1, 1))]):
        output = network.module(tokens)
    expected = tokens.detach().clone()
    expected[:, 0, 2] *= 3
    torch.testing.assert_close(output.detach(), expected)
    output.sum().backward()
    assert tokens.grad[:, 0, 2].eq(3).all()
    assert tokens.grad.sum() == 60 + 2 * 3


def test_a_module_called_twice_is_changed_at_its_first_call_in_every_pass():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.same = nn.Identity()

        def forward(self, x):
            return self.same(self.same(x) + 1)

    network = network_of(Twice())
    with Intervening(network, [Intervention.zero("same", 0)]):
        for _ in range(2):
            assert network.module(torch.full((1, 1, 1, 1), 5.0)).item() == 1


@pytest.mark.parametrize(
    ("intervention", "message"),
    [
        (Intervention.zero("elsewhere", 0), "no layer 'elsewhere'"),
        (Intervention.zero(UNITS, -1), "-1 is none"),
        (Intervention.set(UNITS, 0, math.nan), "finite"),
        (Intervention.zero(UNITS, 0, box=(0, 0, math.inf, 1)), "finite"),
        (Intervention.zero(UNITS, 0, box=(5, 0, 4, 1)), "8 x 8 pixels"),
        (Intervention.zero(UNITS, 0, box=(0, -1, 2, 2)), "inside the image"),
        (Intervention.zero(UNITS, 0, box=(0, 0, 0, 2)), "has an area"),
    ],
)
def test_what_cannot_be_done_is_refused_beforehand(intervention, message):
    with pytest.raises(InvalidRequest, match=message):
        Intervening(painter(), [intervention])


def test_what_is_seen_only_in_the_pass_is_refused_there():
    generator = painter()
    with (
        pytest.raises(InvalidRequest, match="channels 0 to 3, and none 4"),
        Intervening(generator, [Intervention.zero(UNITS, 4)]),
    ):
        generator.module(Z)
    copied = network_of(nn.Sequential(nn.Identity()), lambda _, maps: maps * 2)
    with pytest.raises(InvalidRequest, match="made from its output"), Intervening(copied, [Intervention.zero("0", 0)]):
        copied.module(torch.ones(1, 4, 2, 2))


def test_controls_are_other_live_units_of_the_layer_with_the_same_intervention():
    std = {"a": torch.tensor([1.0, 2.0, 0.0, 4.0, torch.nan, 0.5]), "b": torch.ones(3)}
    asked = [
        Intervention.zero("a", 0),
        Intervention.zero("a", 1),
        Intervention.add("a", 1, 3.0, box=(0, 0, 1, 1)),
        Intervention.zero("b", 2),
    ]
    found, places = controls(asked, std, 8, seed=0)
    assert places[0] == places[1]
    assert {found[place].channel for place in places[0]} == {3, 5}
    assert {(one.channel, one.shift) for one in (found[place] for place in places[2])} == {(3, 6.0), (5, 0.75)}
    assert all(found[place].box == (0, 0, 1, 1) and found[place].scale == 1 for place in places[2])
    assert {found[place].channel for place in places[3]} == {0, 1}
    assert controls(asked, std, 8, seed=0) == (found, places)
    assert len(controls(asked, std, 1, seed=3)[1][0]) == 1
