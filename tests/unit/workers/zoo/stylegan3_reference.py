"""Images of StyleGAN3 and StyleGAN-XL by plain arithmetic in float64: each image on its own, each step written out."""

from math import pi, sqrt

import numpy as np


def leaky(values, slope=0.2):
    return np.where(values < 0, slope * values, values)


def resampled(image, taps, up, down, front, back):
    """[H', W'] of [H, W]: zeros in between and around (below 0: cut away), a convolution, every down-th sample.

    Taps along one axis are for both.
    """
    taps = np.ones((1, 1)) if taps is None else np.outer(taps, taps) if taps.ndim == 1 else taps
    wide = np.zeros((image.shape[0] * up, image.shape[1] * up))
    wide[::up, ::up] = image
    wide = np.pad(wide, [(max(front, 0), max(back, 0))] * 2)
    low, high = max(-front, 0), max(-back, 0)
    wide = wide[low : wide.shape[0] - high, low : wide.shape[1] - high]
    height, width = wide.shape[0] - len(taps) + 1, wide.shape[1] - len(taps) + 1
    found = np.zeros((height, width))
    for row, line in enumerate(taps[::-1]):
        for column, tap in enumerate(line[::-1]):
            found += tap * wide[row : row + height, column : column + width]
    return found[::down, ::down]


def filtered(image, up_taps, down_taps, up, down, padding, gain, slope, clamp):
    """[H', W'] of [H, W]: the leaky ReLU between its two filters."""
    high = resampled(image, up_taps, up, 1, *padding) * up**2
    high = leaky(high, slope) * gain
    if clamp is not None:
        high = np.clip(high, -clamp, clamp)
    return resampled(high, down_taps, 1, down, 0, 0)


def convolved(maps, weight, styles, gain, demodulate):
    """[O, H + K - 1, W + K - 1] of [I, H, W]: the weights are scaled and normed first, then a correlation."""
    if demodulate:
        weight = np.stack([one / sqrt((one**2).mean()) for one in weight])
        styles = styles / sqrt((styles**2).mean())
    weight = weight * styles[None, :, None, None]
    if demodulate:
        weight = np.stack([one / sqrt((one**2).sum() + 1e-8) for one in weight])
    size = weight.shape[-1]
    maps = np.pad(maps, [(0, 0), (size - 1, size - 1), (size - 1, size - 1)])
    height, width = maps.shape[1] - size + 1, maps.shape[2] - size + 1
    found = np.zeros((len(weight), height, width))
    for row in range(size):
        for column in range(size):
            window = maps[:, row : row + height, column : column + width]
            found += np.tensordot(weight[:, :, row, column] * gain, window, 1)
    return found


def waves(freqs, phases, placement, size, rate, band):
    """[C, size, size]: each sample's place is moved first, then each wave is looked up there."""
    found = np.zeros((len(freqs), size, size))
    for channel, (freq, phase) in enumerate(zip(freqs, phases, strict=True)):
        seen = np.linalg.norm(freq @ placement[:2, :2])  # the frequency on the canvas
        amplitude = min(max(1 - (seen - band) / (rate / 2 - band), 0), 1)
        for row in range(size):
            for column in range(size):
                place = [(column + 0.5 - size / 2) / rate, (row + 0.5 - size / 2) / rate, 1]
                x, y, _ = placement @ place
                found[channel, row, column] = amplitude * np.sin(2 * pi * (freq[0] * x + freq[1] * y + phase))
    return found


class Reference:
    """A generator from the tensors of its file; `outputs` are those of its layers, after a call."""

    def __init__(self, tiny, state):
        self.tiny, self.state, self.outputs = tiny, {key: value.double().numpy() for key, value in state.items()}, {}

    def dense(self, name, vector, rate=1.0):
        weight = self.state[f"{name}.weight"]
        return weight @ vector * rate / sqrt(weight.shape[1]) + self.state[f"{name}.bias"] * rate

    def mapping(self, z, label=None):
        tiny = self.tiny
        vector = z / np.sqrt((z**2).mean() + 1e-8)
        if tiny.classes:
            if tiny.table:
                row = self.state["mapping.embed.weight"][label]
                embedded = leaky(self.dense("mapping.embed_proj", row)) * sqrt(2)
            else:
                embedded = self.dense("mapping.embed", np.eye(tiny.classes)[label])
            vector = np.concatenate([vector, embedded / np.sqrt((embedded**2).mean() + 1e-8)])
        for index in range(tiny.depth):
            vector = leaky(self.dense(f"mapping.fc{index}", vector, tiny.rate)) * sqrt(2)
        return vector

    def truncated(self, w, psi, label=None):
        mean = self.state["mapping.w_avg"]
        mean = mean[label] if mean.ndim == 2 else mean
        return mean + psi * (w - mean)

    def image(self, z, label=None, psi=1.0):
        w = self.truncated(self.mapping(np.asarray(z, "float64"), label), psi, label)
        return self.synthesis([w] * (len(self.tiny.places) + 1))

    def synthesis(self, ws):
        first, *others = ws
        maps = self.input(np.asarray(first, "float64"))
        for (name, place), w in zip(self.tiny.places.items(), others, strict=True):
            maps = self.layer(f"synthesis.{name}", place, maps, np.asarray(w, "float64"))
            self.outputs[f"synthesis.{name}"] = maps
        return maps * self.tiny.scale

    def input(self, w):
        cos, sin, x, y = (found := self.dense("synthesis.input.affine", w)) / np.hypot(*found[:2])
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        shift = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
        placement = turn @ shift @ self.state["synthesis.input.transform"]
        place = next(iter(self.tiny.places.values()))
        freqs, phases = (self.state[f"synthesis.input.{name}"] for name in ("freqs", "phases"))
        found = waves(freqs, phases, placement, place.in_size, place.in_sampling_rate, place.in_cutoff)
        self.outputs["synthesis.input"] = np.tensordot(
            self.state["synthesis.input.weight"] / sqrt(len(freqs)), found, 1
        )
        return self.outputs["synthesis.input"]

    def layer(self, name, place, maps, w):
        tiny, weight = self.tiny, self.state[f"{name}.weight"]
        styles = self.dense(f"{name}.affine", w)
        if place.is_torgb:
            styles = styles / sqrt(weight.shape[1] * weight.shape[2] ** 2)
        gain = 1 / sqrt(self.state[f"{name}.magnitude_ema"])
        maps = convolved(maps, weight, styles, gain, demodulate=not place.is_torgb)
        maps = maps + self.state[f"{name}.bias"][:, None, None]
        rate = max(place.in_sampling_rate, place.out_sampling_rate) * (1 if place.is_torgb else tiny.oversampling)
        up, down = rate // place.in_sampling_rate, rate // place.out_sampling_rate
        # As many samples before and behind as the output needs; on the way up, a sample stands for the `up` places
        # around it, so the zeros that follow it are half in front of it.
        taps = sum(tiny.taps(place)) - 2
        total = (place.out_size - 1) * down + 1 + taps - (place.in_size + weight.shape[2] - 1) * up
        front = (total + up) // 2
        options = (1, 1, tiny.clamp) if place.is_torgb else (sqrt(2), 0.2, tiny.clamp)
        filters = [self.state.get(f"{name}.{kind}_filter") for kind in ("up", "down")]
        return np.stack([filtered(one, *filters, up, down, (front, total - front), *options) for one in maps])
