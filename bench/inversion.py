"""Inversion and edits of faces that no one mined, against controls; and the cost of a step.

The demo zoo is mined on 200 generated faces, as `make demo` does. 64 faces of another seed are then inverted from what
the models see in them, and edited. Every figure has its control in the same run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.mining import bench_device
from bench.stack import DEMO, add_probe, deaf, register_demo, run_job, store
from service.queries import names
from service.queries.matched_pairs import matched_pairs
from service.submit import submit_mine
from workers.probes import GeneratorProbes
from workers.translation import edits, metrics
from workers.translation.coordinates import Coordinates
from workers.translation.identity import elsewhere
from workers.translation.inversion import Inversion, Inverted
from workers.translation.objective import ImageTerm, Objective
from workers.translation.responses import make
from workers.translation.search import Search
from workers.translation.targets import Pair, Side, Targets, look_at
from workers.zoo import registry
from workers.zoo.base import Latents, Network

GENERATOR, *EYES = DEMO
FACES, PROBES, K = 64, 200, 10
MINED, UNSEEN, DRAWN, RANDOM = 0, 1, 7, 99  # seeds
STEPS = Search().steps
FACTORS = torch.arange(0.7, 1.65, 0.05, dtype=torch.float64)


def mined_pairs(k: int = K) -> dict[str, list[Pair]]:
    """Of each model, the pairs with the generator that are among each other's k best, weighted by r^2."""
    with store() as (engine, settings):
        register_demo(engine, settings)
        add_probe(engine, "faces", PROBES, seed=MINED)
        run_job(engine, submit_mine(engine, deaf(), settings, probe="faces").id)
        with engine.connect() as connection:
            probe = names.probe_row(connection, "faces")
            generator = names.model_row(connection, GENERATOR)
            rows = {
                name: matched_pairs(connection, generator, names.model_row(connection, name), probe, k=k)
                for name in EYES
            }
    return {
        name: [
            Pair(
                Side(one.layer, one.channel, one.mean, one.std),
                Side(*(getattr(one, f"neighbour_{name}") for name in ("layer", "channel", "mean", "std", "minimum"))),
                one.correlation**2,
            )
            for one in pairs
        ]
        for name, pairs in rows.items()
    }


def shuffled(pairs: Sequence[Pair], seed: int = 0) -> list[Pair]:
    """The same units of both sides, matched at random across all layers."""
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed)).tolist()
    return [replace(pair, model=pairs[place].model) for pair, place in zip(pairs, order, strict=True)]


@dataclass
class Bench:
    """Unseen faces, and who looks at them.

    Attributes:
        latents: that made the faces; nobody is told.
        faces: float32 [N, 3, H, W] in [0, 1].
    """

    generator: Network
    eyes: dict[str, Network]
    pairs: dict[str, list[Pair]]
    latents: Latents
    faces: Tensor
    device: torch.device

    @classmethod
    def make(cls, count: int = FACES) -> Bench:
        """Mine, and draw the faces."""
        device = bench_device()
        generator, *eyes = (registry.load(f"demo:{name}") for name in DEMO)
        for network in (generator, *eyes):
            network.module.to(device, memory_format=torch.channels_last)
        latents = GeneratorProbes(generator, UNSEEN, count).latents(range(count)).to(device)
        with torch.no_grad():
            faces, _ = make(generator, latents)
        return cls(generator, dict(zip(EYES, eyes, strict=True)), mined_pairs(), latents, faces, device)

    @property
    def frame(self) -> edits.Frame:
        return self.faces.shape[2], self.faces.shape[3]

    def see(self, name: str, images: Tensor, pairs: Sequence[Pair] | None = None) -> Targets:
        """What a model sees in images."""
        return look_at(self.eyes[name], images.to(self.device), self.pairs[name] if pairs is None else pairs)

    def invert(
        self,
        targets: Sequence[Targets] = (),
        images: Sequence[ImageTerm] = (),
        start: Latents | None = None,
        **search: Any,
    ) -> Inverted:
        objective = Objective(self.generator, targets, images, self.device)
        return Inversion(
            objective, Coordinates(self.generator, seed=DRAWN, device=self.device), Search(**search), start
        ).run()

    def row(self, found: Inverted | Latents) -> dict[str, float]:
        """How near the faces were met."""
        faces = self.faces.cpu()
        if isinstance(found, Latents):
            with torch.no_grad():
                images = make(self.generator, found.to(self.device))[0].cpu()
        else:
            images = found.images
        figures = {
            "retrieval": metrics.retrieved(images, faces).double().mean(),
            "psnr_db": metrics.psnr(images, faces).mean(),
            "ssim": metrics.ssim(images, faces).mean(),
        }
        return {name: float(value) for name, value in figures.items()}


