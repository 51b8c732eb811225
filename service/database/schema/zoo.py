"""Models, their layers and units."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from service.database.schema.base import created, identity, metadata, model_reference

models = sa.Table(
    "models",
    metadata,
    identity(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("family", sa.Text, nullable=False),
    # Nicknames a question may use, lower case.
    sa.Column("aliases", sa.ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("source", sa.Text, nullable=False),
    # A path below a weights folder, when the source alone does not lead to the weights.
    sa.Column("weights", sa.Text),
    sa.Column("weights_digest", sa.Text, nullable=False),
    sa.Column("is_generator", sa.Boolean, nullable=False),
    sa.Column("units", sa.Integer, nullable=False),
    # What people want to know and nothing joins on: input size, preprocessing, latent space, licence.
    sa.Column("details", JSONB, nullable=False, server_default="{}"),
    created(),
    # Of a recording: the digest of the probe set it answers, and so the only one it can be mined on. Not its id: the
    # same images have the same digest again after they were removed.
    sa.Column("recorded_on", sa.Text),
)

layers = sa.Table(
    "layers",
    metadata,
    identity(),
    model_reference(),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("channels", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("first_unit", sa.Integer, nullable=False),
    sa.UniqueConstraint("model_id", "position"),
    sa.UniqueConstraint("model_id", "name"),
)

units = sa.Table(
    "units",
    metadata,
    sa.Column("model_id", sa.Integer, sa.ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("layer_id", sa.Integer, sa.ForeignKey("layers.id", ondelete="CASCADE"), nullable=False),
    sa.Column("channel", sa.Integer, nullable=False),
    sa.UniqueConstraint("layer_id", "channel"),
)
