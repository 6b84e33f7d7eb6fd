"""One writer per run folder: a lease file that a dead holder loses at once on its host, elsewhere when it expires."""

from __future__ import annotations

import json
import secrets
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

from pad_ray.errors import LeaseError, StorageError
from pad_ray.owner import is_alive, machine, owner
from pad_ray.storage import Storage

NAME = "lease.json"
EXPIRES_S = 90.0
RENEW_S = 20.0


class Lease:
    """Held while the block runs; renewed by a thread. Raises LeaseError when somebody else is at work."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.token = secrets.token_hex(8)
        self._stop, self._changing = threading.Event(), threading.Lock()

    def __enter__(self) -> Lease:
        while not self.storage.create(NAME, self._content()):
            found = self.storage.get(NAME)
            if found is None:
                continue
            holder = _parse(found)
            if holder and _is_held(holder):
                raise LeaseError(
                    f"the run folder {self.storage} is in use by process {holder['pid']} on {holder['host']}.",
                    hint="Wait for it, stop it, or choose another --run-dir.",
                )
            # Of several that found it dead one gets it; the others find the lease of that one.
            if self.storage.swap(NAME, found, self._content()):
                break
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if (_read(self.storage) or {}).get("token") == self.token:
            self.storage.delete(NAME)

    def check(self) -> None:
        """Raises LeaseError if another process took the run over (this one was silent for too long)."""
        with self._changing:
            holder = _read(self.storage)
        if holder is None or holder["token"] != self.token:
            how = f"was taken over by process {holder['pid']} on {holder['host']}" if holder else "its lease is gone"
            raise LeaseError(f"the run folder {self.storage}: {how}.", hint="This process stops; nothing is lost.")

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_S):
            # On a full disk, or without a network, the stages say what is wrong; the lease only tries again.
            with suppress(StorageError), self._changing:
                found = self.storage.get(NAME)
                if found is None or (_parse(found) or {}).get("token") != self.token:
                    return  # somebody took it over: `check` says who
                self.storage.swap(NAME, found, self._content())

    def _content(self) -> bytes:
        return json.dumps({**owner(), "token": self.token, "expires": time.time() + EXPIRES_S}).encode()


def is_held(storage: Storage) -> bool:
    """Whether a living process holds the run folder. A lease that cannot be read (power was lost) is nobody's."""
    holder = _read(storage)
    return holder is not None and _is_held(holder)


def _is_held(holder: dict[str, Any]) -> bool:
    return is_alive(holder) and (holder["machine"] == machine() or time.time() < holder["expires"])


def _read(storage: Storage) -> dict[str, Any] | None:
    """The holder of the lease, or None if there is none that can be read."""
    content = storage.get(NAME)
    return _parse(content) if content is not None else None


def _parse(content: bytes) -> dict[str, Any] | None:
    try:
        holder = json.loads(content)
    except ValueError:
        return None
    whole = isinstance(holder, dict) and {"token", "host", "machine", "pid", "started", "expires"} <= set(holder)
    return holder if whole else None
