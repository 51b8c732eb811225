"""Inversion of a generator whose maps are linear in z: the truth is known."""

import io

import pytest
import torch

from rosetta.errors import InvalidRequest
from tests.unit.workers.translation.planted import styled
from tests.unit.workers.translation.steered import FINE_SIDE, LATENTS, plane, targets_of
from workers.translation.coordinates import Coordinates
from workers.translation.inversion import Inversion
from workers.translation.objective import ImageTerm, Objective
from workers.translation.search import Search
from workers.translation.targets import Targets
from workers.zoo.base import Latents

SEARCH = Search(steps=120, draws=16, prior=0.0)


def truth(images, seed=5):
    return torch.randn(images, LATENTS, generator=torch.Generator().manual_seed(seed))


def inversion(z, search=SEARCH, poison=None, start=None, **terms):
    generator = plane(poison)
    objective = Objective(generator, [targets_of(z)], **terms)
    return Inversion(objective, Coordinates(generator), search, start)


def test_linear_maps_give_the_latents_away():
    z = truth(4)
    found = inversion(z, Search(steps=300, draws=16, prior=0.0)).run()
    torch.testing.assert_close(found.latents.values, z, rtol=0, atol=0.02)
    assert found.correlation.min() > 0.995
    assert found.losses.shape == (300, 4)
    torch.testing.assert_close(found.loss, found.losses.amin(0))
    assert not found.failed.any()
    torch.testing.assert_close(found.images, plane().images(plane().module(found.latents.values)))


def test_shuffled_pairs_give_nothing_away():
    z = truth(4)
    right = targets_of(z)
    wrong = Targets(tuple(type(layer)(layer.layer, tuple(reversed(layer.pairs)), layer.maps) for layer in right.layers))
    generator = plane()
    found = Inversion(Objective(generator, [wrong]), Coordinates(generator), SEARCH).run()
    assert (found.latents.values - z).norm() > 10 * (inversion(z).run().latents.values - z).norm()


def test_an_image_does_not_depend_on_the_others():
    z = truth(5)
    together = inversion(z).run()
    alone = inversion(z[3:4]).run()
    torch.testing.assert_close(together.latents.values[3:4], alone.latents.values, rtol=1e-4, atol=1e-4)
    assert together.start[3] == alone.start[0]


def test_the_same_recipe_gives_the_same():
    z = truth(3)
    one, two = inversion(z).run(), inversion(z).run()
    assert one.latents.values.equal(two.latents.values)
    assert one.losses.equal(two.losses)


@pytest.mark.parametrize("stop", [1, 10, 37])
def test_an_interrupted_one_goes_on_to_the_same(stop):
    search = Search(steps=40, draws=16, starts=3, scouting=10)
    z = truth(3)
    whole = inversion(z, search).run()
    first = inversion(z, search)
    while first.step < stop:
        first.advance()
    file = io.BytesIO()
    torch.save(first.state(), file)
    first.run()  # what was saved is not what goes on changing
    file.seek(0)
    second = inversion(z, search)
    second.restore(torch.load(file, weights_only=True))
    assert second.step == stop
    result = second.run()
    for name in ("loss", "correlation", "losses", "start", "images"):
        assert getattr(result, name).equal(getattr(whole, name)), name
    assert result.latents.values.equal(whole.latents.values)


def test_a_state_is_a_copy():
    running = inversion(truth(2))
    running.advance()
    state = running.state()
    kept = {name: value.clone() for name, value in state.items() if isinstance(value, torch.Tensor)}
    for _ in range(3):
        running.advance()
    for name, value in kept.items():
        torch.testing.assert_close(value, state[name], equal_nan=True, rtol=0, atol=0)


def test_a_state_of_another_recipe():
    state = inversion(truth(2)).state()
    with pytest.raises(InvalidRequest, match="a state of 2 images, 120 steps"):
        inversion(truth(3)).restore(state)


def test_of_several_starts_the_best_is_kept():
    z = truth(6)
    search = Search(steps=60, draws=8, starts=4, scouting=20, prior=0.0)
    found = inversion(z, search).run()
    running = inversion(z, search)
    for _ in range(20):
        running.advance()
    assert running.state()["_best"].shape == (4, 6)
    assert (found.loss <= running.state()["_best"].amin(0)).all()


