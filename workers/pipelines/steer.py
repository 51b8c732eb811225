"""The jobs `invert` and `edit`: a recipe is carried out, and what comes of it is stored as a translation."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa
import torch
from PIL import Image
from torch import Tensor

from rosetta.errors import InvalidRequest
from rosetta.recipes import Recipe
from service.database import schema
from service.engine_version import ENGINE_VERSION
from workers.pipelines import inputs, perceptual
from workers.pipelines.checkpoints import Checkpoint
from workers.pipelines.context import Context
from workers.pipelines.passes import device_of
from workers.pipelines.steering import Steering, chunks
from workers.translation.inversion import Inversion
from workers.translation.metrics import psnr, ssim

_SHOW_EVERY = 10  # steps between two previews
_SHOWN = 16  # images of a preview


def run(context: Context) -> None:
    """Carries out the recipe of the part's payload, from its checkpoint where there is one.

    Raises:
        InvalidRequest: when weights are others than the recipe's, or every start of an image met losses that are not
            finite.
        NotFound: when a model or the probe set was removed meanwhile.
    """
    recipe = Recipe.from_json(context.payload["recipe"])
    device = device_of(context.settings.device)
    context.report(0, context.payload["images"], "loading the models")
    with context.engine.connect() as connection:
        probe_set = inputs.probe_row(connection, recipe.probe_set)
        ids = [context.payload["generator"], *context.payload["models"]]
        models = {model.id: model for model in inputs.load_models(context, connection, sorted(set(ids)))}
    steering = Steering(context, recipe, [models[number].network for number in ids], device)
    checkpoint = Checkpoint(context.settings, context.claim.job_id)
    rows = checkpoint.rows
    for chunk in chunks(len(recipe.images), steering.frame)[len(rows) :]:
        inversion, targets = steering.begin(chunk)
        if (state := checkpoint.state) is not None:
            inversion.restore(state)
        rows.append(_finish(context, recipe, steering, checkpoint, chunk, inversion, targets))
    found = [row for part in rows for row in part]
    if lost := [row["position"] for row in found if row["metrics"].get("failed")]:
        with context.engine.begin() as connection:
            kept = _store(connection, context, recipe, probe_set.id, found)
        checkpoint.remove()
        raise InvalidRequest(
            f"image {lost[0]}: the losses of every start were not finite; translation {kept} keeps the best until "
            "then: ask for a lower rate, or other pairs of units",
            translation=kept,
        )
    outcome: dict[str, Any] = {"images": len(found)}
    with context.publish(outcome) as connection:
        outcome["translation"] = _store(connection, context, recipe, probe_set.id, found)
    checkpoint.remove()


def _finish(
    context: Context,
    recipe: Recipe,
    steering: Steering,
    checkpoint: Checkpoint,
    chunk: range,
    inversion: Inversion,
    targets: Tensor,
) -> list[dict[str, Any]]:
    """The rows of `translation_images` of a chunk, once all its steps are taken."""
    steps, done = recipe.optimiser.steps, chunk.start * recipe.optimiser.steps

    def watch(running: Inversion) -> None:
        if running.step == 1 or running.step % _SHOW_EVERY == 0 or running.step == steps:
            checkpoint.show(running.images()[:_SHOWN])
        checkpoint.keep(running.state)
        loss = float(running.losses[-1].mean())
        context.report(
            done + running.step * len(chunk), context.payload["images"], f"step {running.step}, loss {loss:.3f}"
        )

    found = inversion.run(watch)
    pixels = found.images.mul(255).round().clamp(0, 255).byte()
    seen = pixels.float() / 255
    plain = recipe.kind == "inversion"
    lpips = perceptual.load_if_there(context.settings, torch.device("cpu")) if plain else None
    rows = []
    for place, position in enumerate(chunk):
        row = slice(place, place + 1)
        metrics = {"correlation": float(found.correlation[place]), "loss": float(found.loss[place])}
        metrics |= {"failed": 1.0} if found.failed[place] else {}
        if plain:
            metrics |= {
                "psnr": float(psnr(seen[row], targets[row])),
                "ssim": float(ssim(seen[row], targets[row])),
            }
            if lpips is not None:
                metrics["lpips"] = float(lpips(seen[row], targets[row]))
        latent = found.latents.values[place]
        rows.append(
            {
                "position": position,
                "reference": _reference(recipe, position),
                "target": png(targets[place]),
                "picture": png(seen[place]),
                "space": found.latents.space,
                "latent": latent.numpy().astype("<f4").tobytes(),
                "shape": list(latent.shape),
                "class_index": None if found.latents.classes is None else int(found.latents.classes[place]),
                "start": int(found.start[place]),
                "metrics": {name: value for name, value in metrics.items() if np.isfinite(value)},
                "losses": found.losses[:, place].nan_to_num(0, 0, 0).tolist(),
            }
        )
    checkpoint.finish_chunk(rows)
    return rows


def png(image: Tensor) -> bytes:
    """An image float32 [3, H, W] in [0, 1] as a PNG file."""
    pixels = image.mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _reference(recipe: Recipe, position: int) -> Mapping[str, Any]:
    image = recipe.images[position]
    named = {"digest": image.digest, "probe": image.probe, "translation": image.translation, "position": image.position}
    return {name: value for name, value in named.items() if value is not None}


def _store(
    connection: sa.Connection, context: Context, recipe: Recipe, probe_set_id: int, rows: list[dict[str, Any]]
) -> int:
    """Writes the translation and its images; its id."""
    parent = recipe.parent
    if parent is not None:  # it may have been removed meanwhile
        parent = connection.scalar(sa.select(schema.translations.c.id).where(schema.translations.c.id == parent))
    new = sa.insert(schema.translations).values(
        kind=recipe.kind,
        parent_id=parent,
        generator_id=context.payload["generator"],
        probe_set_id=probe_set_id,
        recipe=recipe.as_json(),
        images=len(rows),
        pairs=len(recipe.pairs),
        code_version=ENGINE_VERSION,
        job_id=context.claim.job_id,
    )
    translation: int = connection.execute(new.returning(schema.translations.c.id)).scalar_one()
    connection.execute(sa.insert(schema.translation_images), [{"translation_id": translation, **row} for row in rows])
    return translation
