"""Probe sets: list, look at, make, remove."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from rosetta.addresses import check_model_name
from rosetta.errors import Conflict, InvalidRequest
from rosetta.results import Page, ProbeSet
from service.database import sketches
from service.database.schema import jobs, models, probe_images, probe_sets, profiles
from service.queries import names, pages
from service.settings import Settings
from service.uploads import DIGEST, image_path

_UNASKED = ("cluster", "map", "pictures", "embed_text")

LARGEST_COUNT = 10_000_000
DEFAULT_SIZE = 256
_SIZES = range(8, 2049)


def list_probes(conn: sa.Connection, *, limit: int = pages.DEFAULT_LIMIT, cursor: str | None = None) -> Page[ProbeSet]:
    """The probe sets by name.

    Raises:
        InvalidRequest: when the limit or the cursor is none.
    """
    statement = _probes().order_by(probe_sets.c.name).limit(pages.check_limit(limit) + 1)
    if cursor is not None:
        statement = statement.where(probe_sets.c.name > pages.decode_cursor(cursor, str)[0])
    rows = conn.execute(statement).all()
    return pages.paged(rows, limit, key=lambda row: (row.name,), item=_probe)


def get_probe(conn: sa.Connection, name: str) -> ProbeSet:
    """One probe set, and the models that were mined on it.

    Raises:
        NotFound: when there is none of that name.
    """
    row = names.probe_row(conn, name)
    return _probe(conn.execute(_probes().where(probe_sets.c.id == row.id)).one())


def add_generator_probe(
    conn: sa.Connection,
    name: str,
    generator: str,
    count: int,
    seed: int = 0,
    class_index: int | None = None,
    truncation: float | None = None,
) -> ProbeSet:
    """A probe set of a generator's samples; the stored one when it is there already.

    Args:
        conn: where to store it.
        name: of the probe set.
        generator: name of a model that makes images.
        count: images.
        seed: of the latents.
        class_index: the class, for a generator that has classes.
        truncation: of the latents, in (0, 1].

    Raises:
        NotFound: when there is no such model.
        InvalidRequest: when the model makes no images, or a number does not fit it.
        Conflict: when the name stands for other images, or the same images have another name.
    """
    check_model_name(name)
    row = names.model_row(conn, generator)
    if not row.is_generator:
        raise InvalidRequest(
            f"{generator} makes no images: name a generator, or make a probe set of a folder (--images)",
            generator=generator,
        )
    latents = row.details["latents"]
    _check_numbers(
        generator=generator,
        classes=latents.get("classes"),
        count=count,
        seed=seed,
        class_index=class_index,
        truncation=truncation,
    )
    parameters = {"count": count, "seed": seed, "class": class_index, "truncation": truncation}
    values = {
        "kind": "generator",
        "count": count,
        "height": latents["height"],
        "width": latents["width"],
        "generator_id": row.id,
        "seed": seed,
        "truncation": truncation,
        "class_index": class_index,
    }
    probe_set_id, made = _store(conn, name, _digest({"generator": row.weights_digest, **parameters}), values)
    if made:
        positions = sa.func.generate_series(0, count - 1).column_valued("position")
        conn.execute(
            sa.insert(probe_images).from_select(
                ["probe_set_id", "position"], sa.select(sa.literal(probe_set_id), positions)
            )
        )
    return get_probe(conn, name)


def add_image_probe(
    conn: sa.Connection,
    settings: Settings,
    name: str,
    images: Sequence[tuple[str, str]],
    size: int = DEFAULT_SIZE,
) -> ProbeSet:
    """A probe set of uploaded images; the stored one when it is there already.

    Args:
        conn: where to store it.
        settings: say where uploaded images lie.
        name: of the probe set.
        images: relative name and sha256 of every image; they are kept in the order of their names.
        size: side of the square that every image is resized and cropped to, pixels.

    Raises:
        InvalidRequest: when there is no image, or one was not uploaded.
        Conflict: when the name stands for other images, or the same images have another name.
    """
    check_model_name(name)
    if size not in _SIZES:
        raise InvalidRequest(f"size must be between {_SIZES[0]} and {_SIZES[-1]} pixels, not {size}", size=size)
    ordered = sorted(images)
    _check_images(settings, name, ordered)
    values = {"kind": "images", "count": len(ordered), "height": size, "width": size}
    digest = _digest({"size": size, "images": [digest for _, digest in ordered]})
    probe_set_id, made = _store(conn, name, digest, values)
    if made:
        conn.execute(
            sa.insert(probe_images),
            [
                {"probe_set_id": probe_set_id, "position": position, "name": image, "digest": sha256}
                for position, (image, sha256) in enumerate(ordered)
            ],
        )
    return get_probe(conn, name)


def remove_probe(conn: sa.Connection, name: str) -> None:
    """Deletes a probe set and all that was mined on it. Uploaded images stay: another may hold them.

    Jobs that nobody asked for, which follow a mine or a page, are cancelled with it.

    Raises:
        NotFound: when there is none of that name.
        Conflict: when another job is at work on it.
    """
    row = names.probe_row(conn, name)
    on_it = sa.and_(jobs.c.state.in_(("queued", "running")), jobs.c.parameters["probe"].astext == name)
    # Jobs before the probe set, as a worker that publishes locks them.
    conn.execute(
        sa.update(jobs)
        .where(on_it, jobs.c.kind.in_(_UNASKED))
        .values(state="cancelled", finished_at=sa.func.clock_timestamp())
    )
    conn.execute(sa.select(probe_sets.c.id).where(probe_sets.c.id == row.id).with_for_update())
    working = conn.scalar(sa.select(jobs.c.id).where(on_it).order_by(jobs.c.id).limit(1))
    if working is not None:
        raise Conflict(
            f"job {working} mines on {name}: wait for it, or stop it with `rosetta jobs cancel {working}`",
            name=name,
            job=working,
        )
    conn.execute(sa.delete(probe_sets).where(probe_sets.c.id == row.id))
    sketches.drop_partition(conn, row.id)


def _check_numbers(
    *,
    generator: str,
    classes: int | None,
    count: int,
    seed: int,
    class_index: int | None,
    truncation: float | None,
) -> None:
    if not 1 <= count <= LARGEST_COUNT:
        raise InvalidRequest(f"a probe set has 1 to {LARGEST_COUNT:,} images, not {count}", count=count)
    if not 0 <= seed < 2**63:
        raise InvalidRequest(f"seed must be between 0 and 2^63 - 1, not {seed}", seed=seed)
    if truncation is not None and not 0 < truncation <= 1:
        raise InvalidRequest(f"truncation must be above 0 and at most 1, not {truncation}", truncation=truncation)
    if class_index is not None and classes is None:
        raise InvalidRequest(f"{generator} has no classes: leave the class out", class_index=class_index)
    if class_index is not None and classes is not None and not 0 <= class_index < classes:
        raise InvalidRequest(f"{generator} has classes 0 to {classes - 1}, not {class_index}", class_index=class_index)


def _check_images(settings: Settings, name: str, images: Sequence[tuple[str, str]]) -> None:
    if not images:
        raise InvalidRequest(f"probe set {name} would be empty: name at least one image", name=name)
    twice = [image for image, count in Counter(image for image, _ in images).items() if count > 1]
    if twice:
        raise InvalidRequest(f"image {twice[0]} is named twice: names within a probe set differ", image=twice[0])
    for image, digest in images:
        if not DIGEST.fullmatch(digest):
            raise InvalidRequest(f"image {image}: '{digest}' is not a sha256 in hexadecimal", image=image)
    missing = [image for image, digest in images if not image_path(settings, digest).is_file()]
    if missing:
        raise InvalidRequest(
            f"{len(missing)} of {len(images)} images were not uploaded, such as {missing[0]}:"
            " send each with PUT /v1/images/{sha256} first",
            missing=missing[:100],
        )


def _store(conn: sa.Connection, name: str, digest: str, values: dict[str, Any]) -> tuple[int, bool]:
    """The id of the probe set of that name and digest, and whether it was made now."""
    statement = insert(probe_sets).values(name=name, digest=digest, **values).on_conflict_do_nothing()
    made = conn.scalar(statement.returning(probe_sets.c.id))
    if made is not None:
        return made, True
    either = sa.or_(probe_sets.c.name == name, probe_sets.c.digest == digest)
    for row in conn.execute(sa.select(probe_sets).where(either).order_by(probe_sets.c.name != name)):
        if row.name == name and row.digest == digest:
            return row.id, False
        if row.name == name:
            raise Conflict(
                f"probe set {name} exists with other images: choose another name,"
                f" or `rosetta probes remove {name}` first",
                name=name,
            )
        raise Conflict(f"these very images are probe set {row.name}: use that one", name=row.name)
    raise Conflict(f"probe set {name} was removed just now: try again", name=name)


def _digest(parameters: dict[str, Any]) -> str:
    """sha256 of the canonical JSON of what decides every pixel."""
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _probes() -> sa.Select[Any]:
    """Probe sets, their generator's name, and the names of the models that were mined on them."""
    mined = (
        sa.select(sa.func.array_agg(aggregate_order_by(models.c.name, models.c.name)))
        .select_from(profiles)
        .join(models, models.c.id == profiles.c.model_id)
        .where(profiles.c.probe_set_id == probe_sets.c.id)
        .scalar_subquery()
    )
    generator = models.alias("generator")
    columns: tuple[sa.ColumnElement[Any], ...] = (
        *probe_sets.c,
        generator.c.name.label("generator"),
        sa.func.coalesce(mined, sa.literal([], sa.ARRAY(sa.Text))).label("mined_models"),
    )
    return sa.select(*columns).join(generator, generator.c.id == probe_sets.c.generator_id, isouter=True)


def _probe(row: sa.Row[Any]) -> ProbeSet:
    return ProbeSet(
        name=row.name,
        digest=row.digest,
        kind=row.kind,
        count=row._mapping["count"],  # a row, as a tuple, has a method of that name
        height=row.height,
        width=row.width,
        generator=row.generator,
        seed=row.seed,
        truncation=row.truncation,
        class_index=row.class_index,
        created_at=row.created_at,
        mined_models=tuple(row.mined_models),
    )
