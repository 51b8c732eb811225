"""A layer's output as activation maps: grids restored from tokens, channels second, vectors as 1x1 maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from workers.zoo.base import LayerError

# More tokens than this in front of a grid (class token, registers) are not looked for.
_MOST_PREFIX_TOKENS = 16


@dataclass(frozen=True)
class MapReader:
    """Turns layers' outputs into maps `[N, C, H, W]`, for inputs of height x width.

    Attributes:
        height: of the network's input, pixels.
        width: of the network's input, pixels.
        grid: height and width of the token grid, where the network says it; else found by the input's ratio.
        prefix_tokens: tokens in front of the grid that belong to no place; None: unknown, found by the count.
        channels_last: what to believe of an output `[N, A, B, C]` that could be either.
        sequence_first: tokens come as `[L, N, C]`.
    """

    height: int
    width: int
    grid: tuple[int, int] | None = None
    prefix_tokens: int | None = 0
    channels_last: bool = False
    sequence_first: bool = False

    def __call__(self, layer: str, output: Any) -> Tensor:
        """The maps of one layer's output.

        Args:
            layer: its path, for the error.
            output: `[N, C]`, `[N, L, C]`, `[N, C, H, W]` or `[N, H, W, C]`, floating point.

        Returns:
            `[N, C, H, W]`, a view where that is possible.

        Raises:
            LayerError: when the output is neither a map, tokens nor a vector.
        """
        if isinstance(output, Tensor) and output.is_floating_point():
            maps = {2: self._vector, 3: self._tokens, 4: self._maps}.get(output.ndim, _no_maps)(output)
            if maps is not None:
                return maps
        raise LayerError(
            f"layer '{layer}' gives {describe(output)}, "
            "which is neither maps, tokens on a grid nor a vector: record another layer",
            layer=layer,
        )

    def _vector(self, output: Tensor) -> Tensor:
        return output[:, :, None, None]

    def _tokens(self, output: Tensor) -> Tensor | None:
        if self.sequence_first:
            output = output.transpose(0, 1)
        length = output.shape[1]
        for prefix in self._prefixes():
            if grid := self._token_grid(length - prefix):
                return output[:, prefix:].transpose(1, 2).unflatten(2, grid)
        return None

    def _prefixes(self) -> tuple[int, ...]:
        if self.prefix_tokens is None:
            return tuple(range(_MOST_PREFIX_TOKENS))
        # Layers before the prefix is put on, and after it is taken off, have none.
        return tuple(dict.fromkeys((self.prefix_tokens, 0)))

    def _token_grid(self, length: int) -> tuple[int, int] | None:
        """The grid of `length` tokens: the network's own, or one with exactly the input's ratio of sides."""
        if self.grid and self.grid[0] * self.grid[1] == length:
            return self.grid
        rows = round((length * self.height / self.width) ** 0.5) if length > 0 else 0
        if rows and length % rows == 0 and rows * self.width == (length // rows) * self.height:
            return rows, length // rows
        return None

    def _maps(self, output: Tensor) -> Tensor | None:
        first, second = self._fits(*output.shape[2:]), self._fits(*output.shape[1:3])
        if not (first or second):
            return None
        channels_last = self.channels_last if first and second else second
        return output.permute(0, 3, 1, 2) if channels_last else output

    def _fits(self, rows: int, columns: int) -> bool:
        """Whether a grid may come from the input by one reduction of both sides, give or take a cell."""

        def reductions(cells: int, pixels: int) -> tuple[float, float]:
            return pixels / (cells + 1), pixels / (cells - 1) if cells > 1 else float("inf")

        (low, high), (other_low, other_high) = reductions(rows, self.height), reductions(columns, self.width)
        return max(low, other_low) < min(high, other_high)


def _no_maps(output: Tensor) -> None:
    return None


def describe(output: Any) -> str:
    """What an output is that is no maps, in words: its type, its shape, how many there are."""
    if isinstance(output, Tensor):
        kind = "" if output.is_floating_point() else f" of {str(output.dtype).removeprefix('torch.')}"
        return f"a tensor{kind} of shape {list(output.shape)}"
    if isinstance(output, (tuple, list)):
        return f"{len(output)} outputs"
    return f"a {type(output).__name__}"


def plain_maps(layer: str, output: Any) -> Tensor:
    """The maps of a convolutional network's layer: `[N, C, H, W]` as it is, `[N, C]` as 1x1 maps.

    Raises:
        LayerError: when the output is neither.
    """
    if isinstance(output, Tensor) and output.is_floating_point() and output.ndim in {2, 4}:
        return output if output.ndim == 4 else output[:, :, None, None]
    raise LayerError(
        f"layer '{layer}' gives {describe(output)}, which is neither maps nor a vector: record another layer",
        layer=layer,
    )
