"""The job `register`: loads a network, learns its layers' grids in one trial pass, and stores its units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import psycopg
import sqlalchemy as sa

from rosetta.errors import InvalidRequest
from service.database.schema import layers, models, units
from service.submit_register import name_taken
from workers.mining.layout import LayerShape
from workers.pipelines import networks
from workers.pipelines.alignment import probe_set_of
from workers.pipelines.context import Context
from workers.pipelines.layers import choose, trace
from workers.zoo.base import Network


def run(context: Context) -> None:
    """Registers the model that the job's parameters name.

    Raises:
        InvalidRequest: when it cannot be loaded, its layers cannot be recorded, or it is a recording that does not
            fit its probe set.
        NotFound: when it is a recording, and its probe set is not here.
        Conflict: when its name was taken meanwhile.
    """
    wanted = context.parameters
    context.report(0, 1, f"loading {wanted['source']}")
    network = networks.load(context.settings, wanted["source"], wanted["weights"])
    recorded_on = _recorded_on(context, network)
    context.report(0, 1, "one forward pass, to learn the layers' grids")
    shapes = trace(network, _layers(network, wanted), wanted["name"])
    _check_named(shapes, wanted["layers"] or network.layers)
    context.report(1, 1, "storing the units")
    result = {
        "model": wanted["name"],
        "layers": len(shapes),
        "units": sum(shape.channels for shape in shapes),
    }
    with context.publish(result) as connection:
        model_id = _store_model(connection, wanted, network, result["units"], recorded_on)
        _store_layers(connection, model_id, shapes)


def _layers(network: Network, wanted: dict[str, Any]) -> Sequence[str]:
    globs = wanted["layers"]
    return choose(network.module, globs, wanted["source"]) if globs else network.layers


def _recorded_on(context: Context, network: Network) -> str | None:
    """The digest of the probe set that a recording answers; None of any other network."""
    if network.recording is None:
        return None
    with context.engine.connect() as connection:
        return str(probe_set_of(connection, network.recording).digest)


def _check_named(shapes: Sequence[LayerShape], named: Sequence[str]) -> None:
    """A glob may fit modules that never run; a layer named in full must."""
    ran = {shape.name for shape in shapes}
    for layer in named:
        if layer not in ran and not set(layer) & set("*?["):
            raise InvalidRequest(
                f"layer '{layer}' does not run in the forward pass: record what is inside it ('{layer}.*')",
                layer=layer,
            )


def _store_model(
    connection: sa.Connection, wanted: dict[str, Any], network: Network, count: int, recorded_on: str | None
) -> int:
    row = {
        "name": wanted["name"],
        "family": wanted["family"] or network.family,
        "aliases": sorted({*network.aliases, *wanted["aliases"]}),
        "source": wanted["source"],
        "weights": wanted["weights"],
        "weights_digest": network.weights_digest,
        "is_generator": network.is_generator,
        "units": count,
        "details": {**network.details, **_taken(network, recorded_on)},
        "recorded_on": recorded_on,
    }
    try:
        return int(connection.execute(sa.insert(models).values(row).returning(models.c.id)).scalar_one())
    except sa.exc.IntegrityError as error:
        if isinstance(error.orig, psycopg.errors.UniqueViolation):
            raise name_taken(wanted["name"]) from None
        raise


def _taken(network: Network, recorded_on: str | None) -> dict[str, Any]:
    """What the network takes, for people: images, latents or positions in a probe set; texts beside images."""
    if network.recording:
        return {"recording": {"images": network.recording.images, "probe_set_digest": recorded_on}}
    shapes = {"preprocessing": network.preprocessing, "latents": network.latents}
    texts = {"text": True} if network.texts else {}  # an image-text model, which can label units and find them by words
    return {key: asdict(shape) for key, shape in shapes.items() if shape} | texts


def _store_layers(connection: sa.Connection, model_id: int, shapes: Sequence[LayerShape]) -> None:
    """Writes layers and units; unit numbers count through the layers in forward order."""
    rows, first_unit = [], 0
    for position, shape in enumerate(shapes):
        rows.append({"model_id": model_id, "position": position, "first_unit": first_unit, **asdict(shape)})
        first_unit += shape.channels
    connection.execute(sa.insert(layers), rows)
    channel = sa.func.generate_series(0, layers.c.channels - 1).column_valued("channel", joins_implicitly=True)
    numbered = sa.select(layers.c.model_id, layers.c.first_unit + channel, layers.c.id, channel)
    columns = [units.c.model_id, units.c.number, units.c.layer_id, units.c.channel]
    connection.execute(sa.insert(units).from_select(columns, numbered.where(layers.c.model_id == model_id)))
