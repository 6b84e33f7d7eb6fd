"""Where journals lie: one file per writer on its machine, and for a run in a bucket segments of it there.

A segment holds the lines appended since the one before and is never changed, so that uploading costs what was
written, and reading what is new. It is uploaded when a slice of work ends, and by timer in between: with a machine that
is lost for good go at most its last seconds of rows. On the writer's machine the file itself is read, which is never
behind; a file of which the bucket has no segment belongs to rows that were compacted, or to a run that was deleted.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from pad_ray.errors import StorageError
from pad_ray.storage import Storage

UPLOAD_S = 3.0
"""Seconds between uploads while a slice is at work."""
READERS = 16
"""Segments that are read at the same time."""


class Uploads:
    """Brings the journals of one writer into a bucket, by a thread of its own and whenever it is asked to."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._done: dict[str, int] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._by_timer, name="journals", daemon=True).start()

    def __contains__(self, name: str) -> bool:
        return name in self._done

    def add(self, name: str) -> None:
        """A journal has its first line, with which it is known in the bucket at once."""
        with self._lock:
            self._done[name] = 0
        self.flush()

    def flush(self) -> None:
        """Returns when every line that was written before is in the bucket. Raises StorageError."""
        with self._lock:
            for name, done in self._done.items():
                data = _lines(self._storage.path(name), done)
                if data:
                    self._storage.write(f"{name.removesuffix('.jsonl')}.{done:012d}.jsonl", data)
                    self._done[name] = done + len(data)

    def _by_timer(self) -> None:
        pause = threading.Event()
        while not pause.wait(UPLOAD_S):
            # The end of the slice tries again, and says what is wrong. A file that is gone was compacted.
            with suppress(StorageError, FileNotFoundError):
                self.flush()


def appended(storage: Storage, folder: str, offsets: dict[str, int]) -> Iterator[tuple[str, bytes]]:
    """For each writer in a journal folder what it wrote behind its offset, in whole lines; moves the offsets."""
    found: dict[str, bytes] = {}
    if storage.remote:
        missing: list[str] = []
        for writer, segments in _segments(storage, folder).items():
            path = storage.path(f"{folder}/{writer}.jsonl")
            if path.exists():
                found[writer] = _lines(path, offsets.get(writer, 0))
            else:
                missing += [name for start, name in segments if start >= offsets.get(writer, 0)]
        with ThreadPoolExecutor(READERS) as pool:
            for name, data in zip(missing, pool.map(storage.get, missing), strict=True):
                writer, _ = _parts(name)
                found[writer] = found.get(writer, b"") + (data or b"")  # None: compacted just now
    else:
        for name in storage.names(folder, ".jsonl"):
            found[Path(name).stem] = _lines(storage.path(name), offsets.get(Path(name).stem, 0))
    for writer, data in found.items():
        offsets[writer] = offsets.get(writer, 0) + len(data)
        yield writer, data


def _segments(storage: Storage, folder: str) -> dict[str, list[tuple[int, str]]]:
    """By writer its segments in order, each with the offset it begins at."""
    found = defaultdict[str, list[tuple[int, str]]](list)
    for name in storage.names(folder, ".jsonl"):
        writer, start = _parts(name)
        found[writer].append((start, name))
    return {writer: sorted(segments) for writer, segments in found.items()}


def _parts(name: str) -> tuple[str, int]:
    writer, start = Path(name).stem.rsplit(".", 1)
    return writer, int(start)


def _lines(path: Path, offset: int) -> bytes:
    """The whole lines of a file behind an offset; one that is being written, or was cut by a crash, is left out."""
    if os.stat(path).st_size <= offset:
        return b""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    return data[: data.rfind(b"\n") + 1]
