"""Weight files of a tiny BigGAN-deep in the published layout."""

import json

import biggan_reference as reference
import torch
from torch import nn

from workers.probes import GeneratorProbes
from workers.zoo import registry

CONFIG = reference.tiny_config()


def random_state(config=CONFIG):
    """Weights such that activations stay near one in size."""
    generator = torch.Generator().manual_seed(5)
    state = {}
    for key, shape in reference.published_shapes(config).items():
        tensor = torch.randn(shape, generator=generator)
        if key.endswith(("_u", "_v")):
            tensor /= tensor.norm()
        elif key.endswith("running_vars"):
            tensor = tensor.square() + 0.1
        elif key.endswith(("_orig", "bias")):
            tensor *= 0.5
        state[key] = tensor
    # As trained ones, u and v are near the first singular vectors, but not quite there.
    for key in [key.removesuffix("_orig") for key in state if key.endswith("_orig")]:
        matrix = state[f"{key}_orig"].flatten(1)
        state[f"{key}_u"] = nn.functional.normalize(matrix @ matrix.T @ state[f"{key}_u"], dim=0)
        state[f"{key}_v"] = nn.functional.normalize(matrix.T @ state[f"{key}_u"], dim=0)
    return state


STATE = random_state()
EXACT = {key: tensor.double().numpy() for key, tensor in STATE.items()}


def write(folder, state=STATE, config=CONFIG):
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "pytorch_model.bin")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder / "pytorch_model.bin"


def load(folder):
    """The tiny generator, from a weights folder."""
    write(folder / "tiny")
    return registry.load("biggan:tiny", folders=[folder])


def latents(network, count=2, truncation=None):
    return GeneratorProbes(network, seed=3, count=count, truncation=truncation).latents(range(count))