def test_watching_shows_the_way():
    seen = []
    running = inversion(truth(2), Search(steps=5, draws=4))
    running.run(lambda one: seen.append((one.step, one.losses.shape, one.images().shape)))
    assert seen == [(step, (step, 2), (2, 3, FINE_SIDE, FINE_SIDE)) for step in range(1, 6)]


def spoil_above(limit):
    """Latents whose first number is greater become NaN."""
    return lambda z: torch.where(z[:, :1] > limit, torch.nan, z)


def test_losses_that_are_not_finite_begin_again_elsewhere():
    z = truth(4).clamp(max=0.2)
    z[:, 0] = 0.3
    found = inversion(z, Search(steps=300, draws=64, prior=0.0), poison=spoil_above(0.5)).run()
    torch.testing.assert_close(found.latents.values, z, rtol=0, atol=0.05)
    assert found.loss.isfinite().all()
    assert not found.failed.any()


def test_where_nothing_is_finite_the_failure_is_told_and_the_others_go_on():
    z = truth(3)
    keep = z.clone()

    def poison(latents):  # as if the generator broke near one of the images
        return torch.where((latents - keep[1]).norm(dim=1, keepdim=True) < 2.2, torch.nan, latents)

    search = Search(steps=60, draws=6, prior=0.0, rate=0.3)
    found, clean = inversion(z, search, poison=poison).run(), inversion(z, search).run()
    assert found.failed.tolist() == [False, True, False]
    assert found.loss.isfinite().all()  # the best until then
    assert found.latents.values[[0, 2]].equal(clean.latents.values[[0, 2]])


