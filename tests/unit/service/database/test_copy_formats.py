from __future__ import annotations

from unittest.mock import sentinel

import numpy as np
import pytest

from rosetta.errors import InvalidRequest
from service.database import schema
from service.database.copy import copy_records


@pytest.mark.parametrize(
    ("table", "dtype", "message"),
    [
        (schema.matches, [("unit", "i8")], "column matches.unit needs int32, got int64"),
        (schema.matches, [("rank", "u2")], "column matches.rank needs int16, got uint16"),
        (schema.matches, [("correlation", "f8")], "column matches.correlation needs float32, got float64"),
        (schema.matches, [("correlation", "f4", (2,))], r"column matches.correlation needs float32, got float32 \[2\]"),
        (schema.matches, [("score", "f4")], "table matches has no column 'score'"),
        (schema.unit_statistics, [("dead", "i1")], "column unit_statistics.dead needs bool, got int8"),
        (schema.sketches, [("sketch", "f4", (512,))], r"sketches.sketch needs float16 \[512\], got float32 \[512\]"),
        (schema.sketches, [("sketch", "f2", (256,))], r"sketches.sketch needs float16 \[512\], got float16 \[256\]"),
        (schema.models, [("name", "U10")], "column models.name is TEXT, which bulk writes do not carry"),
        (schema.models, "i4", "expected a structured array, got int32"),
    ],
)
def test_what_does_not_fit_is_named_before_the_database_is_touched(table, dtype, message):
    with pytest.raises(InvalidRequest, match=message):
        copy_records(sentinel.untouched, table, np.zeros(1, dtype))


def test_records_are_a_row_of_rows():
    with pytest.raises(InvalidRequest, match="records for table matches must be 1-d, not 2-d"):
        copy_records(sentinel.untouched, schema.matches, np.zeros((2, 2), [("unit", "i4")]))
