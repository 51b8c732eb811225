"""BigGAN-deep in plain float64 numpy, from a state dict of the published layout; slow and obvious."""

import math

import numpy as np


def tiny_config():
    return {
        "output_dim": 32, "z_dim": 3, "class_embed_dim": 3, "channel_width": 4, "num_classes": 5,
        "layers": [[False, 16, 16], [True, 16, 8], [False, 8, 4], [True, 4, 2], [True, 2, 1]],
        "attention_layer_position": 2, "eps": 1e-4, "n_stats": 6,
    }  # fmt: skip


def published_shapes(config):
    """{key: shape} of a published state dict, by the format's own rules."""
    width, condition, steps = config["channel_width"], 2 * config["z_dim"], config["n_stats"]
    shapes = {}

    def normalised(key, *shape, bias=True):
        if bias:
            shapes[f"{key}.bias"] = shape[:1]
        shapes[f"{key}.weight_orig"] = shape
        shapes[f"{key}.weight_u"] = shape[:1]
        shapes[f"{key}.weight_v"] = (math.prod(shape[1:]),)

    def statistics(key, channels):
        shapes[f"{key}.running_means"] = shapes[f"{key}.running_vars"] = (steps, channels)

    shapes["embeddings.weight"] = (config["z_dim"], config["num_classes"])
    normalised("generator.gen_z", 16 * 16 * width, condition)
    index = 0
    for position, (_, taken, made) in enumerate(config["layers"]):
        taken, made = width * taken, width * made
        if position == config["attention_layer_position"]:
            key = f"generator.layers.{index}"
            shapes[f"{key}.gamma"] = (1,)
            normalised(f"{key}.snconv1x1_theta", taken // 8, taken, 1, 1, bias=False)
            normalised(f"{key}.snconv1x1_phi", taken // 8, taken, 1, 1, bias=False)
            normalised(f"{key}.snconv1x1_g", taken // 2, taken, 1, 1, bias=False)
            normalised(f"{key}.snconv1x1_o_conv", taken, taken // 2, 1, 1, bias=False)
            index += 1
        middle = taken // 4
        sizes = [(middle, taken, 1, 1), (middle, middle, 3, 3), (middle, middle, 3, 3), (made, middle, 1, 1)]
        for number, size in enumerate(sizes):
            statistics(f"generator.layers.{index}.bn_{number}", size[1])
            normalised(f"generator.layers.{index}.bn_{number}.scale", size[1], condition, bias=False)
            normalised(f"generator.layers.{index}.bn_{number}.offset", size[1], condition, bias=False)
            normalised(f"generator.layers.{index}.conv_{number}", *size)
        index += 1
    shapes["generator.bn.weight"] = shapes["generator.bn.bias"] = (width,)
    statistics("generator.bn", width)
    normalised("generator.conv_to_rgb", width, width, 3, 3)
    return shapes


def weight(state, key):
    """W / (u' W v)."""
    matrix = state[f"{key}.weight_orig"]
    u, v = state[f"{key}.weight_u"], state[f"{key}.weight_v"]
    flat = matrix.reshape(len(u), len(v))
    sigma = sum(u[i] * flat[i, j] * v[j] for i in range(len(u)) for j in range(len(v)))
    return matrix / sigma


def statistic(rows, truncation):
    """The published reading of a table: between two rows, the fraction goes to the lower one."""
    place = truncation / (1.0 / (len(rows) - 1))
    low, fraction = int(place), place - int(place)
    return rows[low] if fraction == 0 else fraction * rows[low] + (1 - fraction) * rows[low + 1]


def normalise(maps, state, key, truncation, gain, offset, eps):
    mean = statistic(state[f"{key}.running_means"], truncation)
    variance = statistic(state[f"{key}.running_vars"], truncation)
    out = np.empty_like(maps)
    for n, c in np.ndindex(*maps.shape[:2]):
        out[n, c] = (maps[n, c] - mean[c]) / math.sqrt(variance[c] + eps) * gain[n, c] + offset[n, c]
    return out


def conditional(maps, state, key, truncation, condition, eps):
    gain = 1 + condition @ weight(state, f"{key}.scale").T
    return normalise(maps, state, key, truncation, gain, condition @ weight(state, f"{key}.offset").T, eps)


def convolve(maps, kernel, bias=None):
    """Of any odd kernel, padded with zeros to keep the size."""
    count, _, height, width = maps.shape
    side = kernel.shape[2] // 2
    padded = np.pad(maps, ((0, 0), (0, 0), (side, side), (side, side)))
    out = np.zeros((count, len(kernel), height, width))
    for y, x in np.ndindex(height, width):
        patch = padded[:, :, y : y + kernel.shape[2], x : x + kernel.shape[3]]
        out[:, :, y, x] = np.tensordot(patch, kernel, axes=([1, 2, 3], [1, 2, 3]))
    return out if bias is None else out + bias[None, :, None, None]


def double(maps):
    return maps.repeat(2, axis=2).repeat(2, axis=3)


def attend(maps, state, key):
    count, channels, height, width = maps.shape
    theta, phi, g = (convolve(maps, weight(state, f"{key}.snconv1x1_{name}")) for name in ("theta", "phi", "g"))
    mixed = np.zeros((count, channels // 2, height, width))
    for n, y, x in np.ndindex(count, height, width):
        scores, values = [], []
        for top, left in np.ndindex(height // 2, width // 2):
            patch = (slice(2 * top, 2 * top + 2), slice(2 * left, 2 * left + 2))
            scores.append(theta[n, :, y, x] @ phi[n][:, *patch].max(axis=(1, 2)))
            values.append(g[n][:, *patch].max(axis=(1, 2)))
        shares = np.exp(np.array(scores) - max(scores))
        mixed[n, :, y, x] = (shares / shares.sum()) @ np.array(values)
    return maps + state[f"{key}.gamma"] * convolve(mixed, weight(state, f"{key}.snconv1x1_o_conv"))


def block(maps, state, key, config, layer, condition, truncation):
    doubles, _, made = layer
    inner = maps
    for number in range(4):
        inner = conditional(inner, state, f"{key}.bn_{number}", truncation, condition, config["eps"])
        inner = np.maximum(inner, 0)
        if number == 1 and doubles:
            inner = double(inner)
        name = f"{key}.conv_{number}"
        inner = convolve(inner, weight(state, name), state[f"{name}.bias"])
    kept = maps[:, : made * config["channel_width"]]
    return inner + (double(kept) if doubles else kept)


def generate(state, config, z, classes, truncation):
    """Images [N, 3, H, W] in [-1, 1]."""
    embedded = np.stack([state["embeddings.weight"][:, index] for index in classes])
    condition = np.concatenate([z, embedded], axis=1)
    first = condition @ weight(state, "generator.gen_z").T + state["generator.gen_z.bias"]
    maps = first.reshape(len(z), 4, 4, 16 * config["channel_width"]).transpose(0, 3, 1, 2)
    index = 0
    for position, layer in enumerate(config["layers"]):
        if position == config["attention_layer_position"]:
            maps = attend(maps, state, f"generator.layers.{index}")
            index += 1
        maps = block(maps, state, f"generator.layers.{index}", config, layer, condition, truncation)
        index += 1
    gain, offset = (np.tile(state[f"generator.bn.{name}"], (len(z), 1)) for name in ("weight", "bias"))
    maps = np.maximum(normalise(maps, state, "generator.bn", truncation, gain, offset, config["eps"]), 0)
    name = "generator.conv_to_rgb"
    return np.tanh(convolve(maps, weight(state, name), state[f"{name}.bias"])[:, :3])
