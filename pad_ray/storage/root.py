"""The root of a run: a folder or `s3://bucket/prefix`, the same in every stage.

Names are relative to the root and use `/`. Whole files go in and come out, and every write is atomic. Libraries that
need real files (models, training states, journals) get them under `path`: for a folder that is the place itself, for
a bucket a scratch copy on this machine, which `fetch` fills and `publish` hands over. A scratch copy may be empty or
old at any time: the bucket is the truth.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pad_ray.errors import StorageError
from pad_ray.storage.bucket import Bucket
from pad_ray.storage.folder import Folder
from pad_ray.storage.place import is_s3, place_of
from pad_ray.storage.rows import from_parquet, to_parquet

Row = TypeVar("Row")


class Storage:
    """Files under one root. Every method raises StorageError for what the disk or the server refuses."""

    def __init__(self, root: str | Path, endpoint: str = "") -> None:
        """A folder, or s3://BUCKET/PREFIX (with ?endpoint=URL, or `endpoint`, for servers other than AWS).

        Raises StorageError for any other scheme.
        """
        self.remote = is_s3(root)
        if "://" in str(root) and not self.remote:
            raise StorageError(
                f"storage.run_dir: {str(root)!r} cannot be used: it is neither a folder nor s3://BUCKET/PREFIX.",
                hint="Give one of them.",
            )
        self._files = Bucket(place_of(str(root), endpoint)) if self.remote else Folder(root)

    def __str__(self) -> str:
        return str(self._files)

    def where(self, name: str = "") -> str:
        """A file or folder as messages call it."""
        return self._files.where(name)

    def uri(self, name: str) -> str:
        """A file or folder for another process on any machine of the run; see `local_copy`."""
        return f"{self._files.path(name)}" if not self.remote else str(place_of(str(self)).inside(name))

    def check(self) -> None:
        """Raises StorageError soon if a bucket is not there, refuses us, or its server does not answer."""
        self._files.check()

    def exists(self, name: str) -> bool:
        """Whether a file or folder is there."""
        return self._files.exists(name)

    def get(self, name: str) -> bytes | None:
        """The content of a file, or None if it is not there."""
        return self._files.get(name)

    def read(self, name: str) -> bytes:
        """The content of a file that must be there."""
        data = self._files.get(name)
        if data is None:
            raise StorageError(f"cannot read {self.where(name)}: there is no such file.")
        return data

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file: a reader sees the old content or the new, never a part."""
        self._files.write(name, data)

    def create(self, name: str, data: bytes) -> bool:
        """Write a file only if it is not there yet; returns whether it was written."""
        return self._files.create(name, data)

    def swap(self, name: str, old: bytes, new: bytes) -> bool:
        """Write a file only if its content is still `old`; returns whether it was. Of several callers one succeeds.

        On a bucket this and `create` need content that no other caller writes: it tells an answer that was lost.
        """
        return self._files.swap(name, old, new)

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """Sorted names of the files directly in a folder, with the folder in front; none if it is not there."""
        return self._files.names(folder, suffix)

    def delete(self, name: str) -> None:
        """Remove a file or a whole folder, its scratch copy too; nothing happens if it is not there."""
        self._files.delete(name)

    def path(self, name: str) -> Path:
        """Where a file or folder lies, or will lie, on this machine."""
        return self._files.path(name)

    def fetch(self, name: str) -> Path:
        """The path of a file or folder with the content it has in the storage."""
        return self._files.fetch(name)

    def publish(self, name: str) -> None:
        """Hand over a file or folder that was made under its `path`; a folder counts as published only when whole."""
        self._files.publish(name)

    def published(self, folder: str) -> list[str]:
        """Sorted names of the whole folders directly in a folder."""
        return self._files.published(folder)

    def arrow(self, name: str) -> tuple[str, Any]:
        """A folder as libraries on pyarrow want it: a path, and the file system it is in (None: this machine's)."""
        return self._files.arrow(name)

    def write_rows(self, name: str, kind: type[Any], rows: Iterable[Any]) -> int:
        """Write records as one parquet file whose columns are their field names; returns their number."""
        data, count = to_parquet(kind, rows)
        self._files.write(name, data)
        return count

    def read_rows(self, name: str, kind: type[Row]) -> list[Row]:
        """Read the records of one parquet file."""
        import pyarrow as pa

        try:
            return from_parquet(kind, self.read(name))
        except (OSError, pa.ArrowException) as error:
            raise StorageError(f"cannot read {self.where(name)}: {error}.") from error

    def column(self, name: str, column: str) -> list[Any]:
        """One column of a parquet file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = pq.ParquetFile(pa.BufferReader(self.read(name)))
        return file.read(columns=[column], use_threads=False)[column].to_pylist()

    def count_rows(self, name: str) -> int:
        """How many records a parquet file holds."""
        import pyarrow.parquet as pq

        return pq.read_metadata(io.BytesIO(self.read(name))).num_rows

    def scan_rows(self, folder: str, kind: type[Row]) -> Iterator[Row]:
        """All records of a folder's parquet files, one file in memory at a time."""
        for name in self.names(folder, ".parquet"):
            yield from self.read_rows(name, kind)


def local_copy(uri: str | Path) -> Path:
    """The real path of a file or folder that is named by a path or an s3:// URI; fetched if it must be.

    Raises StorageError.
    """
    if not is_s3(uri):
        return Path(uri)
    place = place_of(str(uri))
    return Bucket(place.parent).fetch(place.name)


def resolve_uri(uri: str) -> str:
    """A local path for `package://NAME` (files that ship with pad_ray); anything else is returned as it is."""
    if not uri.startswith("package://"):
        return uri
    return str(resources.files("pad_ray") / "recipes" / uri.removeprefix("package://"))
