"""One image of a probe set: an uploaded file, or a sample of a generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from rosetta.errors import NotFound
from service.database.schema import models, probe_images
from service.queries import names


@dataclass(frozen=True)
class ProbeImage:
    """An image, looked up.

    Attributes:
        probe_set: its row.
        position: in the probe set, from 0.
        name: of its file; None of a generator.
        digest: sha256 of the file; None of a generator.
    """

    probe_set: sa.Row[Any]
    position: int
    name: str | None
    digest: str | None


def probe_image(conn: sa.Connection, probe: str | sa.Row[Any], position: int) -> ProbeImage:
    """The image at that position of the probe set of that name, or of that row.

    Raises:
        NotFound: when there is no such probe set, or it has no such image.
    """
    probe_set = names.probe_row(conn, probe) if isinstance(probe, str) else probe
    count = probe_set._mapping["count"]  # `.count` is a method of tuples
    if not 0 <= position < count:
        raise NotFound(
            f"probe set {probe_set.name} has no image {position}: its {count} images are 0 to {count - 1}",
            probe=probe_set.name,
            image=position,
        )
    columns = probe_images.c
    row = conn.execute(
        sa.select(columns.name, columns.digest).where(
            columns.probe_set_id == probe_set.id, columns.position == position
        )
    ).one_or_none()
    name, digest = (None, None) if row is None else row
    return ProbeImage(probe_set, position, name, digest)


def generator_of(conn: sa.Connection, probe_set: sa.Row[Any]) -> sa.Row[Any]:
    """The row of the model that makes the probe set's images."""
    return conn.execute(sa.select(models).where(models.c.id == probe_set.generator_id)).one()
