"""Running a miner's passes: models over a probe set, however many passes the memory budget asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
import torch

from rosetta.errors import InvalidRequest
from workers.mining.errors import BudgetError, NonFiniteError, ShapeError
from workers.mining.miner import Miner
from workers.mining.plan import Pass
from workers.pipelines import inputs
from workers.pipelines.context import Context
from workers.pipelines.forward import ForwardPasses
from workers.pipelines.inputs import MinedModel
from workers.pipelines.thumbnails import ThumbnailWriter
from workers.probes import GeneratorProbes, ImageProbes


def run_passes(
    context: Context,
    probe_set: sa.Row[Any],
    models: Sequence[MinedModel],
    pairs: Sequence[tuple[int, int]],
    sketched: Sequence[int],
    *,
    keep: int,
    permutations: int,
    doing: str,
    thumbnails: ThumbnailWriter | None = None,
) -> Miner:
    """The miner of some models, once they have seen the whole probe set; the job's progress is told meanwhile.

    Args:
        context: of the job.
        probe_set: its row.
        models: whom to run.
        pairs: whom to compare, by places in `models`.
        sketched: whose statistics, sketches and exemplars to take, by places.
        keep: neighbours to keep.
        permutations: of the null.
        doing: what is being done, for people, such as `mining`.
        thumbnails: takes those of the sketched models.

    Raises:
        InvalidRequest: when activations are not finite, layers are others than registered, or the memory budget is
            too small.
    """
    recorded = all(model.network.recording for model in models)  # these look at no image
    with context.engine.connect() as connection:
        probes = None if recorded else inputs.load_probes(context, connection, probe_set)
    device = device_of(context.settings.device)
    try:
        miner = Miner(
            [model.layout for model in models],
            pairs,
            sketched,
            probe_set._mapping["count"],  # `.count` is a method of tuples
            probe_set.digest,
            keep=keep,
            permutations=permutations,
            budget=budget_on(device, context.settings.memory_budget),
            device=device,
        )
        _run_all(context, miner, models, probes, doing, thumbnails)
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
    return miner


def _run_all(
    context: Context,
    miner: Miner,
    models: Sequence[MinedModel],
    probes: GeneratorProbes | ImageProbes | None,
    doing: str,
    thumbnails: ThumbnailWriter | None,
) -> None:
    forward = ForwardPasses(
        probes,
        {model.name: model.network for model in models},
        {model.name: [layer.name for layer in model.layout.layers] for model in models},
        miner.device,
    )
    total = miner.images * len(miner.passes)
    for number, part in enumerate(miner.passes):
        note = f"{doing} {len(part.models)} models"
        if len(miner.passes) > 1:
            note += f", pass {number + 1} of {len(miner.passes)}"
        done = number * miner.images
        # In a function of its own: a pass is let go of before the next one takes its memory.
        _run_one(
            miner,
            part,
            models,
            forward,
            thumbnails,
            lambda seen, done=done, note=note: context.report(done + seen, total, note),
        )


def _run_one(
    miner: Miner,
    part: Pass,
    models: Sequence[MinedModel],
    forward: ForwardPasses,
    thumbnails: ThumbnailWriter | None,
    report: Callable[[int], None],
) -> None:
    running = miner.start(part)
    place = {models[index].name: index for index in part.models}

    def consume(model: str, layer: str, maps: torch.Tensor) -> None:
        running.write(place[model], layer, models[place[model]].chosen(layer, maps))

    looked_at = any(models[index].network.recording is None for index in part.models)
    see = thumbnails.see if thumbnails and looked_at else None
    for positions in forward.run(miner.order.split(part.batch), list(place), consume, see):
        running.finish_batch(positions, thumbnails.takers(running, positions) if thumbnails else {})
        report(running.seen)
    if thumbnails:
        thumbnails.finish_pass(running)
    miner.finish(running)


def device_of(name: str) -> torch.device:
    """The device to run on, set up for it.

    On CUDA, products take TF32: it rounds their factors to 11 bits, which moves r by less than 1e-3 (a test says so),
    and is several times faster. bfloat16 would round to 8.
    """
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    return device


def budget_on(device: torch.device, budget: int) -> int:
    """The memory budget, on CUDA at most half of what is free there: models and their passes need the rest."""
    if device.type != "cuda":
        return budget
    free, _ = torch.cuda.mem_get_info(device)
    return min(budget, free // 2)
