"""Image-text models: those that say how well a text fits an image."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from rosetta.errors import InvalidRequest
from service.database.schema import models
from service.queries import names

_MEND = "`rosetta models add clip --source open_clip:ViT-B-32/openai` registers one"


def image_text_models(conn: sa.Connection) -> list[sa.Row[Any]]:
    """The rows of all that are registered, the first one first."""
    return list(conn.execute(sa.select(models).where(models.c.details["text"].as_boolean()).order_by(models.c.id)))


def image_text_model(conn: sa.Connection, name: str | None) -> sa.Row[Any]:
    """The row of the image-text model of that name; without a name, of the only one.

    Raises:
        NotFound: when there is no model of that name, with the nearest ones.
        InvalidRequest: when it is none, or there is no such model, or several are.
    """
    found = image_text_models(conn)
    if name is not None:
        row = names.model_row(conn, name)
        if row.id not in {one.id for one in found}:
            raise InvalidRequest(f"{name} is no image-text model, or has no text tower in its weights: {_MEND}")
        return row
    if not found:
        raise InvalidRequest(f"no image-text model is registered: {_MEND}")
    if len(found) > 1:
        several = ", ".join(row.name for row in found)
        raise InvalidRequest(f"several image-text models are registered: name one of {several} (--image-text)")
    return found[0]
