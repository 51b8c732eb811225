"""Rows to data frames and Arrow tables, with types that do not depend on what the rows happen to hold."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    import pandas
    import pyarrow

Kind = Literal["int", "float", "bool", "text", "time", "json"]
Record = tuple[Any, ...]

_POSTGRES_KINDS: dict[str, Kind] = {
    "int2": "int", "int4": "int", "int8": "int", "oid": "int",
    "float4": "float", "float8": "float", "numeric": "float",
    "bool": "bool",
    "timestamptz": "time", "timestamp": "time",
    "json": "json", "jsonb": "json",
}  # fmt: skip
_ANNOTATION_KINDS: dict[str, Kind] = {
    "int": "int", "float": "float", "bool": "bool", "str": "text", "datetime": "time",
}  # fmt: skip


def kind_of_postgres_type(name: str) -> Kind:
    """How a column of that Postgres type is kept; arrays as JSON, and what is unknown as text."""
    if name.startswith("_") or name.endswith("[]"):
        return "json"
    return _POSTGRES_KINDS.get(name, "text")


def kind_of_annotation(annotation: str) -> Kind:
    """How a field with that annotation is kept."""
    base = re.sub(r"\s*\|\s*None$", "", annotation)
    if base.startswith(("Literal", "Job")):
        return "text"
    return _ANNOTATION_KINDS.get(base, "json")


def from_json(value: Any, kind: Kind) -> Any:
    """A value of a SQL row as JSON carried it, in the Python type of its kind."""
    if kind == "time" and isinstance(value, str):
        return msgspec.convert(value, datetime, strict=False)
    if kind == "float" and isinstance(value, str | int):  # numeric: text, so that JSON keeps all its digits
        return float(value)
    return value


def _need(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"this needs {module}: pip install 'rosetta-neurons[frames]'") from error


def to_pandas(columns: Sequence[str], kinds: Sequence[Kind], records: Sequence[Record]) -> pandas.DataFrame:
    """A data frame of the records. Whole numbers stay whole where some are missing.

    Raises:
        ImportError: without pandas.
    """
    lib = _need("pandas")
    series = {index: _series(lib, kind, [record[index] for record in records]) for index, kind in enumerate(kinds)}
    frame: pandas.DataFrame = lib.DataFrame(series)
    frame.columns = list(columns)  # by position: two columns of a query may have the same name
    return frame


def _series(lib: Any, kind: Kind, values: list[Any]) -> Any:
    missing = any(value is None for value in values)
    match kind:
        case "int":
            return lib.Series(values, dtype="Int64" if missing else "int64")
        case "float":
            return lib.Series(values, dtype="float64")
        case "bool":
            return lib.Series(values, dtype="boolean" if missing else "bool")
        case "time":
            return lib.Series(lib.to_datetime(values, utc=True))
        case "text":
            return lib.Series(values, dtype="str")
        case "json":
            return lib.Series(values, dtype="object")


def to_arrow(columns: Sequence[str], kinds: Sequence[Kind], records: Sequence[Record]) -> pyarrow.Table:
    """An Arrow table of the records; what has an inner structure becomes JSON text.

    Raises:
        ImportError: without pyarrow.
    """
    lib = _need("pyarrow")
    schema = arrow_schema(columns, kinds)
    arrays = [
        lib.array([_plain(record[index], kind) for record in records], field.type)
        for index, (kind, field) in enumerate(zip(kinds, schema, strict=True))
    ]
    return lib.Table.from_arrays(arrays, schema=schema)


def need_arrow() -> None:
    """Return when Arrow is there.

    Raises:
        ImportError: when it is not, with the mend.
    """
    _need("pyarrow")


def csv_to_parquet(source: Path, target: Path, columns: Sequence[str], kinds: Sequence[Kind]) -> None:
    """Write the rows of a CSV file of the service to a Parquet file, a block at a time.

    Raises:
        ImportError: without pyarrow.
    """
    csv, parquet = _need("pyarrow.csv"), _need("pyarrow.parquet")
    schema = arrow_schema(columns, kinds)
    options = csv.ConvertOptions(
        column_types=schema, strings_can_be_null=True, null_values=[""], quoted_strings_can_be_null=False
    )
    parsing = csv.ParseOptions(newlines_in_values=True)
    with (
        csv.open_csv(source, convert_options=options, parse_options=parsing) as rows,
        parquet.ParquetWriter(target, schema, compression="zstd") as writer,
    ):
        for block in rows:
            writer.write_batch(block)


def arrow_schema(columns: Sequence[str], kinds: Sequence[Kind]) -> pyarrow.Schema:
    """The Arrow schema of columns of those kinds.

    Raises:
        ImportError: without pyarrow.
    """
    lib = _need("pyarrow")
    types = {
        "int": lib.int64(),
        "float": lib.float64(),
        "bool": lib.bool_(),
        "text": lib.string(),
        "time": lib.timestamp("us", tz="UTC"),
        "json": lib.string(),
    }
    return lib.schema([(name, types[kind]) for name, kind in zip(columns, kinds, strict=True)])


def _plain(value: Any, kind: Kind) -> Any:
    if value is None:
        return None
    match kind:
        case "text":
            return str(value)
        case "json":
            return msgspec.json.encode(value).decode()
        case _:
            return value
