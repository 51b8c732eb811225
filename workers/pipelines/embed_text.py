"""The job `embed_text`: the sketch of a text, as of a unit that responds with the cosine of text and image."""

from __future__ import annotations

import numpy as np
import sqlalchemy as sa
import torch
from pgvector import HalfVector
from sqlalchemy.dialects import postgresql
from torch import Tensor

from rosetta.errors import InvalidRequest
from service.database import schema
from service.engine_version import ENGINE_VERSION
from workers.labelling.text_sketches import TextProjection, text_sketch
from workers.mining.sketches import DIMENSIONS
from workers.pipelines import inputs, networks
from workers.pipelines.context import Context
from workers.pipelines.inputs import MinedModel
from workers.pipelines.passes import device_of
from workers.pipelines.sightings import WHOLE, batches, means


def run(context: Context) -> None:
    """Stores the sketch of the text; the first one of a probe set looks at all its images.

    Raises:
        InvalidRequest: when the model cannot be loaded as it was registered, or all images are the same to it.
        NotFound: when the model or the probe set was removed meanwhile.
    """
    text, model_id = context.parameters["text"], context.payload["model"]
    context.report(0, context.payload["images"], "loading the model")
    with context.engine.connect() as connection:
        probe_set = inputs.probe_row(connection, context.parameters["probe"])
        (model,) = inputs.load_models(context, connection, [model_id])
        known = _stored(connection, probe_set.id, model_id)
    tower = networks.text_tower(model.network, device_of(context.settings.device))
    projection = _look(context, probe_set, model) if known is None else known
    sketch = text_sketch(projection, tower([text])[0].cpu())
    if sketch.isnan().any():
        raise InvalidRequest(f"all images of '{probe_set.name}' are the same to {model.name}: no text tells them apart")
    key = {"probe_set_id": probe_set.id, "model_id": model_id}
    with context.publish({"looked": known is None}) as connection:
        if known is None:
            kept = projection.numpy().astype("<f4")
            values = {"dimensions": kept.shape[1], "projection": kept.tobytes()}
            _put(connection, schema.text_projections, key, values)
        _put(connection, schema.text_sketches, {**key, "text": text}, {"sketch": HalfVector(sketch.tolist())})


def _look(context: Context, probe_set: sa.Row[object], model: MinedModel) -> Tensor:
    """The projection of texts' embeddings onto sketches, float32 [512, D]."""
    projection = TextProjection(probe_set.digest)
    done, total = 0, context.payload["images"]
    for positions, taken in batches(context, probe_set, [model], {model.name: [WHOLE]}, means):
        projection.update(taken[model.name, WHOLE], positions)
        done += len(positions)
        context.report(done, total, f"looking at the images with {model.name}")
    return projection.result()


def _stored(connection: sa.Connection, probe_set_id: int, model_id: int) -> Tensor | None:
    """The projection that an earlier job of this engine took."""
    columns = schema.text_projections.c
    kept = connection.scalar(
        sa.select(columns.projection).where(
            columns.probe_set_id == probe_set_id,
            columns.model_id == model_id,
            columns.code_version == ENGINE_VERSION,
        )
    )
    if kept is None:
        return None
    return torch.from_numpy(np.frombuffer(kept, "<f4").reshape(DIMENSIONS, -1).copy())


def _put(connection: sa.Connection, table: sa.Table, key: dict[str, object], values: dict[str, object]) -> None:
    """Writes a row, in place of the one of that key."""
    values = {**values, "code_version": ENGINE_VERSION}
    new = postgresql.insert(table).values({**key, **values})
    connection.execute(new.on_conflict_do_update(index_elements=list(key), set_=values))
