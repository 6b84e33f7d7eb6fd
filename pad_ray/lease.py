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
        self._stop = threading.Event()

    def __enter__(self) -> Lease:
        while not self.storage.create(NAME, self._content()):
            if is_held(self.storage):
                holder = _read(self.storage) or {}
                raise LeaseError(
                    f"the run folder {self.storage} is in use by process {holder.get('pid')} on {holder.get('host')}.",
                    hint="Wait for it, stop it, or choose another --run-dir.",
                )
            self._set_aside()
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
        holder = _read(self.storage)
        if holder is None or holder["token"] != self.token:
            how = f"was taken over by process {holder['pid']} on {holder['host']}" if holder else "its lease is gone"
            raise LeaseError(f"the run folder {self.storage}: {how}.", hint="This process stops; nothing is lost.")

    def _set_aside(self) -> None:
        # By rename, so that of several processes that see the same stale lease only one removes it. Whoever was slow
        # and caught the new lease of a faster one puts it back.
        aside = f".{NAME}.{self.token}"
        if not self.storage.rename(NAME, aside):
            return
        if is_held(self.storage, aside):
            self.storage.create(NAME, self.storage.read(aside))
        self.storage.delete(aside)

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_S):
            if (_read(self.storage) or {}).get("token") != self.token:
                return
            # On a full disk the stages say what is wrong; the lease only tries again, there may be room by then.
            with suppress(StorageError):
                self.storage.write(NAME, self._content())

    def _content(self) -> bytes:
        return json.dumps({**owner(), "token": self.token, "expires": time.time() + EXPIRES_S}).encode()


def is_held(storage: Storage, name: str = NAME) -> bool:
    """Whether a living process holds the run folder. A lease that cannot be read (power was lost) is nobody's."""
    holder = _read(storage, name)
    if holder is None:
        return False
    return is_alive(holder) and (holder["machine"] == machine() or time.time() < holder["expires"])


def _read(storage: Storage, name: str = NAME) -> dict[str, Any] | None:
    """The holder of a lease file, or None if there is none that can be read."""
    try:
        holder = json.loads(storage.path(name).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    whole = isinstance(holder, dict) and {"token", "host", "machine", "pid", "started", "expires"} <= set(holder)
    return holder if whole else None
