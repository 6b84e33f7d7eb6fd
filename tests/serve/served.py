"""A service in a process of its own, as a user starts it, and every process that belongs to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.free_port import free_port

REPO = Path(__file__).resolve().parents[2]
MARK = "PAD_RAY_TEST_SERVICE"
START_SECONDS = 240


class Service:
    """A service in a process of its own; within the block it answers."""

    def __init__(
        self,
        students: list[Path],
        folder: Path,
        token: str,
        *,
        parrot: bool = False,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """With `parrot`, the student writes what its questions tell it to; `extra` goes into the environment."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = token
        self.mark = f"{MARK}={self.port}-{os.getpid()}"
        name, _, value = self.mark.partition("=")
        self.students = [str(student) for student in students]
        self.access_log = folder / "access.jsonl"
        options = f"port={self.port}, access_log={str(self.access_log)!r}"
        code = f"from serve.run import run_service; run_service(*{self.students!r}, {options})"
        command = ["-c", code]
        if parrot:
            script = Path(__file__).with_name("parrot.py")
            command = [str(script), *self.students, str(self.port), str(self.access_log)]
        environment = {key: text for key, text in os.environ.items() if key not in ("RAY_ADDRESS", "PYTHONPATH")}
        environment |= {name: value, "PAD_RAY_SERVE_TOKEN": token, "PYTHONUNBUFFERED": "1", **(extra or {})}
        self.output = folder / "output.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command], cwd=REPO, env=environment, stdout=output, stderr=subprocess.STDOUT
            )

    def __enter__(self) -> Self:
        try:
            self.wait()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + START_SECONDS
        while "Serving on" not in self.output.read_text():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < end, f"not up after {START_SECONDS} s:\n{self.output.read_text()}"
            time.sleep(0.2)

    def end(self) -> None:
        """As a user ends it; by force where that does not help."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def client(self) -> httpx.Client:
        """A client that knows the token."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=60)

    def processes(self) -> set[int]:
        """Every process of the service: marked by its environment, or descended from one that is."""
        marked = set()
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and self.mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    marked.add(int(entry.name))
            except OSError:
                continue
        return below(marked)

    def replicas(self, deployment: str) -> set[int]:
        """The processes of one deployment."""
        found = set()
        for pid in self.processes():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_text()
            except OSError:
                continue
            if f"ServeReplica:pad_ray:{deployment}" in command:
                found.add(pid)
        return found

    def memory(self) -> int:
        """Bytes that belong to its replicas alone."""
        pids = {pid for deployment in ("Ingress", "Model", "Executor") for pid in self.replicas(deployment)}
        return sum(_private(pid) for pid in pids)


def below(roots: set[int]) -> set[int]:
    """Those of these processes that live, and all that descend from them."""
    parents = _parents()
    found = roots & set(parents)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def children(pid: int) -> set[int]:
    """The living processes whose parent it is."""
    return {one for one, parent in _parents().items() if parent == pid}


def _parents() -> dict[int, int]:
    """Every living process with its parent."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if entry.name.isdigit() and state != "Z":
            parents[int(entry.name)] = int(parent)
    return parents


def _private(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))
