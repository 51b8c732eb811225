"""Labels: what people and jobs say that units and concepts answer to; added, listed, removed."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from rosetta.addresses import parse_address
from rosetta.errors import InvalidRequest, NotFound
from rosetta.labels import Label, LabelKind
from rosetta.results import Page
from service.database.schema import concept_members, concepts, labels, layers, models, probe_sets, units
from service.queries import names, pages
from service.queries.words import words_query

LONGEST_TEXT, LONGEST_AUTHOR = 200, 100
ANONYMOUS = "anonymous"

# Of a concept, its own labels and those of its members.
Of = Literal["own", "members"]

_COLUMNS: tuple[sa.ColumnElement[Any], ...] = (
    labels.c.id,
    labels.c.kind,
    labels.c.text,
    labels.c.author,
    labels.c.score,
    models.c.name.label("model"),
    layers.c.name.label("layer"),
    labels.c.unit,
    units.c.channel,
    labels.c.concept_id.label("concept"),
    probe_sets.c.name.label("probe_set"),
    labels.c.evidence,
    labels.c.created_at,
)
JOINED = (
    labels.outerjoin(models, models.c.id == labels.c.model_id)
    .outerjoin(units, sa.and_(units.c.model_id == labels.c.model_id, units.c.number == labels.c.unit))
    .outerjoin(layers, layers.c.id == units.c.layer_id)
    .outerjoin(probe_sets, probe_sets.c.id == labels.c.probe_set_id)
)


def add_label(
    conn: sa.Connection, text: str, *, unit: str | None = None, concept: int | None = None, author: str | None = None
) -> Label:
    """A person's label of a unit or a concept; the one there is where the same person said the same.

    Args:
        conn: where to write.
        text: what it answers to, such as `glasses`.
        unit: the unit's address; or
        concept: the concept's number.
        author: who says so.

    Raises:
        InvalidRequest: when text or author is empty or too long, or not one of unit and concept is named.
        NotFound: when there is no such unit or concept.
    """
    values: dict[str, Any] = {"kind": "person", "text": plain_text("label", text, LONGEST_TEXT)}
    values["author"] = plain_text("author", author or ANONYMOUS, LONGEST_AUTHOR)
    values |= _target(conn, unit, concept)
    new = postgresql.insert(labels).values(values).on_conflict_do_nothing().returning(labels.c.id)
    label_id = conn.scalar(new)
    if label_id is None:
        same = sa.and_(*(labels.c[name].is_not_distinct_from(value) for name, value in values.items()))
        label_id = conn.scalar(sa.select(labels.c.id).where(same))
    return _one(conn, label_id)


def remove_label(conn: sa.Connection, label: int) -> Label:
    """The label that is gone now. What a job said may be removed too; the next job says it again.

    Raises:
        NotFound: when there is none of that number.
    """
    found = _one(conn, label)
    conn.execute(sa.delete(labels).where(labels.c.id == label))
    return found


def list_labels(
    conn: sa.Connection,
    *,
    unit: str | None = None,
    concept: int | None = None,
    of: Of = "own",
    kind: LabelKind | None = None,
    text: str | None = None,
    model: str | None = None,
    probe: str | None = None,
    limit: int = pages.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Label]:
    """Labels, newest first.

    Args:
        conn: where to look.
        unit: of the unit at this address; None: of all.
        concept: of this concept; None: of all.
        of: the concept's own labels, or those of its members.
        kind: of one kind; None: of all.
        text: that have these words, as a search finds them; None: all.
        model: of units of this model, family or nickname.
        probe: measured on this probe set.
        limit: labels a page.
        cursor: of the page before.

    Raises:
        NotFound: when a name is unknown, with the nearest ones.
        InvalidRequest: when a number is none, unit and concept are both named, or there is no word in the text.
    """
    statement = sa.select(*_COLUMNS).select_from(JOINED)
    if unit is not None or concept is not None:
        target = _target(conn, unit, concept)
        statement = statement.where(_members(target["concept_id"]) if of == "members" and concept else _is(target))
    if kind is not None:
        statement = statement.where(labels.c.kind == kind)
    if text is not None:
        statement = statement.where(labels.c.words.op("@@")(words_query(text)))
    if model is not None:
        statement = statement.where(models.c.id.in_([row.id for row in names.resolve_models(conn, model)]))
    if probe is not None:
        statement = statement.where(probe_sets.c.id == names.probe_row(conn, probe).id)
    if cursor is not None:
        statement = statement.where(labels.c.id < pages.decode_cursor(cursor, int)[0])
    rows = conn.execute(statement.order_by(labels.c.id.desc()).limit(pages.check_limit(limit) + 1)).all()
    return pages.paged(rows, limit, key=lambda row: (row.id,), item=lambda row: Label(**row._mapping))


def best_labels(
    conn: sa.Connection, *, unit: str | None = None, concept: int | None = None, most: int = 50
) -> Sequence[Label]:
    """Labels of a unit or a concept: people's first, the newest leading, then those of the highest scores.

    Raises:
        NotFound: when there is no such unit or concept.
    """
    order = (labels.c.kind != "person", labels.c.score.desc().nulls_last(), labels.c.id.desc())
    statement = sa.select(*_COLUMNS).select_from(JOINED).where(_is(_target(conn, unit, concept)))
    return [Label(**row._mapping) for row in conn.execute(statement.order_by(*order).limit(most))]


def names_of(conn: sa.Connection, of: Sequence[int], *, most: int = 3) -> dict[int, list[str]]:
    """By concept, its own labels, people's first, and then those that the most of its members have; so many at most."""
    found: dict[int, list[str]] = {concept: [] for concept in of}
    for row in conn.execute(sa.text(_NAMES), {"concepts": list(of), "most": most}):
        found[row.concept].append(row.text)
    return found


