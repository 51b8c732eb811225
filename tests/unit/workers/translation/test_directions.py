import math

import pytest
import torch
from planted import linear, painter, styled
from torch import nn

from rosetta.errors import InvalidRequest
from workers.translation.directions import LatentMoments, gather, to_w, to_w_plus, walk
from workers.zoo.base import Latents, LatentSpace, Network

SIZES = torch.tensor([5.0, 3.0, 2.0, 0.5])


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def orthogonal(rows, columns, seed=0):
    return torch.linalg.qr(numbers(rows, columns, seed=seed))[0]


def axes(features=4):
    """A matrix of known singular values, and its right singular vectors in rows."""
    right = orthogonal(4, 4, seed=1).T
    return orthogonal(features, 4, seed=2) @ torch.diag(SIZES) @ right, right


def turned(found, expected):
    """The expected rows, with the sign that the convention gives them."""
    largest = expected.gather(1, expected.abs().argmax(1, keepdim=True))
    return (expected * largest.sign()).to(found)


def exactly_normal(count, dimensions):
    """Samples whose mean is 0 and whose covariance is exactly the identity, float64."""
    values = numbers(count, dimensions).double()
    values -= values.mean(0)
    return values @ torch.linalg.inv(torch.linalg.cholesky(values.T @ values / (count - 1))).T