def inversions(bench: Bench) -> tuple[dict[str, dict[str, float]], Inverted]:
    """The table by what the faces were inverted from, and what came of the first model alone."""
    first = EYES[0]
    count = len(bench.faces)
    rows = {
        "random": bench.row(GeneratorProbes(bench.generator, RANDOM, count).latents(range(count))),
        "pixels": bench.row(bench.invert(images=[ImageTerm(bench.faces, 100.0)])),
        "shuffled": bench.row(bench.invert([bench.see(first, bench.faces, shuffled(bench.pairs[first]))])),
    }
    alone = {}
    for name in EYES:
        alone[name] = bench.invert([bench.see(name, bench.faces)])
        rows[name] = bench.row(alone[name])
    rows["all"] = bench.row(bench.invert([bench.see(name, bench.faces) for name in EYES]))
    return rows, alone[first]


def shifts(bench: Bench, inverted: Inverted) -> dict[str, Any]:
    """Moved by 8 of 64 pixels, from the first model's maps alone; asked for nothing; and moved back."""
    first, frame = EYES[0], bench.frame
    before = bench.see(first, bench.faces)
    figures: dict[str, Any] = {}
    for dx in (0, 8, -8):
        moved = bench.invert([edits.shift(before, frame, dx, 0)], start=inverted.latents)
        way = metrics.displacement(inverted.images, moved.images)[:, 0].double() * (-1 if dx < 0 else 1)
        figures[f"shift_{dx}_median_px"] = float(way.median())
        if dx == 0:
            figures["shift_0_mean_px"] = float(way.abs().mean())
            continue
        figures[f"shift_{dx}_in_6_to_10"] = float(((way >= 6) & (way <= 10)).double().mean())
        seen = edits.shift(bench.see(first, moved.images), frame, -dx, 0)
        back = bench.invert([seen], start=moved.latents)
        figures[f"shift_{dx}_back_is_nearest"] = float(metrics.retrieved(back.images, inverted.images).double().mean())
        figures[f"shift_{dx}_back_is_nearest_to_target"] = bench.row(back)["retrieval"]
    return figures


def zooms(bench: Bench, inverted: Inverted) -> dict[str, Any]:
    """Enlarged 1.25 times, and asked for nothing: the factor at which the inverted face, enlarged, fits best."""
    before = bench.see(EYES[0], bench.faces)
    figures: dict[str, Any] = {}
    for factor in (1.0, 1.25):
        found = bench.invert([edits.zoom(before, bench.frame, factor)], start=inverted.latents)
        growth = metrics.growth(inverted.images, found.images, FACTORS)
        figures[f"zoom_{factor}_median"] = float(growth.median())
        figures[f"zoom_{factor}_grown"] = float((growth > 1.1).double().mean())
    return figures


