from __future__ import annotations

import tracemalloc

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from pgvector.sqlalchemy import HALFVEC

from rosetta.errors import InvalidRequest
from service.database import copy, schema
from service.database.copy import copy_records, read_records
from tests.integration.database import rows

TABLE = sa.Table(
    'Every "type"',  # a name that needs quoting
    sa.MetaData(),
    sa.Column("order", sa.Integer),  # so does a reserved word
    sa.Column("bool", sa.Boolean),
    sa.Column("int2", sa.SmallInteger),
    sa.Column("int8", sa.BigInteger),
    sa.Column("float4", sa.REAL),
    sa.Column("float8", sa.Double),
    sa.Column("vector", HALFVEC(3)),
    sa.Column("images", sa.ARRAY(sa.Integer)),
    sa.Column("flags", sa.ARRAY(sa.Boolean)),
    sa.Column("reals", sa.ARRAY(sa.REAL)),
    sa.Column("text", sa.Text, server_default="untold"),
)
RECORD = np.dtype(
    [
        ("float8", "f8"),  # not the table's order
        ("order", "i4"),
        ("bool", "?"),
        ("int2", "i2"),
        ("int8", "i8"),
        ("float4", "f4"),
        ("vector", "f2", (3,)),
        ("images", "i4", (2,)),
        ("flags", "?", (1,)),
        ("reals", "f4", (4,)),
    ]
)


@pytest.fixture(scope="module")
def every_type(engine):
    with engine.begin() as connection:
        TABLE.create(connection)


def stored(connection: sa.Connection) -> list[tuple]:
    columns = [TABLE.c[name] for name in RECORD.names]
    columns[RECORD.names.index("vector")] = sa.cast(TABLE.c.vector, sa.ARRAY(sa.REAL))
    return connection.execute(sa.select(*columns).order_by(TABLE.c.order)).all()


def assert_equal(found: list[tuple], records: np.ndarray) -> None:
    again = np.zeros(len(found), RECORD)
    for place, row in enumerate(found):
        again[place] = tuple(row)
    for name in RECORD.names:
        np.testing.assert_array_equal(again[name], records[name])  # NaN equals NaN here


def halves() -> st.SearchStrategy:
    return st_numpy.arrays(np.float16, 3, elements=st.floats(-65504, 65504, width=16))  # pgvector wants them finite


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.floats(),
            st.integers(-(2**31), 2**31 - 1),
            st.booleans(),
            st.integers(-(2**15), 2**15 - 1),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(width=32),
            halves(),
            st_numpy.arrays(np.int32, 2),
            st_numpy.arrays(np.bool_, 1),
            st_numpy.arrays(np.float32, 4),
        ),
        max_size=20,
        unique_by=lambda row: row[1],
    ),
    st.sampled_from([1, 100, copy._CHUNK_BYTES]),
)
def test_what_goes_in_comes_out(engine, every_type, listed, chunk_bytes):
    records = np.zeros(len(listed), RECORD)
    for place, row in enumerate(sorted(listed, key=lambda row: row[1])):
        records[place] = row
    with pytest.MonkeyPatch.context() as patch, engine.connect() as connection:
        patch.setattr(copy, "_CHUNK_BYTES", chunk_bytes)
        copy_records(connection, TABLE, records)
        assert_equal(stored(connection), records)
        connection.rollback()


@pytest.mark.parametrize("difference", [-1, 0, 1])
def test_chunks_meet_without_a_gap(engine, every_type, difference):
    row = copy._wire_format(TABLE, np.zeros(0, RECORD)).itemsize
    records = np.zeros(2 * (copy._CHUNK_BYTES // row) + difference, RECORD)
    records["order"] = records["int8"] = np.arange(len(records))
    with engine.connect() as connection:
        copy_records(connection, TABLE, records)
        found = connection.execute(sa.text('SELECT "order", int8, text FROM "Every ""type""" ORDER BY 1')).all()
    assert found == [(number, number, "untold") for number in range(len(records))]


def test_narrow_types_fit_wide_columns_and_strides_and_byte_order_do_not_matter(engine, every_type):
    wide = np.zeros(20, [("order", ">u2"), ("int8", "i2"), ("float8", "f2"), ("float4", "i1"), ("int2", "?")])
    wide["order"] = np.arange(20)
    wide["int8"], wide["float8"], wide["float4"], wide["int2"] = -5, 0.5, -3, True
    with engine.connect() as connection:
        copy_records(connection, TABLE, wide[::2])
        found = connection.execute(sa.select(TABLE.c["order", "int8", "float8", "float4", "int2"])).all()
    assert found == [(number, -5, 0.5, -3, 1) for number in range(0, 20, 2)]


def test_it_belongs_to_the_callers_transaction(engine, every_type):
    records = np.zeros(3, [("order", "i4")])
    with engine.connect() as connection:
        copy_records(connection, TABLE, records)
        connection.rollback()
        assert stored(connection) == []
        connection.rollback()
        copy_records(connection, TABLE, records)  # begins a transaction, so that commit commits it
        connection.commit()
    with engine.begin() as connection:
        assert connection.execute(TABLE.delete()).rowcount == 3


def test_a_refused_row_is_an_error_and_nothing_stays(engine):
    records = np.zeros(2, rows.MATCH)  # the same key twice
    with engine.connect() as connection:
        with pytest.raises(psycopg.errors.UniqueViolation, match="pk_matches"):
            copy_records(connection, schema.matches, records)
        connection.rollback()
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.matches)) == 0


def test_memory_does_not_grow_with_the_rows(engine):
    records = np.zeros(500_000, rows.MATCH)
    records["unit"] = np.arange(len(records))
    with engine.connect() as connection:
        copy_records(connection, schema.matches, records[:10])
        connection.rollback()
        tracemalloc.start()
        copy_records(connection, schema.matches, records)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        connection.rollback()
    assert peak < 4 * copy._CHUNK_BYTES


SCALARS = np.dtype([(name, RECORD[name]) for name in RECORD.names if name not in ("images", "flags", "reals")])


def test_what_was_written_is_read(engine, every_type):
    rng = np.random.default_rng(0)
    records = np.zeros(50, RECORD)
    records["order"], records["int2"] = rng.permutation(50), rng.integers(-(2**15), 2**15, 50)
    records["int8"], records["bool"] = rng.integers(-(2**63), 2**63 - 1, 50), rng.integers(0, 2, 50)
    records["float4"], records["float8"] = rng.normal(size=50), rng.normal(size=50) * 1e200
    records["float4"][0], records["float8"][1] = np.nan, -np.inf
    records["vector"] = rng.normal(size=(50, 3))
    kind = np.dtype([("order", "i4"), *[(name, SCALARS[name]) for name in SCALARS.names if name != "order"]])
    with engine.connect() as connection, connection.begin() as undone:
        connection.execute(sa.delete(TABLE))
        assert len(read_records(connection, TABLE, kind)) == 0
        copy_records(connection, TABLE, records)
        found = read_records(connection, TABLE, kind)
        some = read_records(connection, TABLE, kind, TABLE.c.order < 10, TABLE.c.order >= 4)
        undone.rollback()
    expected = records[np.argsort(records["order"])]
    for name in kind.names:
        np.testing.assert_array_equal(found[name], expected[name])
    assert some["order"].tolist() == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("kind", [[("images", "i4", (2,))], [("order", "i2")], [("nowhere", "i4")]])
def test_what_cannot_be_read(engine, every_type, kind):
    """An array, a type into which not every value fits, a column that is not there."""
    with engine.connect() as connection, pytest.raises(InvalidRequest):
        read_records(connection, TABLE, np.dtype(kind))
