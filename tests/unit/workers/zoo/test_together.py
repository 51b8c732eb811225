"""A zoo as the paper's: a StyleGAN makes the images, and networks of every other kind see them, in one job."""

import timm
import torch
from pickles import checkpoint, write
from programs import export
from safetensors.torch import save_file
from stylegan2_files import Tiny, draw, persistent
from test_onnx_graph import export as export_onnx
from torchvision.models import resnet18

from tests.mining import layout
from tests.reference import pearson_layers
from workers.mining.miner import Miner
from workers.pipelines.forward import ForwardPasses
from workers.probes import GeneratorProbes
from workers.zoo import registry

IMAGES, KEEP = 7, 50


def timm_network(folder, name, options=""):
    torch.manual_seed(0)
    save_file(timm.create_model(name).state_dict(), folder / f"{name}.safetensors")
    return registry.load(f"timm:{name}{options}", folder / f"{name}.safetensors")


def zoo(folder):
    tiny = Tiny(resolution=16, classes=3)
    torch.manual_seed(0)
    return {
        "stylegan": registry.load(
            f"stylegan:{write(folder / 'g.pkl', checkpoint(persistent(tiny, draw(tiny))))}?noise=3"
        ),
        "vit": timm_network(folder, "test_vit", "?size=96x160"),  # tokens on a grid that is not square
        "resnet": timm_network(folder, "test_resnet"),
        "onnx": registry.load(
            f"onnx:{export_onnx(resnet18(weights=None), folder / 'resnet18.onnx')}?mean=0.5&std=0.25"
        ),
        "export": registry.load(f"export:{export(resnet18(weights=None), folder / 'r.pt2', size=64)}?size=64"),
    }


def test_every_pair_has_the_r_of_brute_force(tmp_path):
    networks = zoo(tmp_path)
    layers = {name: network.layers[:2] + network.layers[-1:] for name, network in networks.items()}
    probes = GeneratorProbes(networks["stylegan"], seed=0, count=IMAGES, truncation=0.8)
    passes = ForwardPasses(probes, networks, layers, torch.device("cpu"))
    maps = {name: {} for name in networks}
    for positions in passes.run(
        [torch.arange(IMAGES)], list(networks), lambda m, layer, v: maps[m].update({layer: v.clone()})
    ):
        assert positions.tolist() == list(range(IMAGES))
    names = list(networks)
    pairs = [(a, b) for a in range(len(names)) for b in range(a)]
    miner = Miner([layout(name, maps[name]) for name in names], pairs, [], IMAGES, "digest", keep=KEEP)
    (part,) = miner.passes
    running = miner.start(part)
    # The networks run again, in other batches.
    for positions in passes.run(miner.order.split(3), names, lambda m, *found: running.write(names.index(m), *found)):
        running.finish_batch(positions)
    miner.finish(running)
    for a, b in pairs:
        r = pearson_layers(list(maps[names[a]].values()), list(maps[names[b]].values())).nan_to_num(nan=-2)
        found = miner.pair(a, b).forward.neighbours
        best = r.max(1).values
        live = found.index[:, 0] >= 0
        assert live.any()
        assert (found.correlation[live, 0] - best[live]).abs().max() < 1e-4, (names[a], names[b])
