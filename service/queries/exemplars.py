"""Exemplars: the images of a probe set that a unit fires on most; and a unit's response to the set as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from rosetta.addresses import UnitReference
from rosetta.results import Exemplar
from service.database.schema import exemplars, probe_images, unit_statistics
from service.queries import names
from service.queries.comparisons import not_mined
from service.queries.search import probe_set_of

Measure = Literal["maximum", "mean"]

# Every member votes for its exemplars, for the first ones most.
_OF_CONCEPT = """
SELECT i.image FROM concept_members k
JOIN concepts c ON c.id = k.concept_id
JOIN concept_versions v ON v.id = c.version_id
JOIN exemplars e ON e.probe_set_id = v.probe_set_id AND e.model_id = k.model_id AND e.unit = k.unit
CROSS JOIN LATERAL unnest(e.images_by_maximum) WITH ORDINALITY AS i (image, rank)
WHERE k.concept_id = :concept
GROUP BY i.image ORDER BY sum(1.0 / i.rank) DESC, i.image LIMIT :top
"""


@dataclass(frozen=True)
class MeasuredUnit:
    """A unit on a probe set that its model was mined on.

    Attributes:
        model: its row.
        unit: as of `names.unit_row`.
        probe_set: its row.
        mean: of its activations over the probe set.
        std: their standard deviation.
        maximum: the greatest of them.
        dead: it never changes there.
    """

    model: sa.Row[Any]
    unit: sa.Row[Any]
    probe_set: sa.Row[Any]
    mean: float
    std: float
    maximum: float
    dead: bool


def measured_unit(conn: sa.Connection, model: str, unit: UnitReference, probe: str | None) -> MeasuredUnit:
    """The unit, looked up.

    Args:
        conn: where to look.
        model: the unit's model.
        unit: the unit.
        probe: the probe set; None: the one on which the model was last mined.

    Raises:
        NotFound: when a name is unknown, with the nearest ones; or the model was not mined there, with the command.
    """
    owner = names.model_row(conn, model)
    row = names.unit_row(conn, owner, unit)
    probe_set = probe_set_of(conn, owner, probe)
    columns = unit_statistics.c
    statistics = conn.execute(
        sa.select(columns.mean, columns.std, columns.maximum, columns.dead).where(
            columns.probe_set_id == probe_set.id, columns.model_id == owner.id, columns.unit == row.number
        )
    ).one_or_none()
    if statistics is None:
        raise not_mined(owner.name, None, probe_set.name)
    return MeasuredUnit(owner, row, probe_set, *statistics)


def list_exemplars(
    conn: sa.Connection, model: str, unit: UnitReference, *, probe: str | None = None, by: Measure = "maximum"
) -> list[Exemplar]:
    """The images that a unit fires on most, best first; all that mining kept.

    Args:
        conn: where to look.
        model: the unit's model.
        unit: the unit.
        probe: the probe set; None: the one on which the model was last mined.
        by: the maximum of its activation map, or the mean.

    Raises:
        NotFound: as `measured_unit`.
    """
    measured = measured_unit(conn, model, unit, probe)
    ranked = _ranked(conn, measured)[by]
    files = _files(conn, measured, [image for image, _ in ranked])
    return [
        Exemplar(
            probe_set=measured.probe_set.name,
            model=measured.model.name,
            unit=measured.unit.number,
            layer=measured.unit.layer,
            channel=measured.unit.channel,
            measure=by,
            rank=rank,
            image=image,
            file=files.get(image),
            value=value,
        )
        for rank, (image, value) in enumerate(ranked, start=1)
    ]


def shown_with(conn: sa.Connection, measured: MeasuredUnit, image: int) -> list[int]:
    """The images that are looked at together with one: of an exemplar all exemplars by that measure, else itself."""
    for ranked in _ranked(conn, measured).values():
        images = [other for other, _ in ranked]
        if image in images:
            return images
    return [image]


def _ranked(conn: sa.Connection, measured: MeasuredUnit) -> dict[Measure, list[tuple[int, float]]]:
    """Images and values by each measure, best first."""
    columns = exemplars.c
    row = conn.execute(
        sa.select(columns.images_by_maximum, columns.maxima, columns.images_by_mean, columns.means).where(
            columns.probe_set_id == measured.probe_set.id,
            columns.model_id == measured.model.id,
            columns.unit == measured.unit.number,
        )
    ).one_or_none()
    if row is None:  # a dead unit fires on none
        return {"maximum": [], "mean": []}
    return {
        "maximum": list(zip(row.images_by_maximum, row.maxima, strict=True)),
        "mean": list(zip(row.images_by_mean, row.means, strict=True)),
    }


def _files(conn: sa.Connection, measured: MeasuredUnit, images: list[int]) -> dict[int, str | None]:
    columns = probe_images.c
    statement = sa.select(columns.position, columns.name).where(
        columns.probe_set_id == measured.probe_set.id, columns.position.in_(images)
    )
    return {row.position: row.name for row in conn.execute(statement)}


def exemplars_of_concept(conn: sa.Connection, concept: int, *, top: int) -> list[int]:
    """The images that a concept's members together fire on most, best first; none where none are stored."""
    return list(conn.scalars(sa.text(_OF_CONCEPT), {"concept": concept, "top": top}))
