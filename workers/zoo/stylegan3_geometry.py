"""Which signal each layer of StyleGAN3 takes and gives: its size, sampling rate and band (Karras et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Signal:
    """Maps between two layers, as samples of a band-limited signal on a square canvas.

    Attributes:
        channels: how many.
        size: samples along each side of the canvas.
        rate: s, samples along each side of the image; the canvas goes beyond it.
        cutoff: f_c of its band, cycles along a side of the image.
        half_width: f_h, half of the transition band.
    """

    channels: int
    size: int
    rate: int
    cutoff: float
    half_width: float

    @property
    def margin(self) -> int:
        """Samples before and behind the image."""
        return max(self.size - self.rate, 0) // 2


@dataclass(frozen=True)
class Layer:
    """A layer from one signal to the next, and how its non-linearity is resampled.

    Attributes:
        before: its input.
        after: its output.
        colours: whether it makes the image: a 1 x 1 convolution without non-linearity.
        critical: whether its output is sampled without reserve; then its filter is never radial.
        kernel: of its convolution.
        filter_size: taps of its filters at a factor of 1.
        oversampling: m, how much above both rates the non-linearity is sampled.
        radial: whether the filter after the non-linearity is alike in all directions.
        clamp: where values behind the non-linearity are cut; None: nowhere.
    """

    before: Signal
    after: Signal
    colours: bool = False
    critical: bool = False
    kernel: int = 3
    filter_size: int = 6
    oversampling: int = 2
    radial: bool = False
    clamp: float | None = 256

    @property
    def rate(self) -> int:
        """Of the non-linearity."""
        return max(self.before.rate, self.after.rate) * (1 if self.colours else self.oversampling)

    @property
    def up(self) -> int:
        """How much the rate rises before the non-linearity."""
        return self.rate // self.before.rate

    @property
    def down(self) -> int:
        """How much the rate falls after it."""
        return self.rate // self.after.rate

    @property
    def up_taps(self) -> int:
        """Taps of the filter before the non-linearity."""
        return self._taps(self.up)

    @property
    def down_taps(self) -> int:
        """Taps of the filter after it."""
        return self._taps(self.down)

    def _taps(self, factor: int) -> int:
        return self.filter_size * factor if factor > 1 and not self.colours else 1

    @property
    def padding(self) -> tuple[int, int]:
        """Samples put on (below 0: cut away) at the higher rate, before and behind.

        They make the output as large as it has to be. Samples lie symmetrically on the canvas, hence half of the
        factor more in front (appendix C.3).
        """
        wanted = (self.after.size - 1) * self.down + 1 + self.up_taps + self.down_taps - 2
        total = wanted - (self.before.size + self.kernel - 1) * self.up
        front = (total + self.up) // 2
        return front, total - front


def progression(
    img_resolution: int,
    img_channels: int,
    *,
    channel_base: float = 32768,
    channel_max: float = 512,
    num_layers: int = 14,
    num_critical: int = 2,
    first_cutoff: float = 2,
    first_stopband: float = 2**2.1,
    last_stopband_rel: float = 2**0.3,
    margin_size: int = 10,
) -> tuple[Signal, ...]:
    """The signals behind the layers, colours last: bands grow geometrically (section 3.2 and appendix C).

    Args:
        img_resolution: of the image.
        img_channels: of the image.
        channel_base: channels times cutoff, doubled.
        channel_max: the most channels.
        num_layers: N, layers before the colours.
        num_critical: how many of them, at the end, have the full band.
        first_cutoff: f_c of the first.
        first_stopband: f_t of the first, from where nothing shall pass.
        last_stopband_rel: f_t of the last, as a multiple of its f_c.
        margin_size: samples around the image; the last two signals have none.
    """
    last_cutoff = img_resolution / 2
    steps = np.minimum(np.arange(num_layers + 1) / (num_layers - num_critical), 1)
    cutoffs = first_cutoff * (last_cutoff / first_cutoff) ** steps
    stopbands = first_stopband * (last_cutoff * last_stopband_rel / first_stopband) ** steps
    rates = np.exp2(np.ceil(np.log2(np.minimum(stopbands * 2, img_resolution))))
    half_widths = np.maximum(stopbands, rates / 2) - cutoffs
    sizes = rates + 2 * margin_size
    sizes[-2:] = img_resolution
    channels = np.rint(np.minimum(channel_base / 2 / cutoffs, channel_max))
    channels[-1] = img_channels
    return tuple(
        Signal(int(depth), int(size), int(rate), float(cutoff), float(half_width))
        for depth, size, rate, cutoff, half_width in zip(channels, sizes, rates, cutoffs, half_widths, strict=True)
    )


def between(signals: Sequence[Signal], num_critical: int, kernel: int = 3, **options: Any) -> dict[str, Layer]:
    """The layers that make those signals, by the names that the files give them.

    Args:
        signals: as `progression` gives them; the first is also the input of the first layer.
        num_critical: as there.
        kernel: of the convolutions before the colours.
        options: of every `Layer`: `filter_size`, `oversampling`, `radial`, `clamp`.
    """
    last = len(signals) - 1
    return {
        f"L{index}_{after.size}_{after.channels}": Layer(
            signals[max(index - 1, 0)],
            after,
            colours=index == last,
            critical=index >= last - num_critical,
            kernel=1 if index == last else kernel,
            **options,
        )
        for index, after in enumerate(signals)
    }