def test_a_linear_layers_axes_come_back_in_z():
    weight, right = axes(features=30)
    z = exactly_normal(300, 4)
    found = gather(linear(weight.double()), [Latents(z[:100]), Latents(z[100:])]).principal(3)
    torch.testing.assert_close(found.steps, turned(found.steps, right[:3]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.share, (SIZES.square() / SIZES.square().sum())[:3].double(), atol=1e-5, rtol=1e-5)
    assert (found.space, found.layer, found.samples) == ("z", "units", 300)


def test_the_axes_of_w_are_its_principal_ones():
    weight, _ = axes()
    z = exactly_normal(300, 4)
    found = gather(styled(weight.double()), [Latents(z)]).principal(10)
    left, sizes, _ = torch.linalg.svd(weight.double())
    assert (found.space, found.layer) == ("w", None)
    torch.testing.assert_close(found.basis, turned(found.basis, left.T), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found.std, sizes, atol=1e-6, rtol=1e-6)
    assert float(found.share.sum()) == pytest.approx(1)


def test_of_any_sample_axes_and_shares_are_those_of_numpys_svd():
    w = numbers(50, 6).double() * torch.arange(1, 7) + 1e6
    moments = LatentMoments("w", 6)
    moments.update(w)
    found = moments.principal(6)
    centred = w - w.mean(0)
    _, sizes, right = torch.linalg.svd(centred, full_matrices=False)
    torch.testing.assert_close(found.std, sizes / math.sqrt(49), atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(found.basis, turned(found.basis, right), atol=1e-6, rtol=1e-6)


def test_what_is_not_linear_in_z_is_in_no_direction_but_in_the_total():
    """Activations (3 z0, z1^2): the first is explained, the second's variance, 2, is not."""

    class Squares(nn.Module):
        def __init__(self):
            super().__init__()
            self.units = nn.Identity()

        def forward(self, z):
            return self.units(torch.stack([3 * z[:, 0], z[:, 1].square()], 1))

    network = Network(Squares(), ("units",), "x", "planted", latents=LatentSpace(2, 1, 1), inputs=lambda x: (x.values,))
    z = numbers(100_000, 2)
    found = gather(network, [Latents(z)]).principal(2)
    assert found.share[0] == pytest.approx(9 / 11, abs=0.01)
    assert found.share[1] < 0.001
    torch.testing.assert_close(found.steps[0], torch.tensor([1.0, 0.0]).double(), atol=0.02, rtol=0)


@pytest.mark.parametrize("features", [0, 7])
def test_any_split_gives_the_same(features):
    latents = numbers(60, 5) + 1000
    values = None if not features else latents @ numbers(5, 7, seed=3) + numbers(60, 7, seed=4)

    def moments(*splits):
        found = LatentMoments("z", 5, "layer" if features else None, features)
        for split in splits:
            found.update(latents[split], None if values is None else values[split])
        return found

    whole = moments(slice(None)).principal(5)
    for found in (
        moments(slice(0, 1), slice(1, 20), slice(20, 60)),
        moments(slice(30, 60)).merge(moments(slice(0, 30))),
        LatentMoments("z", 5, "layer" if features else None, features).merge(moments(slice(None))),
    ):
        torch.testing.assert_close(found.principal(5).steps, whole.steps, atol=1e-8, rtol=1e-8)
        torch.testing.assert_close(found.principal(5).share, whole.share, atol=1e-10, rtol=1e-8)


def test_random_steps_are_one_deviation_long_and_stay_in_the_latents_space():
    w = exactly_normal(100, 3) @ torch.diag(torch.tensor([4.0, 1.0, 0.0])).double()
    moments = LatentMoments("w", 3)
    moments.update(w)
    steps = moments.random(200, seed=0)
    torch.testing.assert_close((steps / torch.tensor([4.0, 1.0, 1.0])).norm(dim=1), torch.ones(200).double())
    assert steps[:, 2].abs().max() < 1e-9
    assert torch.equal(steps, moments.random(200, seed=0))
    assert not torch.equal(steps, moments.random(200, seed=1))
    assert len(moments.principal(3).steps) == 2


def test_latents_that_were_given_are_left_alone():
    w = numbers(20, 3).double()
    before = w.clone()
    LatentMoments("w", 3).update(w)
    assert torch.equal(w, before)


def test_too_few_samples_or_none_or_broken_ones_are_refused():
    moments = LatentMoments("w", 5)
    moments.update(numbers(5, 5))
    with pytest.raises(InvalidRequest, match="5 came"):
        moments.principal(2)
    moments.update(torch.full((9, 5), torch.nan))
    with pytest.raises(InvalidRequest, match="NaN"):
        moments.principal(2)
    same = LatentMoments("w", 2)
    same.update(torch.ones(9, 2))
    with pytest.raises(InvalidRequest, match="the same"):
        same.principal(1)
    with pytest.raises(InvalidRequest, match="there are none"):
        gather(painter(), [])
    with pytest.raises(InvalidRequest, match="no layer 'nowhere'"):
        gather(painter(), [Latents(numbers(2, 4))], "nowhere")
    with pytest.raises(InvalidRequest, match="an earlier layer"):
        LatentMoments("z", 512, "late", 2**20)


def test_z_becomes_w_and_w_a_vector_for_each_layer():
    weight, _ = axes()
    generator = styled(weight)
    z = Latents(numbers(2, 4), truncation=0.5)
    w = to_w(generator, z)
    torch.testing.assert_close(w.values, z.values @ weight.T + 5)
    plus = to_w_plus(w, 3)
    assert (w.space, plus.space, plus.truncation) == ("w", "w+", 0.5)
    for latents in (w, plus):
        torch.testing.assert_close(generator.module(*generator.inputs(latents)), generator.module(*generator.inputs(z)))
    assert to_w(generator, plus) is plus
    assert not w.values.is_inference()  # an inversion goes on from it, with gradients
    with pytest.raises(InvalidRequest, match="no styles"):
        to_w(painter(), z)
    with pytest.raises(InvalidRequest, match="make w"):
        to_w_plus(z, 3)


def test_a_walk_lists_all_places_of_one_latent_before_the_next():
    start = Latents(numbers(2, 4), classes=torch.tensor([3, 8]), truncation=0.7)
    step = torch.arange(4).double()
    walked = walk(start, step, [-1, 0, 2.5], "z")
    torch.testing.assert_close(walked.values[0], start.values[0] - step.float())
    torch.testing.assert_close(walked.values[1], start.values[0])
    torch.testing.assert_close(walked.values[5], start.values[1] + 2.5 * step.float())
    assert walked.classes.tolist() == [3, 3, 3, 8, 8, 8]
    assert walked.truncation == 0.7


def test_a_walk_in_w_plus_moves_the_layers_that_are_named():
    start = Latents(numbers(2, 3, 4), space="w+")
    step = torch.arange(4).double()
    walked = walk(start, step, [0, 1], "w", slice(1, 2)).values.unflatten(0, (2, 2))
    moved = walked[:, 1] - start.values
    torch.testing.assert_close(moved[:, 1], step.float().expand(2, 4))
    assert not moved[:, ::2].any()
    torch.testing.assert_close(walk(start, step, [1], "w").values, start.values + step.float())


@pytest.mark.parametrize(
    ("latents", "space", "sigmas", "styles", "message"),
    [
        (Latents(torch.zeros(1, 4)), "w", [1], None, "of w moves no z"),
        (Latents(torch.zeros(1, 5)), "z", [1], None, "moves no z of 5"),
        (Latents(torch.zeros(1, 4), "w"), "w", [1], slice(0, 1), "only w\\+"),
        (Latents(torch.zeros(1, 4)), "z", [math.nan], None, "finite"),
    ],
)
def test_a_walk_that_cannot_be_is_refused(latents, space, sigmas, styles, message):
    with pytest.raises(InvalidRequest, match=message):
        walk(latents, torch.ones(4), sigmas, space, styles)
