"""Records as rows: parquet columns are the record's field names, and what is read back equals what was written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    import pyarrow as pa

Row = TypeVar("Row")

SOME = 10_000
"""Rows that are plain dicts at the same time: those of a whole training would take several times its records."""


def to_parquet(kind: type[Any], rows: Iterable[Any]) -> tuple[bytes, int]:
    """The content of a parquet file with these records, and their number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink, schema, count, left = pa.BufferOutputStream(), arrow_schema(kind), 0, iter(rows)
    with pq.ParquetWriter(sink, schema, compression="zstd") as file:
        while some := [to_row(row) for row in islice(left, SOME)]:
            file.write_table(pa.Table.from_pylist(some, schema=schema))
            count += len(some)
    return sink.getvalue().to_pybytes(), count


def from_parquet(kind: type[Row], data: bytes) -> list[Row]:
    """The records of a parquet file. Raises ArrowException for what is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Through the file itself and in this thread: what `read_table` reads goes through Arrow's pools, and one that is
    # still at work when a short command ends aborts it.
    file = pq.ParquetFile(pa.BufferReader(data))
    there = set(file.schema_arrow.names)
    names = [name for name in arrow_schema(kind).names if name in there]
    batches = file.iter_batches(batch_size=SOME, columns=names, use_threads=False)
    return [from_row(kind, row) for batch in batches for row in batch.to_pylist()]


@cache
def arrow_schema(kind: type[Any]) -> pa.Schema:
    """The parquet schema of a record: its fields, in their order."""
    import pyarrow as pa

    return pa.schema([(name, _arrow_type(hint)) for name, hint in _hints(kind).items()])


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _arrow_type(hint: Any) -> pa.DataType:
    import pyarrow as pa

    if get_origin(hint) is tuple:
        return pa.list_(_arrow_type(get_args(hint)[0]))
    if is_dataclass(hint):
        return pa.struct([(name, _arrow_type(inner)) for name, inner in _hints(hint).items()])  # pyright: ignore
    if issubclass(hint, Enum):
        return pa.string()
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}[hint]


def to_row(value: Any) -> Any:
    """A record as plain dicts and lists, ready for JSON or Arrow; a lone surrogate in a text becomes its escape."""
    if is_dataclass(value):
        return {field.name: to_row(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [to_row(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Enum):
        return value.value
    return _encodable(value) if isinstance(value, str) else value


def _encodable(text: str) -> str:
    # JSON allows half a surrogate pair; UTF-8, and so Arrow, does not.
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def from_row(kind: type[Row], row: dict[str, Any]) -> Row:
    """Rebuild a record from plain dicts and lists; columns it does not know are ignored."""
    return kind(**{name: _rebuild(hint, row[name]) for name, hint in _hints(kind).items() if name in row})


def _rebuild(hint: Any, value: Any) -> Any:
    if get_origin(hint) is tuple:
        inner: Any = get_args(hint)[0]
        items: Sequence[Any] = value or ()
        return tuple(_rebuild(inner, item) for item in items)
    if is_dataclass(hint):
        return from_row(hint, value)  # pyright: ignore
    return hint(value) if issubclass(hint, Enum) else value
