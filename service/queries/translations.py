"""Translations: inversions and edits that were made, with their pictures and latents."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from rosetta.edits import ImageReference
from rosetta.errors import NotFound
from rosetta.results import Page
from rosetta.translations import Translation, TranslationImage
from service.database.schema import models, probe_sets, translation_images, translations
from service.queries import names, pages

Side = Literal["picture", "target"]
_METRICS = ("correlation", "psnr", "ssim", "lpips")
_COLUMNS = (
    translations.c.id,
    translations.c.kind,
    translations.c.parent_id.label("parent"),
    models.c.name.label("generator"),
    probe_sets.c.name.label("probe_set"),
    translations.c.images,
    translations.c.pairs,
    translations.c.created_at,
    translations.c.job_id.label("job"),
)
_FROM = translations.join(models, models.c.id == translations.c.generator_id).join(
    probe_sets, probe_sets.c.id == translations.c.probe_set_id
)


def list_translations(
    conn: sa.Connection,
    *,
    generator: str | None = None,
    kind: Literal["inversion", "edit"] | None = None,
    limit: int = pages.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Translation]:
    """Translations without recipes and images, newest first.

    Args:
        conn: where to look.
        generator: a model, a family or a nickname; None: any.
        kind: inversions or edits; None: both.
        limit: translations a page.
        cursor: of the page before.

    Raises:
        NotFound: when there is no such model.
        InvalidRequest: when the limit or the cursor is none.
    """
    statement = sa.select(*_COLUMNS).select_from(_FROM)
    if generator is not None:
        statement = statement.where(models.c.id.in_([row.id for row in names.resolve_models(conn, generator)]))
    if kind is not None:
        statement = statement.where(translations.c.kind == kind)
    if cursor is not None:
        statement = statement.where(translations.c.id < pages.decode_cursor(cursor, int)[0])
    rows = conn.execute(statement.order_by(translations.c.id.desc()).limit(pages.check_limit(limit) + 1)).all()
    return pages.paged(rows, limit, key=lambda row: (row.id,), item=lambda row: Translation(**row._mapping))


def get_translation(conn: sa.Connection, translation: int) -> Translation:
    """A translation with its recipe and images.

    Raises:
        NotFound: when there is none of that number.
    """
    statement = sa.select(*_COLUMNS, translations.c.recipe).select_from(_FROM).where(translations.c.id == translation)
    row = conn.execute(statement).one_or_none() if 0 <= translation < 2**31 else None
    if row is None:
        raise _unknown(translation)
    columns = translation_images.c
    images = conn.execute(
        sa.select(
            columns.position,
            columns.reference,
            columns.space,
            columns.class_index,
            columns.start,
            columns.metrics,
            columns.losses,
        )
        .where(columns.translation_id == translation)
        .order_by(columns.position)
    )
    return Translation(**row._mapping, items=tuple(map(_image, images)))


def _image(row: Any) -> TranslationImage:
    return TranslationImage(
        position=row.position,
        reference=ImageReference(**row.reference),
        space=row.space,
        class_index=row.class_index,
        start=row.start,
        losses=tuple(row.losses),
        **{name: row.metrics.get(name) for name in _METRICS},
    )


def read_picture(conn: sa.Connection, translation: int, position: int, side: Side) -> bytes:
    """The PNG of an image, or of what it was to become.

    Raises:
        NotFound: when there is no such translation or image.
    """
    column = translation_images.c[side]
    found: bytes | None = conn.scalar(sa.select(column).where(*_at(translation, position)))
    if found is None:
        raise _no_image(conn, translation, position)
    return found


def read_latents(conn: sa.Connection, translation: int, position: int | None = None) -> npt.NDArray[np.float32]:
    """The latents of all images, float32 [N, ...], or of one, float32 [1, ...].

    Raises:
        NotFound: when there is no such translation or image.
    """
    columns = translation_images.c
    where = (columns.translation_id == translation,) if position is None else _at(translation, position)
    rows = conn.execute(sa.select(columns.latent, columns.shape).where(*where).order_by(columns.position)).all()
    if not rows:
        raise _no_image(conn, translation, position or 0)
    return np.stack([np.frombuffer(row.latent, "<f4").reshape(row.shape) for row in rows])


def remove_translation(conn: sa.Connection, translation: int) -> None:
    """Removes a translation; edits of it stay.

    Raises:
        NotFound: when there is none of that number.
    """
    gone = sa.delete(translations).where(translations.c.id == translation).returning(translations.c.id)
    if not 0 <= translation < 2**31 or conn.scalar(gone) is None:
        raise _unknown(translation)


def _at(translation: int, position: int) -> tuple[sa.ColumnElement[bool], ...]:
    columns = translation_images.c
    return columns.translation_id == translation, columns.position == position


def _unknown(translation: int) -> NotFound:
    return NotFound(
        f"no translation {translation}: `rosetta translations list` shows those there are, `rosetta invert` makes one",
        translation=translation,
    )


def _no_image(conn: sa.Connection, translation: int, position: int) -> NotFound:
    count = conn.scalar(sa.select(translations.c.images).where(translations.c.id == translation))
    if count is None:
        return _unknown(translation)
    return NotFound(f"translation {translation} has images 0 to {count - 1}, not {position}", translation=translation)