_NAMES = """
SELECT concept, text FROM (
  SELECT concept, text, row_number() OVER (
    PARTITION BY concept ORDER BY min(place), count(*) DESC, max(score) DESC NULLS LAST, text) AS nth
  FROM (
    SELECT concept_id AS concept, text, score, CASE kind WHEN 'person' THEN 0 ELSE 1 END AS place
    FROM labels WHERE concept_id = ANY(:concepts)
    UNION ALL
    SELECT k.concept_id, l.text, l.score, 2
    FROM concept_members k JOIN labels l ON l.model_id = k.model_id AND l.unit = k.unit
    WHERE k.concept_id = ANY(:concepts)
  ) AS said GROUP BY concept, text
) AS ordered WHERE nth <= :most ORDER BY concept, nth
"""


def carry_over(conn: sa.Connection, version_id: int) -> int:
    """How many of people's labels went from the concepts of the version before to those of this one.

    A concept takes them over from the one of which it shares the most members, where that is at least half of the
    members of both (Jaccard index).

    Args:
        conn: the transaction that writes the version.
        version_id: the new version, with its concepts and members.
    """
    return conn.execute(sa.text(_CARRY_OVER), {"version": version_id}).rowcount


_CARRY_OVER = """
WITH versions AS (
  SELECT v.id AS new, (SELECT max(w.id) FROM concept_versions w
    WHERE w.probe_set_id = v.probe_set_id AND w.id < v.id) AS old
  FROM concept_versions v WHERE v.id = :version
), shared AS (
  SELECT o.id AS old, n.id AS new, count(*)::real / (o.units + n.units - count(*)) AS jaccard
  FROM versions v
  JOIN concepts n ON n.version_id = v.new
  JOIN concept_members a ON a.concept_id = n.id
  JOIN concept_members b ON b.model_id = a.model_id AND b.unit = a.unit
  JOIN concepts o ON o.id = b.concept_id AND o.version_id = v.old
  GROUP BY o.id, n.id, o.units, n.units
), heirs AS (
  SELECT DISTINCT ON (old) old, new, jaccard FROM shared WHERE jaccard >= 0.5 ORDER BY old, jaccard DESC, new
)
INSERT INTO labels (kind, concept_id, text, author, score, evidence)
SELECT l.kind, h.new, l.text, l.author, l.score,
  l.evidence || jsonb_build_object('carried_over_from', h.old, 'jaccard', round(h.jaccard::numeric, 3))
FROM heirs h JOIN labels l ON l.concept_id = h.old AND l.kind = 'person'
ORDER BY l.id
ON CONFLICT DO NOTHING
"""


def plain_text(what: str, text: str, longest: int) -> str:
    """The text without blanks around it, in composed form.

    Raises:
        InvalidRequest: when nothing is left, it is too long, or holds a character that is not for reading.
    """
    plain = unicodedata.normalize("NFC", " ".join(text.split()))
    if not plain:
        raise InvalidRequest(f"the {what} is empty: say in a few words what it is")
    if len(plain) > longest:
        raise InvalidRequest(f"the {what} has {len(plain)} characters: {longest} are allowed")
    if not plain.isprintable():
        raise InvalidRequest(f"the {what} holds a control character: use plain text")
    return plain


def _target(conn: sa.Connection, unit: str | None, concept: int | None) -> dict[str, Any]:
    """The columns that name a unit or a concept.

    Raises:
        InvalidRequest: when both or none are named.
        NotFound: when there is no such unit or concept.
    """
    if unit is not None and concept is None:
        name, reference = parse_address(unit)
        model = names.model_row(conn, name)
        return {"model_id": model.id, "unit": names.unit_row(conn, model, reference).number, "concept_id": None}
    if concept is None or unit is not None:
        raise InvalidRequest("a label is of a unit or of a concept: name one of the two")
    there = 0 <= concept < 2**31 and conn.scalar(sa.select(concepts.c.id).where(concepts.c.id == concept))
    if not there:
        raise NotFound(f"no concept {concept}: `rosetta concepts list` shows those there are", concept=concept)
    return {"model_id": None, "unit": None, "concept_id": concept}


def _is(target: dict[str, Any]) -> sa.ColumnElement[bool]:
    return sa.and_(*(labels.c[name] == value for name, value in target.items() if value is not None))


def _members(concept: int) -> sa.ColumnElement[bool]:
    members = sa.select(concept_members.c.model_id, concept_members.c.unit)
    return sa.tuple_(labels.c.model_id, labels.c.unit).in_(members.where(concept_members.c.concept_id == concept))


def _one(conn: sa.Connection, label: int) -> Label:
    statement = sa.select(*_COLUMNS).select_from(JOINED).where(labels.c.id == label)
    row = conn.execute(statement).one_or_none() if 0 <= label < 2**31 else None
    if row is None:
        raise NotFound(f"no label {label}: `rosetta labels list` shows those there are", label=label)
    return Label(**row._mapping)
