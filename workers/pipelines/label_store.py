"""What a labelling job leaves in the store, in place of what one of its kind said before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from service.database import schema
from workers.pipelines.context import Context

_ROWS = 1000  # written at once


@dataclass(frozen=True)
class Said:
    """A label to store: of a unit (model id and number) or a concept (its id)."""

    text: str
    score: float
    evidence: dict[str, Any]
    unit: tuple[int, int] | None = None
    concept: int | None = None


@dataclass(frozen=True)
class ConceptMembers:
    """The newest concepts of a probe set that lie within some models.

    Attributes:
        ids: int64 [C].
        concept: int64 [M], of each member its place in `ids`.
        model: int64 [M], its model's id.
        unit: int64 [M], its number.
    """

    ids: npt.NDArray[np.int64]
    concept: npt.NDArray[np.int64]
    model: npt.NDArray[np.int64]
    unit: npt.NDArray[np.int64]

    def of(self, model_id: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The places of the concepts and the units of a model's members."""
        here = self.model == model_id
        return self.concept[here], self.unit[here]

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Members of each concept, int64 [C]."""
        return np.bincount(self.concept, minlength=len(self.ids)).astype(np.int64)


def concepts_within(connection: sa.Connection, probe_set_id: int, model_ids: Sequence[int]) -> ConceptMembers:
    """The concepts of the probe set's newest version whose members are all units of these models."""
    versions, concepts, members = schema.concept_versions.c, schema.concepts.c, schema.concept_members.c
    newest = sa.select(sa.func.max(versions.id)).where(versions.probe_set_id == probe_set_id).scalar_subquery()
    rows = connection.execute(
        sa.select(members.concept_id, members.model_id, members.unit)
        .join(schema.concepts, concepts.id == members.concept_id)
        .where(concepts.version_id == newest)
        .order_by(members.concept_id, members.model_id, members.unit)
    ).all()
    outside = {row.concept_id for row in rows if row.model_id not in set(model_ids)}
    inside = np.array([tuple(row) for row in rows if row.concept_id not in outside], np.int64).reshape(-1, 3)
    ids, concept = np.unique(inside[:, 0], return_inverse=True)
    return ConceptMembers(ids, concept, inside[:, 1], inside[:, 2])


def dead_units(connection: sa.Connection, probe_set_id: int, model_id: int) -> npt.NDArray[np.bool_]:
    """Which units of a model are dead on the probe set, bool [U]."""
    columns = schema.unit_statistics.c
    rows = connection.scalars(
        sa.select(columns.dead)
        .where(columns.probe_set_id == probe_set_id, columns.model_id == model_id)
        .order_by(columns.unit)
    )
    return np.fromiter(rows, np.bool_)


def store_labels(
    connection: sa.Connection,
    context: Context,
    *,
    kind: Literal["text", "mask"],
    author: str,
    probe_set_id: int,
    models: Sequence[int],
    concepts: Sequence[int],
    said: Sequence[Said],
) -> None:
    """Writes labels in the connection's transaction, in place of those of the same kind and author there.

    Args:
        connection: of `Context.publish`.
        context: of the part.
        kind: of the labels.
        author: who says so.
        probe_set_id: where it was measured.
        models: ids of those that were looked at.
        concepts: ids of those that were looked at.
        said: the labels.
    """
    # Jobs on one probe set write one after the other.
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext("labels"), probe_set_id)))
    columns = schema.labels.c
    connection.execute(
        sa.delete(schema.labels).where(
            columns.kind == kind,
            columns.author == author,
            columns.probe_set_id == probe_set_id,
            sa.or_(columns.model_id.in_(list(models)), columns.concept_id.in_(list(concepts))),
        )
    )
    # A concept may be gone by now: a mine that ended meanwhile leaves the old version, a removed model does not.
    there = set(connection.scalars(sa.select(schema.concepts.c.id).where(schema.concepts.c.id.in_(list(concepts)))))
    rows = [
        {
            "kind": kind,
            "author": author,
            "probe_set_id": probe_set_id,
            "job_id": context.claim.job_id,
            "text": label.text,
            "score": label.score,
            "evidence": label.evidence,
            "model_id": None if label.unit is None else label.unit[0],
            "unit": None if label.unit is None else label.unit[1],
            "concept_id": label.concept,
        }
        for label in said
        if label.concept is None or label.concept in there
    ]
    for start in range(0, len(rows), _ROWS):
        connection.execute(sa.insert(schema.labels), rows[start : start + _ROWS])
