"""Submitting a `mine` job: a request becomes a job, or an error at once; what is stored already is not done again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import sqlalchemy as sa
from celery import Celery

from rosetta.errors import InvalidRequest
from rosetta.results import Job
from service import jobs
from service.database import schema
from service.engine_version import ENGINE_VERSION
from service.plan import Pair, plan_parts
from service.queries.names import model_row, probe_row
from service.settings import Settings

LARGEST_KEEP = 100


def submit_mine(
    engine: sa.Engine,
    celery: Celery,
    settings: Settings,
    *,
    probe: str,
    models: Sequence[str] | None = None,
    keep: int = 10,
    sketch_only: bool = False,
    parts: int = 1,
) -> Job:
    """The job that compares models on a probe set; a finished one when everything is stored already.

    Args:
        engine: of the store.
        celery: to ring with.
        settings: the memory budget.
        probe: the probe set's name.
        models: names. None: all that fit; one: that one with every model mined on the probe set.
        keep: neighbours kept a unit and model.
        sketch_only: compare nothing: store statistics, sketches and exemplars of each model.
        parts: into how many parts the job is cut at least, where there is so much to do: workers share a job by
            its parts, and a model runs once in each part that has it.

    Raises:
        NotFound: when there is no such probe set or model.
        InvalidRequest: when there is nothing to compare, or a model does not fit the probe set.
    """
    if not 1 <= keep <= LARGEST_KEEP:
        raise InvalidRequest(f"keep must be between 1 and {LARGEST_KEEP}, not {keep}", keep=keep)
    if parts < 1:
        raise InvalidRequest(f"a job has one part or more, not {parts}", parts=parts)
    with engine.connect() as connection:
        probe_set = probe_row(connection, probe)
        images = probe_set._mapping["count"]  # `.count` is a method of tuples
        if images < 2:
            raise InvalidRequest(
                f"probe set '{probe}' has one image: a correlation takes at least 2, better 100", probe=probe
            )
        profiled = _profiled(connection, probe_set.id)
        if sketch_only:
            rows = _sketched(connection, probe_set, models)
            pairs: list[Pair] = []
        else:
            rows, pairs = _wanted(connection, probe_set, models)
        missing = _missing(connection, probe_set.id, pairs, keep)
    units = {row.id: row.units for row in rows}
    parameters = {
        "probe": probe_set.name,
        "models": [row.name for row in rows],
        "keep": keep,
        **({"sketch_only": True} if sketch_only else {}),
    }
    alone = [row.id for row in rows if row.id not in profiled] if sketch_only else []
    key = _key(probe_set.id, pairs or [row.id for row in rows], keep)
    if not missing and not alone:
        return _already_done(engine, key, parameters, len(pairs))
    groups = plan_parts(missing, units, settings.memory_budget, parts)
    payloads = _payloads(groups, profiled, images) if missing else _sketch_payloads(alone, parts, images)
    job_id = jobs.create(engine, "mine", key, parameters, payloads)
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)


def _sketched(connection: sa.Connection, probe_set: sa.Row[Any], names: Sequence[str] | None) -> list[sa.Row[Any]]:
    """The models of a job that compares nothing, ordered by id.

    Raises:
        InvalidRequest: when there is none, or one does not fit the probe set.
    """
    rows = _fitting(connection, probe_set) if names is None else _named(connection, probe_set, names)
    if not rows:
        raise InvalidRequest(
            f"no model fits probe set '{probe_set.name}': register one with `rosetta models add`",
            probe=probe_set.name,
        )
    return rows


def _wanted(
    connection: sa.Connection, probe_set: sa.Row[Any], names: Sequence[str] | None
) -> tuple[list[sa.Row[Any]], list[Pair]]:
    """The models of the job, ordered by id, and the pairs of them that are asked for."""
    if names is None:
        rows = _fitting(connection, probe_set)
        if len(rows) < 2:
            only = f"only '{rows[0].name}' fits" if rows else "no model fits"
            raise InvalidRequest(
                f"{only} probe set '{probe_set.name}', and mining compares two or more: "
                "register another with `rosetta models add`",
                probe=probe_set.name,
            )
        return rows, list(combinations((row.id for row in rows), 2))
    rows = _named(connection, probe_set, names)
    if len(rows) > 1:
        return rows, list(combinations((row.id for row in rows), 2))
    return _one_with_all_mined(connection, probe_set, rows[0])


def _fitting(connection: sa.Connection, probe_set: sa.Row[Any]) -> list[sa.Row[Any]]:
    """All models that can be mined on the probe set, ordered by id."""
    columns = schema.models.c
    fitting = sa.select(schema.models).where(
        sa.or_(~columns.is_generator, columns.id == probe_set.generator_id),
        sa.or_(columns.recorded_on.is_(None), columns.recorded_on == probe_set.digest),
    )
    return list(connection.execute(fitting.order_by(columns.id)))


def _named(connection: sa.Connection, probe_set: sa.Row[Any], names: Sequence[str]) -> list[sa.Row[Any]]:
    """The models of those names, ordered by id.

    Raises:
        NotFound: when there is no such model.
        InvalidRequest: when none is named, or one does not fit the probe set.
    """
    named = {row.id: row for row in (model_row(connection, name) for name in dict.fromkeys(names))}
    if not named:
        raise InvalidRequest("name the models to mine, or leave `models` out to mine all that fit")
    for row in named.values():
        _check_fits(connection, row, probe_set)
    return sorted(named.values(), key=lambda row: row.id)


def _one_with_all_mined(
    connection: sa.Connection, probe_set: sa.Row[Any], model: sa.Row[Any]
) -> tuple[list[sa.Row[Any]], list[Pair]]:
    mined = sa.select(schema.models).join(schema.profiles, schema.profiles.c.model_id == schema.models.c.id)
    mined = mined.where(schema.profiles.c.probe_set_id == probe_set.id, schema.models.c.id != model.id)
    others = list(connection.execute(mined))
    if not others:
        raise InvalidRequest(
            f"nothing is mined on probe set '{probe_set.name}' yet that '{model.name}' could be compared "
            "with: name a second model, or leave `models` out to mine all that fit",
            probe=probe_set.name,
            models=[model.name],
        )
    pairs = [(min(model.id, row.id), max(model.id, row.id)) for row in others]
    return sorted([model, *others], key=lambda row: row.id), sorted(pairs)


def _check_fits(connection: sa.Connection, model: sa.Row[Any], probe_set: sa.Row[Any]) -> None:
    if model.recorded_on not in {None, probe_set.digest}:
        raise _recorded_elsewhere(connection, model, probe_set)
    if model.is_generator and model.id != probe_set.generator_id:
        raise _generates_others(connection, model, probe_set)


def _recorded_elsewhere(connection: sa.Connection, model: sa.Row[Any], probe_set: sa.Row[Any]) -> InvalidRequest:
    columns = schema.probe_sets.c
    name = connection.scalar(sa.select(columns.name).where(columns.digest == model.recorded_on))
    if name:
        own, mend = f"'{name}'", f"`rosetta mine --probe {name}`, or register responses to '{probe_set.name}'"
    else:
        own, mend = f"of digest {model.recorded_on[:12]}, which was removed", "make that one again"
    return InvalidRequest(
        f"recording '{model.name}' can only be mined on the probe set it answers ({own}), not on "
        f"'{probe_set.name}': {mend}",
        model=model.name,
        probe=probe_set.name,
    )


def _generates_others(connection: sa.Connection, model: sa.Row[Any], probe_set: sa.Row[Any]) -> InvalidRequest:
    if probe_set.generator_id is None:
        source = "is a folder of images"
    else:
        name = connection.scalar(sa.select(schema.models.c.name).where(schema.models.c.id == probe_set.generator_id))
        source = f"was made by '{name}'"
    return InvalidRequest(
        f"generator '{model.name}' can only be mined on its own samples, but probe set '{probe_set.name}' "
        f"{source}: make one with `rosetta probes add NAME --generator {model.name} --count 100`",
        model=model.name,
        probe=probe_set.name,
    )


def _missing(connection: sa.Connection, probe_set_id: int, pairs: list[Pair], keep: int) -> list[Pair]:
    """The pairs that are not stored both ways, by this engine, with enough neighbours and both profiles."""
    current = sa.select(schema.comparisons.c.model_id, schema.comparisons.c.neighbour_model_id).where(
        schema.comparisons.c.probe_set_id == probe_set_id,
        schema.comparisons.c.keep >= keep,
        schema.comparisons.c.code_version == ENGINE_VERSION,
    )
    stored = {(row.model_id, row.neighbour_model_id) for row in connection.execute(current)}
    profiled = _profiled(connection, probe_set_id)
    return [(a, b) for a, b in pairs if not ({(a, b), (b, a)} <= stored and {a, b} <= profiled)]


def _profiled(connection: sa.Connection, probe_set_id: int) -> set[int]:
    """The models whose statistics and sketches this engine has stored."""
    done = sa.select(schema.profiles.c.model_id).where(
        schema.profiles.c.probe_set_id == probe_set_id, schema.profiles.c.code_version == ENGINE_VERSION
    )
    return set(connection.scalars(done))


def _key(probe_set_id: int, work: Sequence[Pair] | Sequence[int], keep: int) -> str:
    """What was asked for: pairs of models, or models alone, on a probe set."""
    inputs = json.dumps([probe_set_id, sorted(work), keep, ENGINE_VERSION])
    return f"mine {hashlib.sha256(inputs.encode()).hexdigest()}"


def _payloads(parts: Sequence[Sequence[Pair]], profiled: set[int], images: int) -> list[dict[str, Any]]:
    """One a part. `profiles`: the models whose statistics and sketches this part is the one to store."""
    payloads = []
    claimed = set(profiled)
    for pairs in parts:
        involved = {model for pair in pairs for model in pair}
        payloads.append(
            {
                "pairs": [list(pair) for pair in pairs],
                "profiles": sorted(involved - claimed),
                "images": images,
            }
        )
        claimed |= involved
    return payloads


def _sketch_payloads(models: Sequence[int], parts: int, images: int) -> list[dict[str, Any]]:
    """One a part, of about as many models each."""
    count = min(parts, len(models))
    return [{"pairs": [], "profiles": list(models[start::count]), "images": images} for start in range(count)]


def _already_done(engine: sa.Engine, key: str, parameters: dict[str, Any], pairs: int) -> Job:
    """The job that mined just this; where several did, a new one, born done."""
    with engine.connect() as connection:
        job = jobs.finished(connection, key)
    if job is not None:
        return job
    job_id = jobs.create(engine, "mine", key, parameters, [], result={"already_done": True, "pairs": pairs})
    with engine.connect() as connection:
        return jobs.get(connection, job_id)
