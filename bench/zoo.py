"""Zoos of 2, 4, 8 and 16 tiny models: a job costs the forward passes, one a model, and the products, one a pair.

The floor is measured in the same run: all forward passes once, the images made and resized, with nothing recorded;
and the bare products of every pair and every sketch.
"""

from __future__ import annotations

import tempfile
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import sqlalchemy as sa
import timm
import torch
from safetensors.torch import save_file

from bench.mining import bench_device, product_seconds, timed
from bench.stack import add_probe, deaf, run_job, store
from service.plan import NULL_PERMUTATIONS
from service.settings import Settings
from service.submit import submit_mine
from service.submit_register import submit_register
from workers.allocator import keep_freed_memory
from workers.mining.layout import ModelLayout, noise_layout
from workers.mining.sketches import DIMENSIONS, SIDE
from workers.pipelines.forward import ForwardPasses
from workers.pipelines.layers import trace
from workers.probes import GeneratorProbes
from workers.zoo import registry
from workers.zoo.base import Network

ARCHITECTURES = ("test_resnet", "test_vit", "test_efficientnet", "test_convnext")
SIZES = (2, 4, 8, 16)
IMAGES, REPEATS, BATCH = 64, 2, 32


def _register(engine: sa.Engine, settings: Settings, folder: Path) -> dict[str, Network]:
    """As many models as the largest zoo has: each architecture with several random weights."""
    run_job(engine, submit_register(engine, deaf(), settings, name="dcgan-faces", source="demo:dcgan-faces").id)
    networks = {}
    for number in range(max(SIZES)):
        architecture = ARCHITECTURES[number % len(ARCHITECTURES)]
        torch.manual_seed(number)
        name, file = f"m{number:02}", folder / f"{number}.safetensors"
        save_file(timm.create_model(architecture).state_dict(), file)
        source = f"timm:{architecture}"
        job = submit_register(engine, deaf(), settings, name=name, source=source, weights=str(file))
        run_job(engine, job.id)
        networks[name] = registry.load(source, file)
    return networks


def _job(engine: sa.Engine, settings: Settings, size: int, seed: int) -> float:
    probe = f"faces-{size}-{seed}"
    add_probe(engine, probe, IMAGES, seed=size * 1000 + seed)
    models = [f"m{number:02}" for number in range(size)]
    job = run_job(engine, submit_mine(engine, deaf(), settings, probe=probe, models=models).id)
    return (job.finished_at - job.created_at).total_seconds()


class _Floor:
    """The forward passes and the products that no plan can do without."""

    def __init__(self, networks: dict[str, Network], device: torch.device) -> None:
        self.device, self.names = device, list(networks)
        probes = GeneratorProbes(registry.load("demo:dcgan-faces"), 0, IMAGES)
        self.layouts = [
            ModelLayout(name, tuple(trace(network, network.layers, name))) for name, network in networks.items()
        ]
        layers = {layout.name: [layer.name for layer in layout.layers] for layout in self.layouts}
        self.passes = ForwardPasses(probes, networks, layers, device)

    def forwards(self, size: int) -> float:
        def run() -> None:
            for _ in self.passes.run(torch.arange(IMAGES).split(BATCH), self.names[:size], lambda *_: None):
                pass

        return timed(run, self.device)

    def products(self, size: int) -> float:
        noise, models = noise_layout(DIMENSIONS, SIDE), self.layouts[:size]
        pairs = sum(
            product_seconds(a, b, 1 + NULL_PERMUTATIONS, IMAGES, self.device) for a, b in combinations(models, 2)
        )
        return pairs + sum(product_seconds(model, noise, 1, IMAGES, self.device) for model in models)


def run() -> dict[str, Any]:
    """The figures: medians of interleaved repeats."""
    keep_freed_memory()
    with tempfile.TemporaryDirectory(prefix="rosetta-bench-") as folder, store(Path(folder)) as (engine, settings):
        networks = _register(engine, settings, Path(folder))
        floor = _Floor(networks, bench_device())
        _job(engine, settings, max(SIZES), 0)  # warm
        seconds: dict[int, list[tuple[float, float, float]]] = {size: [] for size in SIZES}
        for seed in range(1, REPEATS + 1):
            for size in SIZES:
                job = _job(engine, settings, size, seed)
                seconds[size].append((job, floor.forwards(size), floor.products(size)))
    figures: dict[str, Any] = {"images": IMAGES, "units_per_model": median(layout.units for layout in floor.layouts)}
    for size, repeats in seconds.items():
        figures[f"job_s_{size}"] = median(job for job, _, _ in repeats)
        figures[f"ratio_to_minimum_{size}"] = median(job / (forward + product) for job, forward, product in repeats)
    largest = max(SIZES)
    _, forward, product = (median(column) for column in zip(*seconds[largest], strict=True))
    figures["forward_s_per_model"] = forward / largest
    figures["product_s_per_pair"] = product / (largest * (largest - 1) / 2)
    # M forwards cost what M (M - 1) / 2 products cost.
    figures["crossover_models"] = 1 + 2 * figures["forward_s_per_model"] / figures["product_s_per_pair"]
    return figures