def removals(bench: Bench, inverted: Inverted, units: int = 3) -> dict[str, Any]:
    """Change where a unit fires against elsewhere, when it is removed, and when another one is removed instead."""
    first, frame = EYES[0], bench.frame
    before = bench.see(first, inverted.images)
    pairs = sorted(chain.from_iterable(layer.pairs for layer in before.layers), key=lambda pair: -pair.weight)
    strongest = list(dict.fromkeys((pair.model.layer, pair.model.channel) for pair in pairs))[:units]
    regions, changes = [], []
    for unit in strongest:

        def chosen(pair: Pair, unit: tuple[str, int] = unit) -> bool:
            return (pair.model.layer, pair.model.channel) == unit

        rest = elsewhere(before, frame, chosen)
        keep = ImageTerm(inverted.images.to(bench.device), 100.0, where=rest)
        removed = edits.change_units(before, frame, chosen, "remove", share=0.5)
        found = bench.invert([removed], [keep], start=inverted.latents, prior=0.0)
        regions.append(1 - rest.cpu())
        changes.append((found.images - inverted.images).abs().mean(1, keepdim=True))
    figures: dict[str, Any] = {}
    for place, (layer, channel) in enumerate(strongest):
        for name, change in (("", changes[place]), ("_control", changes[place - 1])):
            inside, outside = (
                (change * where).sum((1, 2, 3)) / where.sum((1, 2, 3)) for where in (regions[place], 1 - regions[place])
            )
            fires = (regions[place].mean((1, 2, 3)) > 0.01) & (regions[place].mean((1, 2, 3)) < 0.99)
            figures[f"remove_{layer}:{channel}{name}_times"] = float((inside / outside)[fires].median())
            figures[f"remove_{layer}:{channel}{name}_on"] = int(fires.sum())
    return figures


def speed(bench: Bench, repeats: int = 9) -> dict[str, float]:
    """A step against the bare forward and backward pass, and a batch against one by one: medians of ratios in turn."""
    count = len(bench.faces)

    def running(chosen: Sequence[str], rows: Sequence[int]) -> Inversion:
        objective = Objective(
            bench.generator, [bench.see(name, bench.faces).rows(rows) for name in chosen], (), bench.device
        )
        return Inversion(objective, Coordinates(bench.generator, device=bench.device), Search(steps=1000, draws=4))

    def bare() -> None:
        z = bench.latents.values.clone().requires_grad_()
        torch.autograd.grad(bench.generator.module(*bench.generator.inputs(Latents(z))).sum(), z)

    first, every = running(EYES[:1], range(count)), running(EYES, range(count))
    single = running(EYES[:1], [0])
    work = {"bare": bare, "first": first.advance, "all": every.advance, "single": single.advance}
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(repeats + 1):
        for name, one in work.items():
            taken = _seconds(one, bench.device)
            if turn:  # the first warms up
                seconds[name].append(taken)

    def ratio(above: str, below: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds[above], seconds[below], strict=True))

    return {
        "steps_per_s": 1 / statistics.median(seconds["first"]),
        "bare_passes_per_s": 1 / statistics.median(seconds["bare"]),
        "step_over_bare_pass": ratio("first", "bare"),
        "step_over_bare_pass_all_models": ratio("all", "bare"),
        "batched_over_one_by_one": count * ratio("single", "first"),
    }


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def run() -> dict[str, Any]:
    """The figures."""
    bench = Bench.make()
    rows, inverted = inversions(bench)
    figures: dict[str, Any] = {"faces": FACES, "steps": STEPS, **speed(bench)}
    for name, row in rows.items():
        figures |= {f"{name}_{figure}": value for figure, value in row.items()}
    return figures | shifts(bench, inverted) | zooms(bench, inverted) | removals(bench, inverted)


def sheet(path: Path, columns: int = 12) -> None:
    """A picture for the README: faces, and what came of them, row by row."""
    from PIL import Image

    bench = Bench.make(columns)
    before = [bench.see(name, bench.faces) for name in EYES]
    first = bench.invert(before[:1])
    rows = [bench.faces.cpu(), first.images, bench.invert(before).images]
    for edit in (
        edits.shift(before[0], bench.frame, 8, 0),
        edits.shift(before[0], bench.frame, -8, 0),
        edits.zoom(before[0], bench.frame, 1.25),
    ):
        rows.append(bench.invert([edit], start=first.latents).images)
    whole = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
    Image.fromarray(whole.mul(255).round().byte().permute(1, 2, 0).numpy()).save(path, optimize=True)


if __name__ == "__main__":
    import sys

    sheet(Path(sys.argv[1]))
