"""The whole mining job against its floor: the bare forward passes of all models once, plus the matrix products.

The job is the product's own, from claim to publish, the store included. The floor is timed in the same run, in turn
with it, on inputs made beforehand: every network's forward pass up to its last recorded layer, and one product for
each that the job needs, of the same shapes on data in place (units, permuted images, sketches).
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from itertools import combinations
from typing import Any

import torch

from bench.stack import DEMO, add_probe, deaf, register_demo, run_job, store
from service.plan import NULL_PERMUTATIONS
from service.submit import submit_mine
from tests.mining import mine as mine_in_memory
from tests.reference import pearson_layers
from workers.allocator import keep_freed_memory
from workers.mining.layout import Group, LayerShape, ModelLayout
from workers.mining.resize import common
from workers.mining.sketches import DIMENSIONS, SIDE
from workers.pipelines.forward import ForwardPasses
from workers.pipelines.layers import trace
from workers.probes import GeneratorProbes, preprocess
from workers.zoo import registry
from workers.zoo.base import Network

IMAGES, BATCH, REPEATS = 200, 32, 3


def bench_device() -> torch.device:
    """Where ROSETTA_DEVICE says."""
    from service.settings import get_settings

    name = get_settings().device
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def timed(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds that the work takes, on the device too."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


class Floor:
    """What no implementation can do without."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.networks: dict[str, Network] = {name: registry.load(f"demo:{name}") for name in DEMO}
        self.layouts = {
            name: ModelLayout(name, tuple(trace(network, network.layers, name)))
            for name, network in self.networks.items()
        }
        probes = GeneratorProbes(self.networks["dcgan-faces"], 0, IMAGES)
        # Moves the networks to the device, as the job does.
        ForwardPasses(probes, self.networks, {name: network.layers for name, network in self.networks.items()}, device)
        self.batches = [
            self._inputs(probes, list(range(start, min(IMAGES, start + BATCH)))) for start in range(0, IMAGES, BATCH)
        ]

    @torch.inference_mode()
    def _inputs(self, probes: GeneratorProbes, indices: list[int]) -> dict[str, tuple[Any, ...]]:
        generator = probes.network
        z = generator.inputs(probes.latents(indices).to(self.device))
        images = generator.images(generator.module(*z))
        inputs = {"dcgan-faces": z}
        for name, network in self.networks.items():
            if network.preprocessing is not None:
                batch = preprocess(images, network.preprocessing)
                inputs[name] = (batch.contiguous(memory_format=torch.channels_last),)
        return inputs

    @torch.inference_mode()
    def forwards(self) -> None:
        from workers.mining.activations import Recorder

        for inputs in self.batches:
            for name, network in self.networks.items():
                with Recorder(network.module, network.layers, lambda *_: None) as recorder:
                    (recorder.run_whole if network.is_generator else recorder.run)(*inputs[name])

    def products(self) -> float:
        """Seconds of all matrix products, each in place on data that is there; allocation is not counted."""
        noise = ModelLayout("noise", (LayerShape("noise", DIMENSIONS, SIDE, SIDE),))
        pairs = [(self.layouts[a], self.layouts[b], True) for a, b in combinations(DEMO, 2)]
        pairs += [(layout, noise, False) for layout in self.layouts.values()]
        return sum(
            product_seconds(first, second, 1 + (NULL_PERMUTATIONS if null else 0), IMAGES, self.device)
            for first, second, null in pairs
        )


def product_seconds(first: ModelLayout, second: ModelLayout, repeats: int, images: int, device: torch.device) -> float:
    """Seconds of the bare matrix products of two models, `repeats` times over the images, on data in place."""
    return sum(_product(x, y, repeats, images, device) for x in first.groups for y in second.groups)


def _product(x: Group, y: Group, repeats: int, images: int, device: torch.device) -> float:
    height, width = common(x.grid, y.grid)
    left = torch.randn(BATCH * height * width, x.channels, device=device)
    right = torch.randn(BATCH * height * width, y.channels, device=device)
    out = torch.zeros(x.channels, y.channels, device=device)
    out.addmm_(left.T, right)

    def work() -> None:
        for count in [BATCH] * (images // BATCH) + [images % BATCH] * (images % BATCH > 0):
            rows = count * height * width
            for _ in range(repeats):
                out.addmm_(left[:rows].T, right[:rows])

    return timed(work, device)


def _job(engine: Any, settings: Any, number: int) -> float:
    add_probe(engine, f"faces-{number}", IMAGES, seed=number)
    start = time.perf_counter()
    submitted = submit_mine(engine, deaf(), settings, probe=f"faces-{number}")
    submitting = time.perf_counter() - start
    job = run_job(engine, submitted.id)
    return submitting + (job.finished_at - job.created_at).total_seconds()


def _correlation_stage(floor: Floor) -> dict[str, float]:
    """The correlation stage alone, null and sketches left out, against the tests' brute force on the same maps."""
    maps: dict[str, dict[str, list[torch.Tensor]]] = {}
    names = ("dcgan-faces", "efficientnet-lite0")
    probes = GeneratorProbes(floor.networks["dcgan-faces"], 0, 100)
    passes = ForwardPasses(
        probes,
        {name: floor.networks[name] for name in names},
        {name: floor.networks[name].layers for name in names},
        torch.device("cpu"),
    )

    def keep(model: str, layer: str, values: torch.Tensor) -> None:
        maps.setdefault(model, {}).setdefault(layer, []).append(values.clone())

    for _ in passes.run(torch.arange(100).split(25), names, keep):
        pass
    whole = {model: {layer: torch.cat(parts) for layer, parts in layers.items()} for model, layers in maps.items()}
    mine_in_memory(whole, batch=25, sketch=False, permutations=0)
    engine = statistics.median(
        timed(lambda: mine_in_memory(whole, batch=25, sketch=False, permutations=0), torch.device("cpu"))
        for _ in range(3)
    )
    first, second = (list(layers.values()) for layers in whole.values())
    brute = timed(lambda: pearson_layers(first, second), torch.device("cpu"))
    return {"correlation_s": engine, "brute_force_s": brute, "speed_up_over_brute_force": brute / engine}


def run() -> dict[str, Any]:
    """The figures: medians of interleaved repeats."""
    keep_freed_memory()  # as a worker does; the floor gains as much
    device = bench_device()
    floor = Floor(device)
    jobs, forwards, products = [], [], []
    with store() as (engine, settings):
        register_demo(engine, settings)
        _job(engine, settings, 0)  # warm
        floor.forwards()
        for number in range(1, REPEATS + 1):
            jobs.append(_job(engine, settings, number))
            forwards.append(timed(floor.forwards, device))
            products.append(floor.products())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # before brute force takes its own
    job, forward, product = (statistics.median(values) for values in (jobs, forwards, products))
    return {
        "images": IMAGES,
        "models": len(DEMO),
        "ratio_to_minimum": statistics.median(a / (b + c) for a, b, c in zip(jobs, forwards, products, strict=True)),
        "job_s": job,
        "forwards_s": forward,
        "products_s": product,
        "overhead_s": job - forward - product,
        "peak_gb": peak,
        **_correlation_stage(floor),
    }
