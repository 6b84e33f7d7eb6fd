"""Append-only journals: a finished row survives whatever happens to the process that made it.

One file per shard and actor, one JSON line and one write(2) per row. A line torn by a crash can only be the last of
its file and is ignored. Compaction turns the journals of a shard into its parquet file. How they come into a bucket is
said in `segments`.

Journals of samples that cost money also hold reservations: a line before each call, settled by the sample that follows.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pad_ray.flow.segments import Uploads, appended
from pad_ray.storage import Storage, from_row, to_row

REWRITING = -2
"""The round, so to speak, in which the teacher rewrites problems, before it is asked about any."""
FSYNC_S = 2.0
OPEN_FILES = 64
"""Journals that one actor holds open: one that judges comes to every shard of a run, and a process may open so many."""
_RESERVED = b'{"reserved":'
"""How a reservation begins."""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Reservation:
    """A call that is about to start, or several for one sample."""

    reserved: str
    """The sample it is for."""
    usd: float
    """The most it can cost, in dollars."""
    tokens: int
    """The most tokens it can take."""
    worker: str
    """Who calls. Without a sample of the same id further down in this worker's journal the call is unsettled."""

    def plus(self, later: Reservation) -> Reservation:
        """Of both calls together."""
        return replace(self, usd=self.usd + later.usd, tokens=self.tokens + later.tokens)


def encode(record: Any) -> str:
    """A record as one line of JSON."""
    return json.dumps(to_row(record), ensure_ascii=True, separators=(",", ":"))


def decode(kind: type[Row], line: str | bytes) -> Row:
    """The record of one line of JSON."""
    return from_row(kind, json.loads(line))


def round_folder(round_: int) -> str:
    """The folder of a round in a run."""
    return "augment" if round_ == REWRITING else f"round-{round_}"


def shard_name(shard: int) -> str:
    """File name of a shard, without suffix."""
    return f"shard-{shard:05d}"


def journal_folder(round_: int, noun: str, shard: int) -> str:
    """Where the journals of one shard of `samples` or `verdicts` lie."""
    return f"{round_folder(round_)}/{noun}/journal/{shard_name(shard)}"


def writer_name(noun: str) -> str:
    """What this process calls its journals; an actor that is started again, perhaps elsewhere, gets another name.

    Under the old one it would write over its journal in a bucket, and seem to settle the calls that died with it.
    """
    import ray

    # Asked without a Ray, it would start one.
    actor = ray.get_runtime_context().get_actor_id() if ray.is_initialized() else None
    return f"{noun}-{(actor or 'driver')[:12]}-{secrets.token_hex(2)}"


class JournalWriter:
    """The journals that one actor writes."""

    def __init__(self, storage: Storage, round_: int, noun: str, worker: str) -> None:
        self._storage, self._round, self._noun, self._worker = storage, round_, noun, worker
        self._files: OrderedDict[int, int] = OrderedDict()
        self._unsynced: set[int] = set()
        self._synced = time.monotonic()
        self._uploads = Uploads(storage) if storage.remote else None

    def append(self, shard: int, record: Any) -> None:
        """Write one row or reservation. When this returns it survives SIGKILL, some seconds later the loss of power."""
        name = f"{journal_folder(self._round, self._noun, shard)}/{self._worker}.jsonl"
        file = self._open(shard, name)
        _write_all(file, f"{encode(record)}\n".encode())
        self._unsynced.add(file)
        if self._uploads and name not in self._uploads:
            self._uploads.add(name)
        if time.monotonic() - self._synced > FSYNC_S:
            self.sync()

    def _open(self, shard: int, name: str) -> int:
        if shard not in self._files:
            path = self._storage.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._files[shard] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            if len(self._files) > OPEN_FILES:
                self.sync()
                os.close(self._files.popitem(last=False)[1])
        self._files.move_to_end(shard)
        return self._files[shard]

    def flush(self) -> None:
        """Bring everything written so far to where other machines see it. Raises StorageError."""
        if self._uploads:
            self._uploads.flush()

    def sync(self) -> None:
        """Force everything written so far to the disk."""
        while self._unsynced:
            os.fsync(self._unsynced.pop())
        self._synced = time.monotonic()


class JournalReader:
    """Reads what all actors wrote into the journals of one shard, each byte once."""

    def __init__(self, storage: Storage, round_: int, noun: str, shard: int, kind: type[Any]) -> None:
        self._storage, self._kind = storage, kind
        self._folder = journal_folder(round_, noun, shard)
        self._offsets: dict[str, int] = {}
        self.unsettled: dict[tuple[str, str], Reservation] = {}
        """Reservations read so far that no sample of the same worker settled, by worker and sample."""

    def new_rows(self, but: str = "") -> Iterator[Any]:
        """Rows that were finished since the last call; those of one worker can be left out."""
        for worker, data in appended(self._storage, self._folder, self._offsets):
            if worker == but:
                continue
            for line in data.splitlines():
                if line.startswith(_RESERVED):
                    self._reserve(decode(Reservation, line))
                    continue
                row = decode(self._kind, line)
                self.unsettled.pop((worker, row.sample_id), None)
                yield row

    def _reserve(self, one: Reservation) -> None:
        key = (one.worker, one.reserved)
        self.unsettled[key] = self.unsettled[key].plus(one) if key in self.unsettled else one


def _write_all(handle: int, data: bytes) -> None:
    # A regular file takes it in one write; a nearly full disk may take a part, and raises on the next.
    while data:
        data = data[os.write(handle, data) :]
