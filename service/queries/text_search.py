"""Search by text through an image-text model: the units whose sketches are nearest to the text's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from rosetta.labels import TextMatch
from service.database import sketches
from service.database.schema import probe_sets, profiles, text_sketches
from service.engine_version import ENGINE_VERSION
from service.queries import names
from service.queries.image_text import image_text_model, image_text_models
from service.queries.labels import plain_text
from service.queries.search import places

LONGEST = 300


@dataclass(frozen=True)
class TextQuery:
    """A text, the image-text model that it is embedded by, and the probe set on which it is a virtual unit.

    Attributes:
        text: as it is stored.
        model: its row.
        probe_set: its row.
        within: ids of the models to look in; None: all.
    """

    text: str
    model: sa.Row[Any]
    probe_set: sa.Row[Any]
    within: list[int] | None


def text_query(
    conn: sa.Connection,
    text: str,
    *,
    image_text: str | None = None,
    within: str | None = None,
    probe: str | None = None,
) -> TextQuery | None:
    """What to search by; None where no image-text model is registered, or nothing was mined.

    Args:
        conn: where to look.
        text: one word or several.
        image_text: the image-text model; None: the one that was registered first.
        within: only units of this model, family or nickname.
        probe: the probe set; None: the one on which a model, one of those, was last mined.

    Raises:
        NotFound: when a name is unknown, with the nearest ones.
        InvalidRequest: when the text is empty or too long, or the named model is no image-text model.
    """
    known = image_text_models(conn) if image_text is None else [image_text_model(conn, image_text)]
    ids = None if within is None else [row.id for row in names.resolve_models(conn, within)]
    plain = plain_text("text", text, LONGEST)
    if probe is not None:
        probe_set: sa.Row[Any] | None = names.probe_row(conn, probe)
    else:
        newest = sa.select(*probe_sets.c).join(profiles, profiles.c.probe_set_id == probe_sets.c.id)
        if ids is not None:
            newest = newest.where(profiles.c.model_id.in_(ids))
        newest = newest.order_by(profiles.c.created_at.desc(), probe_sets.c.id.desc()).limit(1)
        probe_set = conn.execute(newest).one_or_none()
    if not known or probe_set is None:
        return None
    return TextQuery(plain, known[0], probe_set, ids)


def stored_sketch(conn: sa.Connection, query: TextQuery) -> npt.NDArray[np.float16] | None:
    """The sketch of the query's text, [512]; None when no job has made it."""
    columns = text_sketches.c
    found = conn.scalar(
        sa.select(columns.sketch).where(
            columns.probe_set_id == query.probe_set.id,
            columns.model_id == query.model.id,
            columns.text == query.text,
            columns.code_version == ENGINE_VERSION,
        )
    )
    return None if found is None else np.asarray(found, np.float16)


def near_text(
    conn: sa.Connection, query: TextQuery, sketch: npt.NDArray[np.float16], *, top: int = 10
) -> list[TextMatch]:
    """The units whose sketches are nearest to the text's, nearest first; `score` approximates Pearson r.

    Args:
        conn: where to look; inside a transaction, for the search sets its width there.
        query: what to search by.
        sketch: of its text.
        top: how many.
    """
    found = sketches.nearest(conn, query.probe_set.id, sketch, model_ids=query.within, top=top)
    where = places(conn, [(near.model_id, near.unit) for near in found])
    return [
        TextMatch(
            rank=rank,
            by=query.model.name,
            score=near.similarity,
            text=query.text,
            kind=None,
            author=None,
            model=place.model,
            layer=place.layer,
            unit=near.unit,
            channel=place.channel,
            concept=None,
            probe_set=query.probe_set.name,
        )
        for rank, near in enumerate(found, start=1)
        if (place := where.get((near.model_id, near.unit)))
    ]
