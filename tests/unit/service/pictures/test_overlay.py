"""Heat maps on maps of one's own making: colours, blending, contour, files."""

import io

import numpy as np
import pytest
from PIL import Image

from service.pictures import overlay
from service.pictures.colours import TABLE, colour, normalise
from service.pictures.overlay import Scale


def lightness(rgb):
    """L* of CIELAB, from sRGB uint8 [..., 3] (CIE 1976, IEC 61966-2-1)."""
    linear = np.where((c := rgb / 255) <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)


def bilinear(values, height, width):
    """Slow and obvious: half-pixel centres, clamped at the edges; float64."""
    result = np.empty((height, width))
    for row in range(height):
        for column in range(width):
            y = np.clip((row + 0.5) * values.shape[0] / height - 0.5, 0, values.shape[0] - 1)
            x = np.clip((column + 0.5) * values.shape[1] / width - 0.5, 0, values.shape[1] - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, values.shape[0] - 1), min(left + 1, values.shape[1] - 1)
            above = values[top, left] * (1 - x + left) + values[top, right] * (x - left)
            below = values[bottom, left] * (1 - x + left) + values[bottom, right] * (x - left)
            result[row, column] = above * (1 - y + top) + below * (y - top)
    return result


def test_colours_grow_lighter_in_equal_steps():
    steps = np.diff(lightness(TABLE.astype(float)))
    assert (steps > -0.05).all()  # 8 bits a channel
    coarse = np.diff(lightness(TABLE[15::15].astype(float)))  # L* is no measure of what is nearly black
    assert coarse.max() / coarse.min() < 1.5  # inferno is even in CAM02-UCS, which L* comes near: 1.405
    assert TABLE.shape == (256, 3)


def test_values_find_their_places():
    values = np.array([-9, 1, 2, 3, 9], np.float32)
    assert normalise(values, 1, 3).tolist() == [0, 0, 0.5, 1, 1]
    assert normalise(values, 2, 2).tolist() == [0] * 5
    assert (colour(np.array([0, 0.5, 1], np.float32)) == TABLE[[0, 128, 255]]).all()


@pytest.mark.parametrize(("own", "size"), [((4, 4), (16, 16)), ((3, 5), (17, 23)), ((1, 1), (8, 8)), ((7, 7), (7, 7))])
def test_maps_are_resized_bilinearly(own, size):
    values = np.random.default_rng(0).normal(size=own).astype(np.float32)
    assert overlay.resize_map(values, *size) == pytest.approx(bilinear(values.astype(float), *size), abs=1e-5)


def test_a_smaller_map_is_an_average():
    values = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    assert overlay.resize_map(values, 8, 8).std() < values.std() / 4


@pytest.mark.parametrize(
    ("shape", "size", "fitted"),
    [((64, 64), 256, (256, 256)), ((64, 32), 100, (100, 50)), ((10, 1000), 16, (1, 16)), ((48, 64), None, (48, 64))],
)
def test_pictures_keep_their_aspect(shape, size, fitted):
    assert overlay.fit(*shape, size) == fitted


def test_the_scale_ends_three_deviations_up_or_at_the_greatest():
    assert Scale.of(1.0, 2.0, 100.0) == Scale(1.0, 7.0)
    assert Scale.of(1.0, 2.0, 4.0) == Scale(1.0, 4.0)


def test_without_an_image_the_picture_is_the_table():
    values = np.array([[0, 1], [2, 4]], np.float32)
    picture, level = overlay.heatmap(values, Scale(0, 4), None, (2, 2))
    assert level is None
    assert (picture == TABLE[[[0, 64], [128, 255]]]).all()


