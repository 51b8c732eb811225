"""Runs a network on a batch and returns what its layers give."""

import torch

from workers.mining.activations import Recorder


def images(network, count=2):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, network.preprocessing.height, network.preprocessing.width, generator=generator)


def maps(network, *inputs, layers=None):
    """{layer: maps} of a batch, by the network's own reading."""
    found = {}
    layers = layers or network.layers

    def keep(layer, output):
        found[layer] = network.to_maps(layer, output).clone()

    with torch.inference_mode(), Recorder(network.module, layers, keep) as recorder:
        recorder.run_whole(*(inputs or (images(network),)))
    return found


def shapes(network, layers=None):
    return {layer: tuple(found.shape[1:]) for layer, found in maps(network, layers=layers).items()}
