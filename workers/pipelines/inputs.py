"""What a mining job reads from the store: its models with their networks, and its probe set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from torch import Tensor

from rosetta.errors import NotFound
from service.database import schema
from service.uploads import image_path
from workers.mining.errors import ShapeError
from workers.mining.layout import LayerShape, ModelLayout
from workers.pipelines import networks
from workers.pipelines.context import Context
from workers.probes import GeneratorProbes, ImageProbes
from workers.zoo.base import Network


@dataclass(frozen=True)
class MinedModel:
    """A model of the job.

    Attributes:
        layout: how its units lie.
        channels: of each layer in the layout, the channels that these units are, int64 [C]; None: all of them.
    """

    id: int
    name: str
    layout: ModelLayout
    network: Network
    channels: Mapping[str, Tensor] | None = None

    def chosen(self, layer: str, maps: Tensor) -> Tensor:
        """The maps of the layer's units that are in the layout, [B, C, H, W], of all that it gives.

        Raises:
            ShapeError: when it has fewer channels than these units.
        """
        if self.channels is None:
            return maps
        channels = self.channels[layer]
        last = int(channels[-1])  # they ascend
        if maps.ndim != 4 or maps.shape[1] <= last:
            raise ShapeError(f"{self.name}/{layer} gave {list(maps.shape)}, expected channel {last}")
        return maps[:, channels]


def probe_row(connection: sa.Connection, name: str) -> sa.Row[Any]:
    """The probe set's row.

    Raises:
        NotFound: when it was removed after the job was submitted.
    """
    row = connection.execute(sa.select(schema.probe_sets).where(schema.probe_sets.c.name == name)).one_or_none()
    if row is None:
        raise NotFound(f"probe set '{name}' was removed meanwhile", probe=name)
    return row


def load_models(context: Context, connection: sa.Connection, ids: Sequence[int]) -> list[MinedModel]:
    """The models of those ids, in order of id, their networks loaded.

    Raises:
        NotFound: when one was removed after the job was submitted.
        InvalidRequest: when one cannot be loaded as it was registered.
    """
    wanted = sa.select(schema.models).where(schema.models.c.id.in_(ids)).order_by(schema.models.c.id)
    rows = connection.execute(wanted).all()
    if len(rows) != len(ids):
        raise NotFound("a model of this job was removed meanwhile: mine again")
    return [MinedModel(row.id, row.name, _layout(connection, row), _network(context, row)) for row in rows]


def load_probes(context: Context, connection: sa.Connection, probe_set: sa.Row[Any]) -> GeneratorProbes | ImageProbes:
    """Where the probe set's images come from."""
    if probe_set.kind == "generator":
        generator = connection.execute(
            sa.select(schema.models).where(schema.models.c.id == probe_set.generator_id)
        ).one()
        return GeneratorProbes(
            _network(context, generator),
            probe_set.seed,
            probe_set._mapping["count"],  # `.count` is a method of tuples
            probe_set.truncation,
            probe_set.class_index,
        )
    images = schema.probe_images.c
    digests = connection.scalars(
        sa.select(images.digest).where(images.probe_set_id == probe_set.id).order_by(images.position)
    )
    return ImageProbes([image_path(context.settings, digest) for digest in digests], probe_set.height)


def image_name(engine: sa.Engine, probe_set: sa.Row[Any], position: int) -> str:
    """What people know an image of the probe set by: its file name, or its place among a generator's samples."""
    images = schema.probe_images.c
    with engine.connect() as connection:
        name = connection.scalar(
            sa.select(images.name).where(images.probe_set_id == probe_set.id, images.position == position)
        )
    return f"image '{name}'" if name else f"image {position} of probe set '{probe_set.name}'"


def _network(context: Context, model: sa.Row[Any]) -> Network:
    return networks.load(context.settings, model.source, model.weights, model.weights_digest)


def _layout(connection: sa.Connection, model: sa.Row[Any]) -> ModelLayout:
    columns = schema.layers.c
    rows = connection.execute(
        sa.select(columns.name, columns.channels, columns.height, columns.width)
        .where(columns.model_id == model.id)
        .order_by(columns.position)
    )
    return ModelLayout(model.name, tuple(LayerShape(*row) for row in rows))
