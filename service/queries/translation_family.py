"""What a list or a tree says of translations: whose eyes, which edits, how well; and what came of what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

MOST = 200  # translations of a family that are shown

_OVERVIEW = """
SELECT t.id, t.kind, t.parent_id AS parent, {depth} AS depth, t.images, t.created_at,
  coalesce(t.recipe -> 'edits', '[]') AS edits,
  coalesce(jsonb_path_query_array(t.recipe, '$.models[*].name'), '[]') AS models,
  avg((i.metrics ->> 'correlation')::float8) AS correlation, avg((i.metrics ->> 'psnr')::float8) AS psnr,
  avg((i.metrics ->> 'ssim')::float8) AS ssim
FROM translations t JOIN translation_images i ON i.translation_id = t.id {joined}
"""
_CHOSEN = _OVERVIEW.format(depth="0", joined="") + "WHERE t.id = ANY(:ids) GROUP BY t.id"
# A translation whose parent was removed has none: its family begins there.
_TREE = """
WITH RECURSIVE up AS (
  SELECT id, parent_id FROM translations WHERE id = :id
  UNION ALL SELECT t.id, t.parent_id FROM translations t JOIN up ON t.id = up.parent_id
), tree AS (
  SELECT id, ARRAY[id] AS path FROM up WHERE parent_id IS NULL
  UNION ALL SELECT t.id, path || t.id FROM translations t JOIN tree ON t.parent_id = tree.id
) {overview} GROUP BY t.id, tree.path ORDER BY tree.path LIMIT :most
"""
_FAMILY = _TREE.format(
    overview=_OVERVIEW.format(depth="cardinality(tree.path) - 1", joined="JOIN tree ON tree.id = t.id")
)


@dataclass(frozen=True)
class Overview:
    """A translation in a list or a tree.

    `depth`: edits between it and where its family begins. `edits`: as its recipe has them. `correlation`, `psnr`,
    `ssim`: means over its images; null where none has it.
    """

    id: int
    kind: Literal["inversion", "edit"]
    parent: int | None
    depth: int
    images: int
    created_at: datetime
    edits: tuple[dict[str, Any], ...]
    models: tuple[str, ...]
    correlation: float | None
    psnr: float | None
    ssim: float | None


def overviews(conn: sa.Connection, ids: Sequence[int]) -> dict[int, Overview]:
    """By number, what a list says of translations."""
    return {row.id: _overview(row) for row in conn.execute(sa.text(_CHOSEN), {"ids": list(ids)})}


def family_of(conn: sa.Connection, translation: int) -> list[Overview]:
    """The inversion that a translation came from, and all edits of it, each behind what it is an edit of."""
    rows = conn.execute(sa.text(_FAMILY), {"id": translation, "most": MOST})
    return [_overview(row) for row in rows]


def made_by(conn: sa.Connection, job: int) -> int | None:
    """What a job made, or, where it failed, the best until then; None where nothing is there, or no longer."""
    found: int | None = conn.scalar(sa.text("SELECT max(id) FROM translations WHERE job_id = :job"), {"job": job})
    return found


def _overview(row: Any) -> Overview:
    return Overview(**{**row._mapping, "edits": tuple(row.edits), "models": tuple(row.models)})
