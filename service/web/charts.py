"""Charts: numbers to places in an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from rosetta.results import Layer
from service.queries.sharing import LayerPair

WIDTH, HEIGHT = 720, 240  # of the plot without its margins, in units of the SVG
MOST_LINES = 8  # colours that can be told apart


@dataclass(frozen=True)
class Point:
    """A layer of a line: where it is, and what it says."""

    x: float
    y: float
    layer: str
    shared: int
    share: float


@dataclass(frozen=True)
class Line:
    """How much each layer shares with one other model."""

    model: str
    points: tuple[Point, ...]

    @property
    def path(self) -> str:
        """The points as an SVG polyline has them."""
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.points)


@dataclass(frozen=True)
class DepthPlot:
    """Lines over the layers by depth; `ticks` are heights and their labels."""

    lines: tuple[Line, ...]
    ticks: tuple[tuple[float, str], ...]
    left_out: int


def by_depth(layers: Sequence[Layer], dead: dict[int, int], pairs: Sequence[LayerPair]) -> DepthPlot:
    """The share of each layer's live units that have a best buddy at q < 0.05 in each other model.

    Args:
        layers: of the model, in forward order.
        dead: dead units by the layer's position.
        pairs: with every model it was compared with.
    """
    shared: dict[str, dict[int, int]] = {}
    for pair in pairs:
        of_model = shared.setdefault(pair.neighbour_model, {})
        of_model[pair.position] = of_model.get(pair.position, 0) + pair.significant
    live = {layer.position: max(layer.channels - dead.get(layer.position, 0), 1) for layer in layers}
    most = max((n / live[place] for of_model in shared.values() for place, n in of_model.items()), default=0.0)
    top, step = _scale(most)
    chosen = sorted(shared, key=lambda name: (-sum(shared[name].values()), name))[:MOST_LINES]
    lines = [Line(name, tuple(_points(layers, live, shared[name], top))) for name in chosen]
    ticks = [(HEIGHT - HEIGHT * k * step / top, f"{k * step * 100:g}%") for k in range(round(top / step) + 1)]
    return DepthPlot(tuple(lines), tuple(ticks), len(shared) - len(chosen))


def _points(layers: Sequence[Layer], live: dict[int, int], shared: dict[int, int], top: float) -> list[Point]:
    last = max(len(layers) - 1, 1)
    found = []
    for place, layer in enumerate(layers):
        count = shared.get(layer.position, 0)
        share = count / live[layer.position]
        x = WIDTH * place / last if len(layers) > 1 else WIDTH / 2
        found.append(Point(x, HEIGHT - HEIGHT * share / top, layer.name, count, share))
    return found


def _scale(most: float) -> tuple[float, float]:
    """The top of an axis of shares, and the distance of its ticks: at most five of a round number."""
    for step in (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2):
        if most <= 4 * step:
            return max(step * -(-most // step), step), step
    return 1.0, 0.25


@dataclass(frozen=True)
class LossCurve:
    """The losses of an inversion by step; `path`: points as an SVG polyline has them; `ticks` as of `DepthPlot`."""

    path: str
    ticks: tuple[tuple[float, str], ...]
    steps: int
    first: float
    last: float


def loss_curve(losses: Sequence[float]) -> LossCurve | None:
    """Losses by step; None where there are fewer than two that are numbers."""
    points = [(step, loss) for step, loss in enumerate(losses) if isfinite(loss)]
    if len(points) < 2:
        return None
    low, high = min(loss for _, loss in points), max(loss for _, loss in points)
    scale = HEIGHT / max(high - low, 1e-9)
    path = " ".join(f"{WIDTH * step / (len(losses) - 1):.1f},{(high - loss) * scale:.1f}" for step, loss in points)
    ticks = tuple(
        (HEIGHT * k / 3, f"{high - (high - low) * k / 3:.2f}".replace("-", "\N{MINUS SIGN}")) for k in range(4)
    )
    return LossCurve(path, ticks, len(losses), points[0][1], points[-1][1])


def sparkline(values: Sequence[float], width: int = 64, height: int = 18) -> str:
    """Correlations by rank as the points of an SVG polyline; 0 and less is the ground, 1 the top."""
    step = width / max(len(values) - 1, 1)
    return " ".join(
        f"{place * step:.1f},{height - 1 - (height - 2) * min(max(value, 0), 1):.1f}"
        for place, value in enumerate(values)
    )


@dataclass(frozen=True)
class Cell:
    """A pair of layers in the matrix."""

    best_buddies: int
    significant: int
    mean_correlation: float
    heat: float  # from 0 to 1, by the count beside the greatest


def matrix(pairs: Sequence[LayerPair]) -> dict[tuple[int, int], Cell]:
    """The cells that have best buddies, by the positions of both layers."""
    most = max((pair.best_buddies for pair in pairs), default=1)
    return {
        (pair.position, pair.neighbour_position): Cell(
            pair.best_buddies, pair.significant, pair.mean_correlation, (pair.best_buddies / most) ** 0.5
        )
        for pair in pairs
    }
