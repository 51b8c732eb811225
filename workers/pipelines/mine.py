"""The job `mine`: runs the models over a probe set once, and stores matches, statistics and sketches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
import torch

from rosetta.errors import InvalidRequest
from service.database import sketches
from service.plan import NULL_PERMUTATIONS
from workers.mining.errors import BudgetError, NonFiniteError, ShapeError
from workers.mining.miner import Miner
from workers.mining.plan import Pass
from workers.pipelines import inputs
from workers.pipelines.context import Context
from workers.pipelines.forward import ForwardPasses
from workers.pipelines.inputs import MinedModel
from workers.pipelines.store import store_part
from workers.probes import GeneratorProbes, ImageProbes


def run(context: Context) -> None:
    """Mines the pairs of the part's payload.

    Raises:
        InvalidRequest: when weights or layers are others than registered, activations are not finite, or the
            memory budget is too small.
        NotFound: when a model or the probe set was removed meanwhile.
    """
    pairs = [(first, second) for first, second in context.payload["pairs"]]
    context.report(0, context.payload["images"], "loading the models")
    with context.engine.connect() as connection:
        probe_set = inputs.probe_row(connection, context.parameters["probe"])
        ids = {model for pair in pairs for model in pair} | set(context.payload["profiles"])
        models = inputs.load_models(context, connection, sorted(ids))
        recorded = all(model.network.recording for model in models)  # these look at no image
        probes = None if recorded else inputs.load_probes(context, connection, probe_set)
    place = {model.id: index for index, model in enumerate(models)}
    device = _device(context.settings.device)
    try:
        miner = Miner(
            [model.layout for model in models],
            [(place[a], place[b]) for a, b in pairs],
            [place[model] for model in context.payload["profiles"]],
            probe_set._mapping["count"],  # `.count` is a method of tuples
            probe_set.digest,
            keep=context.parameters["keep"],
            permutations=NULL_PERMUTATIONS,
            budget=_budget(context.settings.memory_budget, device),
            device=device,
        )
        _run_passes(context, miner, models, probes)
    except BudgetError as error:
        raise InvalidRequest(f"{error}: raise ROSETTA_MEMORY_BUDGET, or mine with fewer layers (--layers)") from error
    except NonFiniteError as error:
        why = "its weights may be broken, or the layer overflows; register it without that layer (--layers)"
        if any(model.network.recording for model in models if model.name == error.model):
            why = "fill in what was not recorded, or register it without that layer (--layers)"
        raise InvalidRequest(
            f"model '{error.model}', layer '{error.layer}' gave NaN or infinity on "
            f"{inputs.image_name(context.engine, probe_set, error.image)}: {why}",
            model=error.model,
            layer=error.layer,
            image=error.image,
        ) from error
    except ShapeError as error:
        raise InvalidRequest(f"{error}: the model's layers changed, register it anew") from error
    _publish(context, miner, models, probe_set, pairs)


def _run_passes(
    context: Context, miner: Miner, models: Sequence[MinedModel], probes: GeneratorProbes | ImageProbes | None
) -> None:
    forward = ForwardPasses(
        probes,
        {model.name: model.network for model in models},
        {model.name: [layer.name for layer in model.layout.layers] for model in models},
        miner.device,
    )
    total = miner.images * len(miner.passes)
    for number, part in enumerate(miner.passes):
        note = f"mining {len(part.models)} models"
        if len(miner.passes) > 1:
            note += f", pass {number + 1} of {len(miner.passes)}"
        done = number * miner.images
        # In a function of its own: a pass is let go of before the next one takes its memory.
        _run_pass(
            miner,
            part,
            [model.name for model in models],
            forward,
            lambda seen, done=done, note=note: context.report(done + seen, total, note),
        )


def _run_pass(
    miner: Miner, part: Pass, names: Sequence[str], forward: ForwardPasses, report: Callable[[int], None]
) -> None:
    running = miner.start(part)
    place = {names[index]: index for index in part.models}

    def consume(model: str, layer: str, maps: torch.Tensor) -> None:
        running.write(place[model], layer, maps)

    for positions in forward.run(miner.order.split(part.batch), list(place), consume):
        running.finish_batch(positions)
        report(running.seen)
    miner.finish(running)


def _publish(
    context: Context, miner: Miner, models: Sequence[MinedModel], probe_set: sa.Row[Any], pairs: list[tuple[int, int]]
) -> None:
    place = {model.id: index for index, model in enumerate(models)}
    results = {(a, b): miner.pair(place[a], place[b]) for a, b in pairs}
    profiles = {model: miner.profile(place[model]) for model in context.payload["profiles"]}
    with context.engine.begin() as connection:
        sketches.ensure_partition(connection, probe_set.id)
    outcome: dict[str, Any] = {"pairs": len(pairs), "images": miner.images}
    with context.publish(outcome) as connection:
        store_part(connection, context, probe_set.id, results, miner.permutations, profiles)
    sketches.build_index(context.engine, probe_set.id)


def _device(name: str) -> torch.device:
    """The device to run on, set up for it.

    On CUDA, products take TF32: it rounds their factors to 11 bits, which moves r by less than 1e-3 (a test says so),
    and is several times faster. bfloat16 would round to 8.
    """
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    return device


def _budget(budget: int, device: torch.device) -> int:
    """The memory budget, on CUDA at most half of what is free there: models and their passes need the rest."""
    if device.type != "cuda":
        return budget
    free, _ = torch.cuda.mem_get_info(device)
    return min(budget, free // 2)
