"""Maps as pictures: dots where the points are, in the colours of the page."""

from __future__ import annotations

import io
import re
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from service.pictures import scatter
from service.queries.maps import Points


def points(count: int, seed: int = 0) -> Points:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, count)).astype(np.float32)
    concept = np.where(np.arange(count) < 3, 7, np.where(np.arange(count) < 5, 8, -1)).astype(np.int32)
    model, layer = rng.integers(0, 2, (2, count)).astype(np.uint16)
    return Points(x, y, np.arange(count, dtype=np.int32), concept, model, layer)


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_the_page_has_the_same_colours():
    css = (files("service.web.static") / "map.css").read_text()
    light = css[: css.index("@media (prefers-color-scheme: dark)")]
    found = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", light))
    assert tuple(found[f"m{place}"] for place in range(8)) == scatter.PALETTE
    assert tuple(found[f"d{place}"] for place in range(6)) == scatter.RAMP
    assert found["rest"] == scatter.REST


def test_colours_say_what_they_are_asked():
    some = points(40)
    by_model = scatter.colours(some, "model", [2, 2])
    assert {tuple(one) for one in by_model[some.model == 1]} == {(*scatter._rgb(scatter.PALETTE[1]), 255)}
    by_layer = scatter.colours(some, "layer", [2, 2])
    assert tuple(by_layer[some.layer == 0][0, :3]) == scatter._rgb(scatter.RAMP[0])
    assert tuple(by_layer[some.layer == 1][0, :3]) == scatter._rgb(scatter.RAMP[-1])
    by_concept = scatter.colours(some, "concept", [2, 2], [7])
    expected = [scatter.PALETTE[0]] * 3 + [scatter.REST] * 37
    assert [tuple(one) for one in by_concept[:, :3]] == [scatter._rgb(colour) for colour in expected]
    assert (by_concept[:, 3] == 255).tolist() == [True] * 5 + [False] * 35


def test_one_layer_and_more_models_than_colours():
    some = points(20)._replace(model=np.arange(20, dtype=np.uint16), layer=np.zeros(20, np.uint16))
    assert {tuple(one[:3]) for one in scatter.colours(some, "layer", [1] * 20)} == {scatter._rgb(scatter.RAMP[0])}
    by_model = scatter.colours(some, "model", [1] * 20)
    assert np.array_equal(by_model[0], by_model[8])


def test_dots_are_where_the_points_are():
    some = points(3)._replace(x=np.float32([-2, 0, 2]), y=np.float32([-1, 0, 1]))
    picture = opened(scatter.draw(some, scatter.colours(some, "model", [2, 2]), width=300))
    assert picture.shape == (200, 300, 4)
    rows, columns = np.nonzero(picture[..., 3] > 128)
    centres = [(round(columns[near].mean()), round(rows[near].mean())) for near in (columns < 100, columns > 200)]
    (left, low), (right, high) = centres
    assert abs(left + right - 300) <= 2
    assert abs(low + high - 200) <= 2
    assert low > high  # y goes up
    assert (right - left) / (low - high) == pytest.approx(2, abs=0.05)  # one scale both ways


def test_what_stands_out_is_larger_and_the_rest_pale():
    some = points(200)
    tints = scatter.colours(some, "model", [2, 2])
    plain = opened(scatter.draw(some, tints, width=400))
    raised = np.zeros(200, bool)
    raised[0] = True
    one = opened(scatter.draw(some, tints, width=400, raised=raised))
    strong = one[..., 3] > 200
    assert 0 < strong.sum() < 0.1 * (plain[..., 3] > 200).sum()
    assert ((one[..., 3] > 0) & ~strong).sum() > 0.5 * (plain[..., 3] > 200).sum()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_points(count):
    some = points(count)
    picture = opened(scatter.draw(some, scatter.colours(some, "model", [2, 2]), width=150))
    assert (picture[..., 3].max() > 0) == (count > 0)
