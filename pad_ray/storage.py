"""One interface to the run folder: whole files in, whole files out, every write atomic.

Paths are relative to the root and use `/`. Folders today; the interface holds nothing that an object store lacks
(no append, no rename of folders, no locks beyond create-if-absent), so that `s3://` roots fit behind it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from pad_ray.errors import StorageError

if TYPE_CHECKING:
    import pyarrow as pa

Row = TypeVar("Row")


class Storage:
    """Files under one root folder."""

    def __init__(self, root: str | Path) -> None:
        """Raises StorageError for a root this version cannot hold."""
        if "://" in str(root):
            scheme = str(root).split("://")[0]
            raise StorageError(
                f"storage.run_dir: {str(root)!r} cannot be used: {scheme}:// run folders are not supported yet.",
                hint="Give a folder.",
            )
        self.root = Path(root).absolute()

    def __str__(self) -> str:
        return str(self.root)

    def path(self, name: str) -> Path:
        """The real path of a file or folder, for libraries that want one."""
        return self.root / name

    def exists(self, name: str) -> bool:
        """Whether a file or folder is there."""
        return self.path(name).exists()

    def read(self, name: str) -> bytes:
        """The content of a file. Raises StorageError."""
        try:
            return self.path(name).read_bytes()
        except OSError as error:
            raise StorageError(f"cannot read {self.path(name)}: {error.strerror}.") from error

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file: a reader sees the old content or the new, never a part. Raises StorageError."""
        with self.writing(name) as temporary:
            temporary.write_bytes(data)

    def create(self, name: str, data: bytes) -> bool:
        """Write a file only if it is not there yet; returns whether it was written."""
        target = self.path(name)
        with self.writing(name, publish=False) as temporary:
            temporary.write_bytes(data)
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
        return True

    def rename(self, name: str, new: str) -> bool:
        """Give a file another name; returns whether it was there. Of several callers only one gets it."""
        try:
            self.path(name).rename(self.path(new))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _cannot_write(self.path(new), error) from error
        return True

    def writing(self, name: str, *, publish: bool = True) -> _Writing:
        """A context with a temporary path that becomes `name` when the block ends well."""
        return _Writing(self.path(name), publish)

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """Sorted names of the files directly in a folder, with the folder in front; none if it is not there."""
        base = self.path(folder)
        if not base.is_dir():
            return []
        return sorted(
            f"{folder}/{entry.name}" for entry in base.iterdir() if entry.name.endswith(suffix) and entry.is_file()
        )

    def delete(self, name: str) -> None:
        """Remove a file or a whole folder; nothing happens if it is not there."""
        target = self.path(name)
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)

    def write_rows(self, name: str, kind: type[Any], rows: Iterable[Any]) -> int:
        """Write records as one parquet file whose columns are their field names; returns their number."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist([_plain(row) for row in rows], schema=arrow_schema(kind))
        with self.writing(name) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        return table.num_rows

    def read_rows(self, name: str, kind: type[Row]) -> list[Row]:
        """Read the records of one parquet file. Raises StorageError."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self.path(name), schema=arrow_schema(kind))
        except (OSError, pa.ArrowException) as error:
            raise StorageError(f"cannot read {self.path(name)}: {error}.") from error
        return [from_row(kind, row) for row in table.to_pylist()]

    def count_rows(self, name: str) -> int:
        """How many records a parquet file holds; reads only its footer."""
        import pyarrow.parquet as pq

        return pq.read_metadata(self.path(name)).num_rows

    def scan_rows(self, folder: str, kind: type[Row]) -> Iterator[Row]:
        """All records of a folder's parquet files, one file in memory at a time."""
        for name in self.names(folder, ".parquet"):
            yield from self.read_rows(name, kind)


class _Writing:
    """Temporary file beside its target, renamed over it at the end (same file system, hence atomic)."""

    def __init__(self, target: Path, publish: bool) -> None:
        self.target, self.publish = target, publish

    def __enter__(self) -> Path:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{self.target.name}.", dir=self.target.parent)
        except OSError as error:
            raise _cannot_write(self.target, error) from error
        os.close(handle)
        self.temporary = Path(name)
        self.temporary.chmod(0o644)
        return self.temporary

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        try:
            if kind is None and self.publish:
                _sync(self.temporary)
                self.temporary.replace(self.target)
        except OSError as failure:
            raise _cannot_write(self.target, failure) from failure
        finally:
            self.temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _cannot_write(self.target, error) from error


def _sync(path: Path) -> None:
    # Without it a power cut may leave the new name with no content.
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _cannot_write(target: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write {target}: {error.strerror or error}.",
        hint="Check the rights and the free space, or choose another --run-dir.",
    )


def resolve_uri(uri: str) -> str:
    """A local path for `package://NAME` (files that ship with pad_ray); anything else is returned as it is."""
    if not uri.startswith("package://"):
        return uri
    return str(resources.files("pad_ray") / "recipes" / uri.removeprefix("package://"))


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


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
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


to_row = _plain
"""A record as plain dicts and lists, ready for JSON or Arrow; a lone surrogate in a text becomes its escape."""


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