def test_cold_places_show_the_image_and_hot_ones_the_colour():
    image = np.full((2, 2, 3), (200, 100, 50), np.uint8)
    values = np.array([[0, 1], [0, 1]], np.float32)
    picture, _ = overlay.heatmap(values, Scale(0, 1), image, (2, 2))
    grey = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    cold = 0.8 * (0.4 * np.array([200, 100, 50]) + 0.6 * grey)
    hot = 0.2 * cold + 0.8 * TABLE[255].astype(float)
    assert picture[0, 0] == pytest.approx(cold, abs=0.51)
    assert picture[1, 1] == pytest.approx(hot, abs=0.51)


def test_a_contour_follows_the_circle():
    y, x = np.mgrid[:101, :101] - 50
    cone = (60 - np.hypot(y, x)).astype(np.float32)
    line = overlay.contour(cone, 30.0, 1.0)
    off = np.abs(np.hypot(y, x) - 30)
    assert (line[off < 0.45] == 1).all()
    assert (line[off > 1.6] == 0).all()
    assert line.sum() == pytest.approx(2 * 2 * np.pi * 30, rel=0.05)  # two pixels wide, once around


def test_a_contour_has_its_width_on_any_slope():
    x = np.arange(40, dtype=np.float32)[None].repeat(5, 0)
    for slope in (1e-3, 1.0, 1e4):
        line = overlay.contour(slope * x, slope * 20, 0.8)
        assert line[2].sum() == pytest.approx(1.6, abs=0.05)


def test_the_contour_encloses_what_is_above_the_quantile():
    values = np.random.default_rng(3).normal(size=(6, 6)).astype(np.float32)
    picture, level = overlay.heatmap(values, Scale(-9, -8), None, (96, 96), 0.9)
    resized = bilinear(values.astype(float), 96, 96)
    assert level == pytest.approx(np.quantile(resized, 0.9), abs=1e-5)
    drawn = (picture != TABLE[255]).any(-1)
    assert drawn.any()
    slope = np.hypot(*np.gradient(resized))
    assert (np.abs(resized - level)[drawn] <= 2.001 * slope[drawn]).all()


def test_fine_texture_leaves_a_contour_whole():
    y, x = np.mgrid[:112, :112] / 112
    texture = 0.5 * (-1.0) ** np.arange(112)
    values = (np.exp(-((x - 0.5) ** 2 + (y - 0.5) ** 2) * 20) + texture).astype(np.float32)
    picture, _ = overlay.heatmap(values, Scale(8, 9), None, (112, 112), 0.95)
    rows, columns = np.nonzero((picture != TABLE[0]).any(-1))
    radius = np.hypot(rows - 55.5, columns - 55.5)
    assert radius.max() - radius.min() < 5
    assert radius.mean() == pytest.approx(112 * np.sqrt(0.05 / np.pi), abs=1)


@pytest.mark.parametrize("values", [np.zeros((4, 4)), np.full((4, 4), 7.0), np.zeros((1, 1))])
def test_a_flat_map_has_no_contour(values):
    picture, level = overlay.heatmap(values.astype(np.float32), Scale(0, 1), None, (32, 32), 0.95)
    assert level is None
    assert (picture == picture[0, 0]).all()


def test_a_plateau_is_not_painted_over():
    values = np.zeros((32, 32), np.float32)
    values[8:24, 8:24] = 6  # as ReLU6 leaves them
    picture, level = overlay.heatmap(values, Scale(0, 6), None, (32, 32), 0.9)
    assert level == 6
    assert (picture[12:20, 12:20] == TABLE[255]).all()
    assert (picture[:4] == TABLE[0]).all()


@pytest.mark.parametrize("form", ["png", "webp"])
def test_files(form):
    y, x = np.mgrid[:32, :32]
    pixels = np.stack([8 * y, 8 * x, 0 * x + 90], -1).astype(np.uint8)
    image = Image.open(io.BytesIO(overlay.encode(pixels, form)))
    assert image.format.lower() == form
    assert np.asarray(image).astype(int) == pytest.approx(pixels.astype(int), abs=0 if form == "png" else 25)
