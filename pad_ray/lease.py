"""One writer per run folder: a lease file that a dead holder loses at once on its host, elsewhere when it expires."""

from __future__ import annotations

import json
import os
import platform
import secrets
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from pad_ray.errors import LeaseError
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
            holder = self._read()
            if holder and _alive(holder):
                raise LeaseError(
                    f"the run folder {self.storage} is in use by process {holder['pid']} on {holder['host']}.",
                    hint="Wait for it, stop it, or choose another --run-dir.",
                )
            self.storage.delete(NAME)
        self.check()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if (self._read() or {}).get("token") == self.token:
            self.storage.delete(NAME)

    def check(self) -> None:
        """Raises LeaseError if another process took the run over (this one was silent for too long)."""
        holder = self._read()
        if holder is not None and holder["token"] != self.token:
            raise LeaseError(
                f"the run folder {self.storage} was taken over by process {holder['pid']} on {holder['host']}.",
                hint="This process stops; nothing finished is lost.",
            )

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_S):
            if (self._read() or {}).get("token") != self.token:
                return
            self.storage.write(NAME, self._content())

    def _content(self) -> bytes:
        holder = {
            "token": self.token,
            "host": platform.node(),
            "machine": _machine(),
            "pid": os.getpid(),
            "started": _started(os.getpid()),
            "expires": time.time() + EXPIRES_S,
        }
        return json.dumps(holder).encode()

    def _read(self) -> dict[str, Any] | None:
        return json.loads(self.storage.read(NAME)) if self.storage.exists(NAME) else None


def _alive(holder: dict[str, Any]) -> bool:
    if holder["machine"] == _machine():
        return _started(holder["pid"]) == holder["started"] != ""
    return time.time() < holder["expires"]


def _machine() -> str:
    """This boot of this kernel, seen from this process namespace; process ids mean something only inside it."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{boot.read_text().strip()}:{os.readlink('/proc/self/ns/pid')}" if boot.exists() else platform.node()


def _started(pid: int) -> str:
    """When a process started, so that a reused process id is not taken for the holder; empty if it is gone."""
    try:
        if Path("/proc").is_dir():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return "" if fields[0] == "Z" else fields[19]
        os.kill(pid, 0)
    except OSError:
        return ""
    return "running"
