"""A service in a process of its own, as a user starts it, and every process that belongs to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

REPO = Path(__file__).resolve().parents[2]
MARK = "PAD_RAY_TEST_SERVICE"
START_SECONDS = 240


class Service:
    """A service in a process of its own."""

    def __init__(self, students: list[Path], folder: Path, token: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = token
        self.mark = f"{MARK}={self.port}-{os.getpid()}"
        name, _, value = self.mark.partition("=")
        self.students = [str(student) for student in students]
        self.access_log = folder / "access.jsonl"
        options = f"port={self.port}, access_log={str(self.access_log)!r}"
        code = f"from serve.run import run_service; run_service(*{self.students!r}, {options})"
        environment = {key: text for key, text in os.environ.items() if key not in ("RAY_ADDRESS", "PYTHONPATH")}
        environment |= {name: value, "PAD_RAY_SERVE_TOKEN": token, "PYTHONUNBUFFERED": "1"}
        self.output = folder / "output.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code], cwd=REPO, env=environment, stdout=output, stderr=subprocess.STDOUT
            )

    def wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while "Serving on" not in self.output.read_text():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < end, f"not up after {START_SECONDS} s:\n{self.output.read_text()}"
            time.sleep(0.2)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=60)

    def processes(self) -> set[int]:
        """Every process of the service: marked by its environment, or descended from one that is."""
        marked, parents = set(), {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] == "Z":
                    continue
                parents[int(entry.name)] = int(fields[1])
                if self.mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    marked.add(int(entry.name))
            except OSError:
                continue
        grown = True
        while grown:
            children = {pid for pid, parent in parents.items() if parent in marked} - marked
            marked |= children
            grown = bool(children)
        return marked

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
