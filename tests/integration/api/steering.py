"""A worker that is played: what inversions and edits would make is painted here."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import numpy as np
import sqlalchemy as sa
from PIL import Image

from rosetta.edits import ImageReference
from service import jobs, recipes
from service.broker import make_celery
from service.database import schema
from service.jobs.parts import Claim
from service.queries import names
from service.settings import Settings
from service.submit_translation import preview_path, submit_recipe
from tests.integration.api import zoo

KINDS = ("invert", "edit")


def png(colour: str, size: int = 64) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(file, "PNG")
    return file.getvalue()


def waiting(engine: sa.Engine) -> int:
    """The job that steers and waits for a worker."""
    columns = schema.jobs.c
    with engine.connect() as conn:
        found = sa.select(columns.id).where(columns.kind.in_(KINDS), columns.state == "queued")
        return conn.execute(found).scalar_one()


def claim(engine: sa.Engine, job: int) -> Claim:
    taken = jobs.claim(engine, job, 0, uuid4(), 60.0)
    assert taken
    return taken


def show(engine: sa.Engine, settings: Settings, taken: Claim, step: int, colour: str = "orange") -> None:
    """The worker is at this step of a hundred, and shows what it has."""
    path = preview_path(settings, taken.job_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(colour, 160))
    assert jobs.heartbeat(engine, taken, step, 100, f"step {step}, loss 0.500")


def finish(engine: sa.Engine, settings: Settings, taken: Claim, colour: str = "red") -> int:
    """The worker is done: the number of the translation that it made."""
    recipe = taken.payload["recipe"]
    inversion = recipe["kind"] == "inversion"
    outcome: dict[str, int] = {}
    with jobs.publish(engine, taken, outcome) as conn:
        translation = zoo.insert(conn, schema.translations, **values_of(conn, taken))
        for position, image in enumerate(recipe["images"]):
            conn.execute(
                schema.translation_images.insert().values(
                    translation_id=translation,
                    position=position,
                    reference={name: value for name, value in image.items() if value is not None},
                    target=png("white"),
                    picture=png(colour),
                    space="z",
                    latent=np.arange(100, dtype="<f4").tobytes(),
                    shape=[100],
                    start=0,
                    metrics={"correlation": 0.5, **({"psnr": 21.5, "ssim": 0.75} if inversion else {})},
                    losses=[-0.1, -0.3, -0.4],
                )
            )
        outcome["translation"] = translation
    preview_path(settings, taken.job_id).unlink(missing_ok=True)
    return translation


def values_of(conn: sa.Connection, taken: Claim) -> dict[str, Any]:
    """The columns of the translation that a job makes."""
    recipe = taken.payload["recipe"]
    return {
        "kind": recipe["kind"],
        "parent_id": recipe["parent"],
        "generator_id": taken.payload["generator"],
        "probe_set_id": names.probe_row(conn, recipe["probe_set"]).id,
        "recipe": recipe,
        "images": len(recipe["images"]),
        "pairs": len(recipe["pairs"]),
        "code_version": "1",
        "job_id": taken.job_id,
    }


def play(engine: sa.Engine, settings: Settings, colour: str = "red") -> int:
    """Carries out what waits."""
    return finish(engine, settings, claim(engine, waiting(engine)), colour)


def invert(engine: sa.Engine, settings: Settings, positions: Sequence[int] = (7,), colour: str = "blue") -> int:
    """An inversion of images of probe set faces."""
    images = [ImageReference(probe="faces", position=position) for position in positions]
    with engine.connect() as conn:
        recipe = recipes.inversion(conn, settings, generator=zoo.GAN, images=images)
    assert settings.broker_url
    job = submit_recipe(engine, make_celery(settings.broker_url), recipe, again=True)
    return finish(engine, settings, claim(engine, job.id), colour)


def forget(engine: sa.Engine) -> None:
    """Nothing is left of it."""
    with engine.begin() as conn:
        conn.execute(sa.delete(schema.translations))
        conn.execute(sa.delete(schema.jobs).where(schema.jobs.c.kind.in_(KINDS)))
