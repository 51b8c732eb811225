from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pandas
import pytest

from rosetta.results import Job, Match, Model, Table
from rosetta.rows import Rows, SqlRows
from tests.unit.rosetta import values


def matches(count: int = 3) -> Rows[Match]:
    items = msgspec.convert([values.match(rank) for rank in range(1, count + 1)], list[Match])
    return Rows(items, Match, "matches")


def sql_rows(truncated: bool = False) -> SqlRows:
    return SqlRows(
        Table(
            columns=("name", "n", "r", "r", "at", "tags", "fine"),
            types=("text", "int8", "float8", "numeric", "timestamptz", "_text", "bool"),
            rows=(("a", 1, 0.5, 2, "2026-11-24T12:00:00Z", ["x"], True), (None,) * 7),
            truncated=truncated,
        )
    )


def test_they_are_an_immutable_sequence():
    rows = matches()
    assert (len(rows), rows[0].rank, rows[-1].rank, [row.rank for row in rows]) == (3, 1, 3, [1, 2, 3])
    assert isinstance(rows[1:], Rows)
    assert [row.rank for row in rows[1:]] == [2, 3]
    assert [row.rank for row in rows.where(lambda row: row.is_best_buddy)] == [1]
    assert rows == matches()
    assert rows != rows[1:]
    assert rows != [1]
    with pytest.raises(TypeError):
        rows[0] = rows[1]  # type: ignore[index]


def test_repr_is_a_short_table():
    assert repr(matches(0)) == "<no matches>"
    lines = repr(matches(12)).splitlines()
    assert lines[0] == "<matches: 12>"
    assert " ".join(lines[1].split()) == "unit model match r rank q best buddy rank back probe set"
    assert "dcgan-faces 813 (main.8:45)" in lines[2]
    assert "67 (blocks.2:11)  0.812" in lines[2]
    assert lines[-1] == "... and 2 more"
    assert len(lines) == 13


def test_html_is_escaped_and_bounded():
    html = matches(60)._repr_html_()
    assert "matches: 60, the first 50 shown" in html
    assert html.count("<tr>") == 51
    evil = SqlRows(Table(("<b>",), ("text",), (("<script>",),)))._repr_html_()
    assert "<script>" not in evil
    assert "&lt;script&gt;" in evil
    assert "&lt;b&gt;" in evil


def test_a_data_frame_has_the_same_types_whatever_the_rows():
    frame = matches().to_pandas()
    assert list(frame.columns) == list(Match.__dataclass_fields__)
    assert frame.correlation.iloc[0] == 0.8125
    assert str(frame.reciprocal_rank.dtype) == "Int64"
    assert frame.reciprocal_rank.isna().tolist() == [False, True, True]
    assert (str(frame.unit.dtype), str(frame.is_best_buddy.dtype)) == ("int64", "bool")
    empty = matches(0).to_pandas()
    assert list(empty.columns) == list(frame.columns)
    assert (str(empty.unit.dtype), str(empty.correlation.dtype)) == ("int64", "float64")


def test_an_arrow_table_has_a_schema_of_its_own():
    table = matches().to_arrow()
    assert table.schema.field("reciprocal_rank").type == "int64"
    assert table.schema == matches(0).to_arrow().schema
    assert table.column("reciprocal_rank").to_pylist() == [1, None, None]


def test_inner_structure_becomes_json_in_arrow_and_stays_in_pandas():
    rows = Rows([msgspec.convert(values.job(), Job)], Job, "jobs")
    assert rows.to_pandas().parameters.iloc[0]["probe"] == "faces"
    assert rows.to_arrow().column("parameters").to_pylist() == ['{"probe":"faces","models":["a","b"],"keep":10}']
    assert rows.to_arrow().column("state").to_pylist() == ["running"]
    models = Rows([msgspec.convert(values.model(), Model)], Model, "models")
    assert models.to_arrow().column("aliases").to_pylist() == ['["net"]']
    assert models.to_pandas().created_at.iloc[0] == pandas.Timestamp("2026-11-24T12:00:00Z")


def test_rows_of_a_query_are_typed_by_postgres():
    rows = sql_rows()
    assert rows[0] == ("a", 1, 0.5, 2.0, datetime(2026, 11, 24, 12, tzinfo=UTC), ["x"], True)
    frame = rows.to_pandas()
    assert list(frame.columns) == ["name", "n", "r", "r", "at", "tags", "fine"]
    assert [str(kind) for kind in frame.dtypes] == [
        "str",
        "Int64",
        "float64",
        "float64",
        "datetime64[us, UTC]",
        "object",
        "boolean",
    ]
    assert rows.to_arrow().column("tags").to_pylist() == ['["x"]', None]
    assert rows.to_arrow().num_rows == 2


def test_a_cut_answer_says_so():
    assert repr(sql_rows(truncated=True)).startswith("<rows: 2 (there are more: add a LIMIT and a WHERE)>")
    assert sql_rows(truncated=True)[:1].truncated
    assert repr(sql_rows()).startswith("<rows: 2>")


def test_a_query_without_columns_is_an_empty_frame():
    rows = SqlRows(Table((), (), ()))
    assert (repr(rows), rows.to_pandas().shape, rows.to_arrow().num_rows) == ("<no rows>", (0, 0), 0)
