"""The figure of the paper: rows are units, columns the same images; with a title, labels and a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from service.pictures.colours import TABLE

LAYOUT = 1  # raise it when the same figure gives other pixels

Pixels = npt.NDArray[np.uint8]
_Colour = tuple[int, int, int]

_PAPER, _INK, _GREY = (255, 255, 255), (17, 24, 39), (88, 97, 111)
# Lengths for cells of 96 pixels. A figure of larger cells is the same one with more pixels; text never gets smaller.
_CELL = 96
_MARGIN, _GAP, _BESIDE_LABELS, _UNDER_HEADS, _UNDER_IMAGES, _AROUND_ROWS, _UNDER_SCALE = 24, 3, 18, 3, 9, 16, 6
_LONGEST_LABEL, _NARROWEST = 210, 400  # of a label; between the margins
_BAR = (84, 7)  # of the scale of colours
_LEADING = 1.45


@dataclass(frozen=True)
class Type:
    """A style of text: size for cells of 96 pixels, colour, and how much its strokes are widened to stand out."""

    size: float
    colour: _Colour
    weight: float = 0.0


_TITLE, _NAME = Type(20, _INK, 0.3), Type(13, _INK, 0.22)
_TEXT, _LABEL, _SMALL = Type(12, _GREY), Type(11, _GREY), Type(10.5, _GREY)


@dataclass(frozen=True)
class Row:
    """A row of pictures, all of one size.

    Attributes:
        label: its lines; the first is what it is of, the others say more.
        cells: uint8 [H, W, 3] each.
    """

    label: tuple[str, ...]
    cells: Sequence[Pixels]


@dataclass(frozen=True)
class Figure:
    """What a grid shows.

    Attributes:
        title: in a few words.
        facts: paragraphs below it.
        heads: over the columns.
        rows: the images themselves, then units on them.
        scale: what both ends of the colours stand for.
        caption: what else the reader has to know.
    """

    title: str
    facts: tuple[str, ...]
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    scale: tuple[str, str]
    caption: str


def tile(rows: Sequence[Row], gap: int = 2) -> Pixels:
    """The rows' cells alone, uint8 [H, W, 3], on white."""
    height, width, _ = rows[0].cells[0].shape
    columns = len(rows[0].cells)
    sheet = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for line, row in enumerate(rows):
        for column, cell in enumerate(row.cells):
            top, left = line * (height + gap), column * (width + gap)
            sheet[top : top + height, left : left + width] = cell
    return sheet


