"""What texts are measured by: masks of probe images, and sketches of texts as virtual units."""

from __future__ import annotations

import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC

from service.database.schema.base import created, metadata
from service.database.schema.probes import SKETCH_DIMENSIONS

# Where a thing is to be seen: a file beside the probe images, by the sha256 of its bytes. An image without a mask of a
# text shows nothing of it.
probe_masks = sa.Table(
    "probe_masks",
    metadata,
    sa.Column("probe_set_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("text", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(
        ["probe_set_id", "position"], ["probe_images.probe_set_id", "probe_images.position"], ondelete="CASCADE"
    ),
)


def _of() -> tuple[sa.Column[int], sa.Column[int]]:
    return (
        sa.Column("probe_set_id", sa.Integer, sa.ForeignKey("probe_sets.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("model_id", sa.Integer, sa.ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    )


# An image-text model over a probe set: what takes a text's embedding to the text's sketch, float32 [512, D], little
# endian (workers.labelling.text_sketches). Sketches of texts come from it, one a text that was searched for.
text_projections = sa.Table(
    "text_projections",
    metadata,
    *_of(),
    sa.Column("dimensions", sa.Integer, nullable=False),
    sa.Column("projection", sa.LargeBinary, nullable=False),
    sa.Column("code_version", sa.Text, nullable=False),
    created(),
)

text_sketches = sa.Table(
    "text_sketches",
    metadata,
    *_of(),
    sa.Column("text", sa.Text, primary_key=True),
    sa.Column("sketch", HALFVEC(SKETCH_DIMENSIONS), nullable=False),
    sa.Column("code_version", sa.Text, nullable=False),
    created(),
)
