import pytest
import torch
from planted import eye, linear, painter

from workers.mining.layout import LayerShape, ModelLayout
from workers.translation.movements import MovementSums
from workers.translation.responses import Subject
from workers.zoo.base import Latents


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def subject(network, channels, side, std):
    layout = ModelLayout("net", (LayerShape("units", channels, side, side),))
    return Subject(network, layout, torch.full((channels,), 0.25).double(), torch.tensor(std).double())


def random_steps(count, dimensions):
    steps = numbers(count, dimensions, seed=9)
    return steps / steps.norm(dim=1, keepdim=True)


def test_a_linear_unit_moves_by_its_weights_over_its_deviation():
    weight = numbers(5, 6).float()
    generator = linear(weight)
    std = [0.5, 1.0, 2.0, 0.0, 4.0]
    steps = random_steps(2, 6)
    sums = MovementSums(generator, steps, random_steps(9, 6), [subject(generator, 5, 1, std)], sigma=1.5)
    sums.update(Latents(numbers(3, 6).float()))
    moved = sums.result(0)
    scale = torch.tensor([2.0, 1.0, 0.5, 0.0, 0.25])
    torch.testing.assert_close(moved.change, steps @ weight.double().T * scale, atol=1e-5, rtol=1e-5)
    assert moved.z[:, 3].isnan().all()  # a dead unit
    assert moved.q_value[:, 3].isnan().all()


def test_what_a_direction_alone_moves_stands_out_and_chance_does_not():
    """40 units: the first answers to the first number of z, strongly; the others weakly to all."""
    weight = 0.1 * numbers(40, 30).float()
    weight[0] = 0
    weight[0, 0] = 1
    generator = linear(weight)
    step = torch.eye(30, dtype=torch.float64)[:1]
    sums = MovementSums(generator, step, random_steps(40, 30), [subject(generator, 40, 1, [1.0] * 40)])
    sums.update(Latents(numbers(2, 30).float()))
    moved = sums.result(0)
    assert int(moved.z[0].abs().argmax()) == 0
    assert moved.q_value[0, 0] < 0.05
    assert (moved.q_value[0] < 0.05).sum() == 1


def test_a_direction_turned_round_moves_as_much_the_other_way():
    generator = linear(numbers(40, 30).float())
    steps = random_steps(1, 30)
    found = []
    for sign in (1, -1):
        sums = MovementSums(generator, sign * steps, random_steps(8, 30), [subject(generator, 40, 1, [1.0] * 40)])
        sums.update(Latents(numbers(2, 30).float()))
        found.append(sums.result(0))
    torch.testing.assert_close(found[1].z, -found[0].z, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[1].q_value, found[0].q_value, atol=0.02, rtol=0)


def test_units_of_networks_that_look_at_the_image_are_watched_as_well():
    generator = painter()
    watched = [subject(eye(), 3, 8, [0.1, 0.1, 0.1]), subject(generator, 4, 8, [1.0] * 4)]
    step = torch.tensor([[0.1, 0.0, 0.0, 0.0]], dtype=torch.float64)
    sums = MovementSums(generator, step, 0.1 * random_steps(4, 4), watched)
    sums.update(Latents(torch.ones(2, 4)))
    torch.testing.assert_close(sums.result(0).change[0], torch.tensor([0.025, 0.0, -0.025]).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(sums.result(1).change[0], torch.tensor([0.05, 0, 0, 0]).double(), atol=1e-6, rtol=0)


def test_a_concept_moves_as_the_mean_of_its_units():
    weight = numbers(4, 6).float()
    generator = linear(weight)
    sums = MovementSums(generator, random_steps(2, 6), random_steps(9, 6), [subject(generator, 4, 1, [1.0] * 4)])
    sums.update(Latents(numbers(3, 6).float()))
    units, concepts = sums.result(0), sums.result(0, [[1, 3], [2]])
    torch.testing.assert_close(concepts.change[:, 0], units.change[:, [1, 3]].mean(1))
    torch.testing.assert_close(concepts.z[:, 1], units.z[:, 2])
    assert concepts.q_value.shape == (2, 2)


@pytest.mark.parametrize("rows", [1, 5, 64])
def test_any_split_gives_the_same(rows):
    z = numbers(7, 4).float()
    watched = [subject(eye(), 3, 8, [0.1, 0.1, 0.1])]
    steps, controls = random_steps(3, 4), random_steps(5, 4)

    def sums(*splits):
        found = MovementSums(painter(), steps, controls, watched, rows=rows)
        for split in splits:
            found.update(Latents(z[split]))
        return found

    parts = sums(slice(0, 1), slice(1, 5)).merge(sums(slice(5, 7)))
    torch.testing.assert_close(parts.result(0).change, sums(slice(None)).result(0).change, atol=1e-6, rtol=1e-5)


def test_w_plus_moves_in_every_layer():
    class Sum(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.units = torch.nn.Identity()

        def forward(self, ws):
            return self.units(ws.sum(1))[:, :1, None, None].expand(-1, 3, 4, 4)

    generator = linear(torch.ones(1, 2))
    generator = type(generator)(**{**vars(generator), "module": Sum()})
    sums = MovementSums(
        generator, torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2), [subject(generator, 2, 1, [1.0, 1.0])]
    )
    sums.update(Latents(torch.zeros(1, 3, 2), space="w+"))
    torch.testing.assert_close(sums.result(0).change, torch.tensor([[3.0, 6.0]]).double())