def draw(figure: Figure) -> Pixels:
    """The figure with its labels, uint8 [H, W, 3]."""
    height, width, _ = figure.rows[0].cells[0].shape
    pen = _Pen(max(1.0, max(height, width) / _CELL))
    labels = [_label(pen, row.label) for row in figure.rows]
    margin, gap = pen.pixels(_MARGIN), pen.pixels(_GAP)
    left = margin + pen.pixels(_BESIDE_LABELS) + max(pen.width(text, kind) for label in labels for text, kind in label)
    right = max(left + len(figure.heads) * (width + gap) - gap, margin + pen.pixels(_NARROWEST))
    below = [pen.pixels(_UNDER_IMAGES), *[gap] * len(figure.rows)]
    heights = [max(height, pen.height(label)) for label in labels]

    head = pen.wrap([(figure.title, _TITLE), *((fact, _TEXT) for fact in figure.facts)], right - margin)
    foot = pen.wrap([(figure.caption, _SMALL)], right - margin)
    top = margin + pen.height(head) + pen.pixels(_AROUND_ROWS)
    first = top + pen.line(_SMALL) + pen.pixels(_UNDER_HEADS)
    last = first + sum(heights) + sum(below[: len(heights) - 1])
    bottom = last + pen.pixels(_AROUND_ROWS + _UNDER_SCALE) + pen.line(_SMALL) + pen.height(foot) + margin
    sheet = pen.paper(right + margin, bottom)

    pen.lines(head, margin, margin)
    for column, text in enumerate(figure.heads):
        pen.text(text, _SMALL, left + column * (width + gap) + width / 2, top, centred=True)
    for row, label, tall, space in zip(figure.rows, labels, heights, below, strict=False):
        pen.lines(label, margin, first + (tall - pen.height(label)) / 2)
        for column, cell in enumerate(row.cells):
            sheet.paste(Image.fromarray(cell), (left + column * (width + gap), first + (tall - height) // 2))
        first += tall + space
    _scale(pen, figure.scale, margin, last + pen.pixels(_AROUND_ROWS))
    pen.lines(foot, margin, bottom - margin - pen.height(foot))
    return np.asarray(sheet)


_Lines = list[tuple[str, Type]]


def _label(pen: _Pen, texts: tuple[str, ...]) -> _Lines:
    kinds = (_NAME, *[_LABEL] * len(texts))
    return [
        (pen.shorten(text, kind, pen.pixels(_LONGEST_LABEL)), kind) for text, kind in zip(texts, kinds, strict=False)
    ]


def _scale(pen: _Pen, ends: tuple[str, str], left: float, top: float) -> None:
    """The colours from end to end, with what the ends stand for."""
    low, high = ends
    width, height = map(pen.pixels, _BAR)
    pen.text(low, _SMALL, left, top)
    start = round(left + pen.width(low, _SMALL) + pen.pixels(7))
    bar = Image.fromarray(TABLE[None]).resize((width, height), Image.Resampling.BILINEAR)
    pen.sheet.paste(bar, (start, round(top + (pen.line(_SMALL) - height) / 2)))
    pen.text(high, _SMALL, start + width + pen.pixels(7), top)


class _Pen:
    """Writes on a sheet; lengths that it is given are for cells of 96 pixels, what it gives are pixels.

    Attributes:
        sheet: the paper, once there is one.
    """

    sheet: Image.Image

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def pixels(self, length: float) -> int:
        """A length."""
        return round(length * self._scale)

    def paper(self, width: int, height: int) -> Image.Image:
        """The sheet to write on."""
        self.sheet = Image.new("RGB", (width, height), _PAPER)
        self._draw = ImageDraw.Draw(self.sheet)
        return self.sheet

    def width(self, text: str, kind: Type) -> int:
        """Of a text."""
        return round(self._font(kind).getlength(text))

    def line(self, kind: Type) -> int:
        """The height of a line."""
        return self.pixels(kind.size * _LEADING)

    def height(self, lines: _Lines) -> int:
        """Of several lines."""
        return sum(self.line(kind) for _, kind in lines)

    def lines(self, lines: _Lines, left: float, top: float) -> None:
        """Writes lines below one another."""
        for text, kind in lines:
            self.text(text, kind, left, top)
            top += self.line(kind)

    def text(self, text: str, kind: Type, left: float, top: float, *, centred: bool = False) -> None:
        """Writes a line, in the middle of its height."""
        place = (round(left), round(top + self.line(kind) / 2))
        self._draw.text(
            place,
            text,
            kind.colour,
            self._font(kind),
            anchor="mm" if centred else "lm",
            stroke_width=kind.weight * self._scale,
        )

    def wrap(self, paragraphs: _Lines, width: float) -> _Lines:
        """Paragraphs as lines of that many pixels at most, broken between words."""
        lines: _Lines = []
        for text, kind in paragraphs:
            line = ""
            for word in (self.shorten(word, kind, width) for word in text.split()):
                longer = f"{line} {word}".strip()
                if line and self.width(longer, kind) > width:
                    lines.append((line, kind))
                    longer = word
                line = longer
            lines.append((line, kind))
        return lines

    def shorten(self, text: str, kind: Type, most: float) -> str:
        """The text, without its middle where it is wider: the ends of addresses tell them apart."""
        kept = len(text)
        short = text
        while kept > 2 and self.width(short, kind) > most:
            kept -= 1
            short = f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"
        return short

    def _font(self, kind: Type) -> ImageFont.FreeTypeFont:
        return _font(kind.size * self._scale)


@cache
def _font(size: float) -> ImageFont.FreeTypeFont:
    """Pillow's own font, Aileron, of that many pixels: no file of this machine decides how a figure looks."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
