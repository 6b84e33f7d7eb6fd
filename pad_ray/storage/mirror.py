"""The scratch copies of a bucket's files on this machine: what libraries read and write as real files.

They lie in the cache folder under the names they have in the bucket. What is known to equal the bucket is noted
beside each copy; a copy without a note is not trusted. All of it may be deleted whenever no run is at work.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pad_ray.errors import StorageError
from pad_ray.storage.folder import writing
from pad_ray.storage.place import Place

Listing = Mapping[str, list[str | int]]
"""ETag and size by name inside a folder; a single file has the empty name."""


class Mirror:
    """Where the copies of one root lie."""

    def __init__(self, place: Place) -> None:
        server = hashlib.sha256(place.server.encode()).hexdigest()[:8]
        self._root = _cache() / "s3" / server / place.bucket / place.key

    def path(self, name: str) -> Path:
        """Where the copy of a file or folder lies or will lie."""
        return Path(os.path.normpath(self._root / name))

    def delete(self, name: str) -> None:
        """Remove a copy."""
        path = self.path(name)
        for kind in ("etags", "lock"):
            _note(path, kind).unlink(missing_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    @contextmanager
    def alone(self, name: str) -> Iterator[Copy]:
        """The copy of a file or folder, with the processes of this machine that want the same one waiting."""
        path = self.path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _note(path, "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed, or its process dies
                yield Copy(path)
        except OSError as error:
            raise StorageError(
                f"cannot keep a copy of {name} in {path.parent}: {error.strerror or error}.",
                hint="Free some space, or set PAD_RAY_CACHE to another folder.",
            ) from error


class Copy:
    """One file or folder on this machine, and what is known of it."""

    def __init__(self, path: Path) -> None:
        self._path, self._note = path, _note(path, "etags")

    def outdated(self, there: Listing) -> list[str]:
        """What must be fetched for the copy to be as the listing says. From here on nothing is known of the copy."""
        known: Listing = json.loads(self._note.read_text()) if self._note.exists() else {}
        todo = [part for part, row in there.items() if known.get(part) != row or self._size(part) != row[1]]
        if todo or known.keys() != there.keys():
            self._note.unlink(missing_ok=True)
        return todo

    @contextmanager
    def filling(self, part: str) -> Iterator[Path]:
        """A temporary file that becomes one part of the copy."""
        if part == "" and self._path.is_dir():
            shutil.rmtree(self._path)
        with writing(self._path / part if part else self._path) as temporary:
            yield temporary

    def settle(self, there: Listing) -> None:
        """Note that the copy is as the listing says; whatever else lies in it is removed."""
        if "" not in there:
            extra = {file for file in self._path.rglob("*") if not file.is_dir()} - {
                self._path / part for part in there
            }
            for file in extra:
                file.unlink()
        text = json.dumps(there)
        if not self._note.exists() or self._note.read_text() != text:
            with writing(self._note) as temporary:
                temporary.write_text(text)

    def _size(self, part: str) -> int:
        path = self._path / part if part else self._path
        return path.stat().st_size if path.is_file() else -1


def _note(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}")


def _cache() -> Path:
    if chosen := os.environ.get("PAD_RAY_CACHE"):
        return Path(chosen).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pad_ray"
