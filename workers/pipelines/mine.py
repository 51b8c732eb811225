"""The job `mine`: runs the models over a probe set once, and stores matches, statistics and sketches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from service import jobs
from service.database import sketches
from service.plan import NULL_PERMUTATIONS
from service.submit_cluster import submit_cluster
from service.submit_map import submit_map_unasked
from workers.mining.miner import Miner
from workers.pipelines import inputs
from workers.pipelines.context import Context
from workers.pipelines.inputs import MinedModel
from workers.pipelines.passes import run_passes
from workers.pipelines.store import store_part
from workers.pipelines.thumbnails import ThumbnailWriter


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
    place = {model.id: index for index, model in enumerate(models)}
    sketched = [place[model] for model in context.payload["profiles"]]
    with ThumbnailWriter(context, probe_set, {index: models[index] for index in sketched}) as thumbnails:
        miner = run_passes(
            context,
            probe_set,
            models,
            [(place[a], place[b]) for a, b in pairs],
            sketched,
            keep=context.parameters["keep"],
            permutations=NULL_PERMUTATIONS,
            doing="mining",
            thumbnails=thumbnails,
        )
        _publish(context, miner, models, probe_set, pairs, thumbnails)
    sketches.build_index(context.engine, probe_set.id)
    _follow(context, probe_set.name, compared=bool(pairs))


def _publish(
    context: Context,
    miner: Miner,
    models: Sequence[MinedModel],
    probe_set: sa.Row[Any],
    pairs: list[tuple[int, int]],
    thumbnails: ThumbnailWriter,
) -> None:
    place = {model.id: index for index, model in enumerate(models)}
    results = {(a, b): miner.pair(place[a], place[b]) for a, b in pairs}
    profiles = {model: miner.profile(place[model]) for model in context.payload["profiles"]}
    with context.engine.begin() as connection:
        sketches.ensure_partition(connection, probe_set.id)
    outcome: dict[str, Any] = {"pairs": len(pairs), "images": miner.images}
    with context.publish(outcome) as connection:
        store_part(connection, context, probe_set.id, results, miner.permutations, profiles)
        thumbnails.publish()  # who sees the part done finds them


def _follow(context: Context, probe: str, *, compared: bool) -> None:
    """Has concepts found anew, and a map made, once the last part of the job is done; neither is this job's matter."""
    with context.engine.connect() as connection:
        state = jobs.get(connection, context.claim.job_id).state
    if state != "done":
        return
    if compared:
        submit_cluster(context.engine, context.celery, probe=probe)
    submit_map_unasked(context.engine, context.settings, probe=probe)
