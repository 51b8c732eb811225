"""Submitting a translation between models: which units are told from which, and on what images."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from celery import Celery

from rosetta.errors import InvalidRequest
from rosetta.results import Job
from service import jobs
from service.database.schema import comparisons, equivalents, probe_sets
from service.engine_version import ENGINE_VERSION
from service.queries import names
from service.queries.comparisons import not_mined
from service.queries.matches import fewer_kept
from service.recipe_checks import check_seed
from service.settings import Settings

MOST_K, RIDGE, HELD_OUT = 10, 0.01, 100
MOST_HELD_OUT = 100_000
_SHARE = 0.25  # of a set of files, at most: others there are none


def submit_equivalents(
    engine: sa.Engine,
    celery: Celery,
    settings: Settings,
    *,
    source: str,
    target: str,
    probe: str | None = None,
    k: int | None = None,
    ridge: float = RIDGE,
    held_out: int = HELD_OUT,
    seed: int | None = None,
) -> Job:
    """The job that fits a translation; the finished one while what it made is there.

    Args:
        engine: of the store.
        celery: to ring with.
        settings: say where coefficients lie.
        source: from whose units: a name, or a nickname that stands for one model.
        target: whose units are told.
        probe: the probe set on which the two were compared; None: the newest such.
        k: matches that a unit is told from, at most; None: as many as mining kept, up to 10.
        ridge: of the mean variance of a unit's matches.
        held_out: images for the test: new samples of the probe set's generator; of files a quarter of the set at most.
        seed: of these; None: the probe set's + 1.

    Raises:
        NotFound: when a name is unknown, or the two were not compared, with the mine that would.
        InvalidRequest: when a number is none, or a name stands for several models.
    """
    if not (ridge >= 0 and math.isfinite(ridge)):
        raise InvalidRequest(f"a ridge is 0 or more: {ridge} is not", ridge=str(ridge))
    if not 2 <= held_out <= MOST_HELD_OUT:
        raise InvalidRequest(f"held_out lies between 2 and {MOST_HELD_OUT:,}: {held_out} does not", held_out=held_out)
    with engine.connect() as connection:
        rows = [_one_model(connection, mention) for mention in (source, target)]
        if rows[0].id == rows[1].id:
            raise InvalidRequest(f"{rows[0].name} needs no translation to itself: name another model")
        compared = _compared(connection, rows, probe)
        if k is None:
            k = min(MOST_K, compared.keep)
        if k < 1:
            raise InvalidRequest(f"k must be 1 or more, not {k}", k=k)
        if k > compared.keep:
            raise fewer_kept("k", k, compared)
        probe_set = names.probe_row(connection, compared.probe_set)
        # A recording has no responses to images that were never shown.
        unseen = probe_set.kind == "generator" and all(row.recorded_on is None for row in rows)
        seed = _seed(seed, probe_set, unseen=unseen)
    count = probe_set._mapping["count"]  # `.count` is a method of tuples
    if not unseen:
        held_out = min(held_out, max(2, math.floor(_SHARE * count)))
    parameters: dict[str, Any] = {
        "probe": probe_set.name,
        "models": [row.name for row in rows],
        "k": k,
        "ridge": ridge,
        "held_out": held_out,
        "unseen": unseen,
        "seed": seed,
    }
    text = json.dumps([probe_set.id, compared.id, [row.id for row in rows], parameters, ENGINE_VERSION], sort_keys=True)
    key = f"translate {hashlib.sha256(text.encode()).hexdigest()}"
    with engine.connect() as connection:
        done = jobs.finished(connection, key)
        if done and _stands(connection, settings, done):
            return done
    payload = {"source": rows[0].id, "target": rows[1].id, "images": count + (held_out if unseen else 0)}
    job_id = jobs.create(engine, "translate", key, parameters, [payload])
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)


def coefficients_path(settings: Settings, digest: str) -> Path:
    """Where the coefficients of that digest lie."""
    return settings.equivalents_dir / f"{digest}.safetensors"


def _one_model(connection: sa.Connection, mention: str) -> sa.Row[Any]:
    rows = names.resolve_models(connection, mention)
    if len(rows) > 1:
        fitting = ", ".join(row.name for row in rows)
        raise InvalidRequest(f"'{mention}' stands for {len(rows)} models ({fitting}): name one", model=mention)
    return rows[0]


def _compared(connection: sa.Connection, rows: list[sa.Row[Any]], probe: str | None) -> Any:
    """The comparison whose matches a unit of the target is told from: those it has in the source."""
    source, target = rows
    statement = (
        sa.select(
            comparisons.c.id,
            comparisons.c.keep,
            probe_sets.c.name.label("probe_set"),
            sa.literal(target.name).label("model"),
            sa.literal(source.name).label("neighbour_model"),
        )
        .join(probe_sets, probe_sets.c.id == comparisons.c.probe_set_id)
        .where(comparisons.c.model_id == target.id, comparisons.c.neighbour_model_id == source.id)
        .order_by(comparisons.c.created_at.desc(), comparisons.c.id.desc())
        .limit(1)
    )
    if probe is not None:
        statement = statement.where(probe_sets.c.id == names.probe_row(connection, probe).id)
    row: Any = connection.execute(statement).one_or_none()
    if row is None:
        raise not_mined(source.name, target.name, probe)
    return row


def _seed(seed: int | None, probe_set: sa.Row[Any], *, unseen: bool) -> int:
    if seed is None:
        return 1 if probe_set.seed is None else int((probe_set.seed + 1) % 2**31)
    if unseen and seed == probe_set.seed:
        raise InvalidRequest(
            f"seed {seed} draws the images of '{probe_set.name}', on which it is fitted: take another", seed=seed
        )
    return check_seed(seed)


def _stands(connection: sa.Connection, settings: Settings, job: Job) -> bool:
    """Whether what the job made is still there, with its file."""
    digest = connection.scalar(sa.select(equivalents.c.digest).where(equivalents.c.job_id == job.id))
    return digest is not None and coefficients_path(settings, digest).is_file()
