"""The demo's real networks: r against brute force, one forward pass an image, sketches that find the match."""

import pytest
import torch

from service.plan import NULL_PERMUTATIONS
from tests.mining import Maps, correlations, mine
from tests.reference import pearson_layers
from workers.pipelines.forward import ForwardPasses
from workers.pipelines.layers import trace
from workers.probes import GeneratorProbes
from workers.zoo import registry

IMAGES = 100
DEMO = ("dcgan-faces", "efficientnet-lite0", "mobilenet-v2", "age-net")


@pytest.fixture(scope="module")
def networks():
    return {name: registry.load(f"demo:{name}") for name in DEMO}


@pytest.fixture(scope="module")
def counted(networks):
    """Maps of all four models on the same generated images, and how many images each network saw."""
    seen = dict.fromkeys(DEMO, 0)
    maps: dict[str, dict[str, list[torch.Tensor]]] = {name: {} for name in DEMO}
    handles = []
    for name, network in networks.items():

        def count(_module, inputs, name=name):
            seen[name] += len(inputs[0])

        handles.append(network.module.register_forward_pre_hook(count))
    passes = ForwardPasses(
        GeneratorProbes(networks["dcgan-faces"], 0, IMAGES),
        networks,
        {name: network.layers for name, network in networks.items()},
        torch.device("cpu"),
    )

    def keep(model, layer, values):
        maps[model].setdefault(layer, []).append(values.clone())

    for _ in passes.run(torch.arange(IMAGES).split(32), DEMO, keep):
        pass
    for handle in handles:
        handle.remove()
    return {name: {layer: torch.cat(parts) for layer, parts in of.items()} for name, of in maps.items()}, seen


@pytest.fixture(scope="module")
def maps(counted) -> dict[str, Maps]:
    return {name: counted[0][name] for name in DEMO[:2]}


@pytest.fixture(scope="module")
def brute_force(maps):
    return pearson_layers(*(list(layers.values()) for layers in maps.values()))


def test_four_models_take_four_forward_passes_an_image(counted):
    assert counted[1] == dict.fromkeys(DEMO, IMAGES)


def test_unit_numbers_count_through_the_layers(networks):
    shapes = trace(networks["dcgan-faces"], networks["dcgan-faces"].layers, "dcgan-faces")
    assert [(shape.name, shape.channels) for shape in shapes] == [
        ("main.2", 512),
        ("main.5", 256),
        ("main.8", 128),
        ("main.11", 64),
    ]


@pytest.mark.parametrize("batch", [7, 32])
def test_r_equals_brute_force_for_every_live_pair(maps, brute_force, batch):
    miner = mine(maps, batch=batch, keep=512, permutations=NULL_PERMUTATIONS, sketch=False)
    found = correlations(miner, 0, 1)
    assert found.shape == (960, 512)
    live = torch.outer(~miner.profile(0).dead, ~miner.profile(1).dead)
    assert live.float().mean() > 0.9
    assert (found - brute_force)[live].abs().max() < 1e-4
    assert found[~live].isnan().all()


def test_the_true_best_match_is_among_the_fifty_nearest_sketches(maps, brute_force):
    miner = mine(maps)
    first, second = (torch.nan_to_num(miner.profile(place).sketches.float(), nan=0.0) for place in (0, 1))
    nearest = (first @ second.T).topk(50, dim=1).indices
    r, best = torch.nan_to_num(brute_force, nan=-1.0).max(1)
    hits = (nearest == best[:, None]).any(1)
    assert hits[r > 0.3].float().mean() >= 0.99
    assert hits[r > 0.1].float().mean() >= 0.95