def test_a_gradient_that_is_not_finite_counts_as_well():
    class Break(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return z.clone()

        @staticmethod
        def backward(ctx, gradient):
            (z,) = ctx.saved_tensors
            return torch.where(z[:, :1] > 1.0, torch.nan, gradient)

    z = truth(4)
    z[:, 0] = 0
    found = inversion(z, Search(steps=200, draws=32, prior=0.0), poison=Break.apply).run()
    torch.testing.assert_close(found.latents.values, z, rtol=0, atol=0.1)


def test_going_on_from_latents():
    z = truth(2)
    near = Latents(z + 0.3)
    first = inversion(z, Search(steps=1), start=near)
    assert first.run().latents.values.equal(near.values)
    held = inversion(z, Search(steps=80, prior=0.0, keep=1e3), start=near).run()
    torch.testing.assert_close(held.latents.values, near.values, rtol=0, atol=0.02)
    with pytest.raises(InvalidRequest, match="this generator's are \\[6\\] in z"):
        inversion(z, start=Latents(torch.zeros(2, 5)))


def test_the_prior_holds_latents_near_the_middle():
    z = truth(2) * 3
    free, held = inversion(z).run(), inversion(z, Search(steps=120, draws=16, prior=0.2)).run()
    assert held.latents.values.norm() < free.latents.values.norm()


def test_the_class_is_searched_or_given():
    z, classes = truth(4), torch.tensor([2, 0, 1, 2])
    generator = plane(classes=3)
    objective = Objective(generator, [targets_of(z, classes)])
    search = Search(steps=300, draws=64, starts=8, scouting=60, prior=0.0)
    found = Inversion(objective, Coordinates(generator), search).run()
    assert found.latents.classes.equal(classes)
    torch.testing.assert_close(found.latents.values, z, rtol=0, atol=0.05)
    given = Inversion(objective, Coordinates(generator, class_index=1), Search(steps=20, draws=8)).run()
    assert given.latents.classes.tolist() == [1, 1, 1, 1]
    # Going on keeps the classes.
    assert (
        Inversion(objective, Coordinates(generator), Search(steps=2), found.latents)
        .run()
        .latents.classes.equal(classes)
    )


def test_by_the_picture_alone():
    z = truth(2)
    generator = plane()
    images = generator.images(generator.module(z))
    objective = Objective(generator, images=[ImageTerm(images, 100.0)])
    found = Inversion(objective, Coordinates(generator), Search(steps=300, draws=32, prior=0.0)).run()
    torch.testing.assert_close(found.images, images, rtol=0, atol=0.01)
    assert found.correlation.isnan().all()


def test_only_pixels_that_count():
    images, where = torch.rand(2, 3, 4, 4), torch.zeros(2, 1, 4, 4)
    where[:, :, :2] = 1
    other = images.clone()
    other[:, :, 2:] += 1
    assert ImageTerm(images, 2.0, where=where).of_own(other).tolist() == [[0, 0]]
    other[0, :, 0, 0] += 1
    torch.testing.assert_close(ImageTerm(images, 2.0, where=where).of_own(other), torch.tensor([[2 / 16, 0]]))
    everywhere = ImageTerm(images, 2.0)
    torch.testing.assert_close(everywhere.of_all(other).diagonal(), everywhere.of_own(other)[0])


def test_the_pass_ends_after_the_last_layer_that_counts():
    generator = plane()
    targets = Targets(targets_of(truth(2)).layers[:1])  # the first layer's
    objective = Objective(generator, [targets])
    finished, calls = generator.module.finished, generator.module.calls
    objective.losses(Latents(truth(2)))
    assert (generator.module.finished - finished, generator.module.calls - calls) == (0, 1)
    pictured = Objective(generator, [targets], [ImageTerm(torch.rand(2, 3, 8, 8), 1.0)])
    finished = generator.module.finished
    pictured.losses(Latents(truth(2)))
    assert generator.module.finished - finished == 1


def test_nothing_to_reach():
    with pytest.raises(InvalidRequest, match="as many images"):
        Objective(plane())
    with pytest.raises(InvalidRequest, match=r"\[2, 3\] came"):
        Objective(plane(), [targets_of(truth(2))], [ImageTerm(torch.rand(3, 3, 8, 8), 1.0)])


@pytest.mark.parametrize(
    "numbers", [{"steps": 0}, {"starts": 3, "draws": 2}, {"rate": 0.0}, {"prior": -1.0}, {"rate": float("nan")}]
)
def test_searches_that_are_none(numbers):
    with pytest.raises(InvalidRequest, match="an inversion"):
        Search(**numbers)


@pytest.mark.parametrize("space", ["w", "w+"])
def test_style_vectors(space):
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    network = styled(weight)
    coordinates = Coordinates(network, space)
    drawn, _ = coordinates.draw([0, 1])
    assert drawn.shape[1:] == ((3, 3) if space == "w+" else (3,))
    back = coordinates.of(coordinates.latents(drawn))
    torch.testing.assert_close(back, drawn)
    w = coordinates.latents(torch.zeros(1, *drawn.shape[1:])).values
    torch.testing.assert_close(w, torch.full_like(w, 5.0), rtol=0, atol=0.1)  # the mean w
    z = torch.randn(2, 4)
    expected = z @ weight.T + 5
    found = coordinates.latents(coordinates.of(Latents(z))).values
    torch.testing.assert_close(found, expected[:, None].expand_as(found) if space == "w+" else expected)
    halfway = coordinates.latents(coordinates.of(Latents(z, truncation=0.5))).values
    torch.testing.assert_close(halfway, (found + 5) / 2)
    images = network.images(network.module(*network.inputs(Latents(expected, "w"))))
    objective = Objective(network, images=[ImageTerm(images, 1e4)])
    result = Inversion(objective, coordinates, Search(steps=150, draws=32, prior=0.0)).run()
    assert result.latents.space == space
    torch.testing.assert_close(result.images, images, rtol=0, atol=2e-3)


def test_spaces_that_are_not_there():
    with pytest.raises(InvalidRequest, match="no w"):
        Coordinates(plane(), "w")
    with pytest.raises(InvalidRequest, match="truncation belongs to z"):
        Coordinates(styled(torch.randn(3, 4)), "w", truncation=0.5)
    with pytest.raises(InvalidRequest, match="cannot be brought to z"):
        Coordinates(styled(torch.randn(3, 4)), "z").of(Latents(torch.zeros(1, 3), "w"))
