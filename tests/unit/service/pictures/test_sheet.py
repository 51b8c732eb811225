"""The figure: where its pictures are, what its labels do to it, and that nothing leaves the paper."""

from dataclasses import replace

import numpy as np
import pytest

from service.pictures import sheet
from service.pictures.sheet import Figure, Row

WHITE = (255, 255, 255)


def cell(number: int, height: int = 96, width: int = 96) -> np.ndarray:
    """A picture of a colour of its own, which no text or scale has."""
    return np.full((height, width, 3), (number + 1, 200, 7), np.uint8)


def figure(rows: int = 3, columns: int = 4, size: int = 96, **changes) -> Figure:
    values = {
        "title": "Concept 7",
        "facts": ("3 units of 2 models.", "Best buddies: 10."),
        "heads": tuple(str(number) for number in range(columns)),
        "rows": tuple(
            Row((f"model-{row}", "unit 3", "main.8:45"), [cell(row * columns + c, size, size) for c in range(columns)])
            for row in range(rows)
        ),
        "scale": ("mean", "high"),
        "caption": "Columns: the images.",
    }
    return Figure(**values | changes)


def places(drawn: np.ndarray, numbers: int) -> list[tuple[int, int, int, int]]:
    """Top, left, height and width of each picture, by its colour; every one is whole."""
    found = []
    for number in range(numbers):
        down, right = np.nonzero((drawn == cell(number)[0, 0]).all(-1))
        top, left, height, width = down.min(), right.min(), np.ptp(down) + 1, np.ptp(right) + 1
        assert len(down) == height * width
        found.append((int(top), int(left), int(height), int(width)))
    return found


@pytest.mark.parametrize(("rows", "columns", "size"), [(3, 4, 96), (1, 1, 96), (2, 8, 192), (4, 2, 40)])
def test_every_picture_is_whole_and_in_its_row_and_column(rows, columns, size):
    found = places(sheet.draw(figure(rows, columns, size)), rows * columns)
    assert {(height, width) for _, _, height, width in found} == {(size, size)}
    grid = np.array(found).reshape(rows, columns, 4)
    assert (grid[:, :, 0] == grid[:, :1, 0]).all()
    assert (grid[:, :, 1] == grid[:1, :, 1]).all()
    assert (np.diff(grid[:, 0, 0]) > size).all()
    assert (np.diff(grid[0, :, 1]) > size).all()


def test_the_images_stand_apart_from_the_maps():
    tops = [top for top, *_ in places(sheet.draw(figure(rows=3, columns=1)), 3)]
    assert tops[1] - tops[0] > tops[2] - tops[1]


def test_cells_may_be_oblong():
    rows = tuple(Row((f"m{row}",), [cell(2 * row + c, 40, 90) for c in range(2)]) for row in range(2))
    drawn = sheet.draw(Figure("t", (), ("0", "1"), rows, ("mean", "high"), "c"))
    assert {place[2:] for place in places(drawn, 4)} == {(40, 90)}


def test_larger_cells_make_the_same_figure_with_more_pixels():
    small, large = sheet.draw(figure(size=96)), sheet.draw(figure(size=192))
    assert np.array(large.shape) == pytest.approx(2 * np.array(small.shape), rel=0.02, abs=4)


def test_a_long_address_keeps_its_ends_and_the_figure_its_width():
    long = "visual.transformer.resblocks." * 10 + "mlp:512"
    pen = sheet._Pen(1.0)
    short = pen.shorten(long, sheet._LABEL, 210)
    assert pen.width(short, sheet._LABEL) <= 210
    assert short.startswith("visual.tr")
    assert short.endswith("mlp:512")
    assert pen.shorten("main.8:45", sheet._LABEL, 210) == "main.8:45"
    usual = figure()
    drawn = sheet.draw(replace(usual, rows=(*usual.rows[:2], Row((long, long), usual.rows[2].cells))))
    assert drawn.shape[1] < sheet.draw(usual).shape[1] + 210


@pytest.mark.parametrize("columns", [1, 5])
def test_text_is_broken_between_words_and_stays_on_the_paper(columns):
    words = " ".join(["wide"] * 60 + ["x" * 300])
    drawn = sheet.draw(figure(columns=columns, title=words, facts=(words, words), caption=words))
    for margin in (drawn[:, :10], drawn[:, -10:], drawn[:10], drawn[-10:]):
        assert (margin == WHITE).all()
    assert drawn.shape[0] > sheet.draw(figure(columns=columns)).shape[0] + 40


def test_without_labels_there_are_the_cells_alone():
    rows = figure(rows=2, columns=3, size=10).rows
    tiled = sheet.tile(rows, gap=2)
    assert tiled.shape == (22, 34, 3)
    for row in range(2):
        for column in range(3):
            assert (tiled[12 * row :, 12 * column :][:10, :10] == rows[row].cells[column]).all()
    assert (tiled[10:12] == 255).all()
    assert (tiled[:, 10:12] == 255).all()
