"""One fork server as its caller sees it: a freshly started interpreter on two pipes. Every wait has a deadline.

The interpreter is exec'ed, never forked from the caller, whose memory holds secrets and whose threads hold locks. It
gets an environment made from nothing, no descriptor but its pipes, and no site-packages unless it is the science one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pad_ray.errors import SandboxError
from pad_ray.sandbox.jail import frames

START_SECONDS = 60.0
_BOOT = "import sys; sys.path.append(sys.argv.pop()); from jail.boot import main; main()"
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
_SCIENCE_PACKAGES = ("numpy", "sympy", "mpmath")
_MAX_HELLO = 1 << 20
_CHUNK = 1 << 16


class ZygoteDied(Exception):
    """The process is gone or silent past its deadline; the message says which."""


class Zygote:
    """A supervisor process. Starting does not wait: `report` and `ask` do, the first time."""

    def __init__(self, *, science: bool, off: frozenset[str]) -> None:
        config = {
            "science": science,
            "site": _science_folders() if science else [],
            "spare": not science,
            "patient": science,
            "off": sorted(off),
        }
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-s", "-S", "-B", "-c", _BOOT, json.dumps(config), str(Path(__file__).parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdin and self._process.stdout  # PIPE was asked for
        self._requests = self._process.stdin.fileno()
        self._replies = self._process.stdout.fileno()
        os.set_blocking(self._requests, False)
        self._buffer = bytearray()
        self._deadline = 0.0
        self._patient = science
        self._report: dict[str, Any] | None = None

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        return self._process.pid

    def report(self) -> dict[str, Any]:
        """What the supervisor found when it locked itself down. Raises SandboxError if it never got there."""
        if self._report is None:
            self._deadline = time.monotonic() + START_SECONDS
            try:
                if self._patient:
                    self._write(bytes(4))
                self._report = self._hello()
            except ZygoteDied as death:
                words = self._last_words()
                self.close()
                raise SandboxError(
                    f"The sandbox process did not start: {death}. {words}",
                    hint=f"Check that {sys.executable} starts and may fork.",
                ) from None
            if "error" in self._report:
                raise SandboxError(f"The sandbox process could not lock itself down: {self._report['error']}.")
        return self._report

    def ask(
        self,
        jobs: Sequence[tuple[str, str]],
        *,
        lane: str,
        timeout: float,
        confirm: bool,
        answered: dict[int, frames.Frame],
    ) -> None:
        """Run jobs (program, entry) and put their frames into `answered` by position.

        Raises ZygoteDied when the process is lost; `answered` then holds what came before.
        """
        if self._errors.closed:
            raise ZygoteDied("it was ended before")
        self.report()
        try:
            self._ask(jobs, lane=lane, timeout=timeout, confirm=confirm, answered=answered)
        except BaseException:
            self.close()  # what it still says belongs to this request, and must never answer the next one
            raise

    def _ask(
        self,
        jobs: Sequence[tuple[str, str]],
        *,
        lane: str,
        timeout: float,
        confirm: bool,
        answered: dict[int, frames.Frame],
    ) -> None:
        texts = [text.encode("utf-8", "surrogatepass") for program, entry in jobs for text in (entry, program)]
        sizes = [(len(entry), len(program)) for entry, program in zip(texts[::2], texts[1::2], strict=True)]
        request = json.dumps({"sizes": sizes, "lane": lane, "timeout": timeout, "confirm": confirm}).encode()
        self._deadline = time.monotonic() + len(jobs) * (timeout + 0.5) * (2 if confirm else 1) + 5
        self._write(len(request).to_bytes(4, "little") + request + b"".join(texts))
        while len(answered) < len(jobs):
            try:
                found = frames.decode(self._buffer, 0)
            except ValueError as error:
                raise ZygoteDied(str(error)) from None
            if found is None:
                self._fill()
                continue
            frame, size = found
            del self._buffer[:size]
            if frame.job in answered or frame.job >= len(jobs):
                raise ZygoteDied("it answered what was not asked")
            answered[frame.job] = frame

    def close(self) -> None:
        """End the process and its children, and free what belonged to them."""
        self.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()
        self._errors.close()

    def kill(self) -> None:
        """End the process and its children at once; another thread may be waiting for it and then learns of it."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _hello(self) -> dict[str, Any]:
        while len(self._buffer) < 4:
            self._fill()
        size = int.from_bytes(self._buffer[:4], "little")
        if size > _MAX_HELLO:
            raise ZygoteDied("its first words are not a report")
        while len(self._buffer) < 4 + size:
            self._fill()
        body = bytes(self._buffer[4 : 4 + size])
        del self._buffer[: 4 + size]
        return json.loads(body)

    def _fill(self) -> None:
        self._wait(self._replies, select.POLLIN)
        part = os.read(self._replies, _CHUNK)
        if not part:
            raise ZygoteDied(f"it ended with status {self._process.poll()}")
        self._buffer += part

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._wait(self._requests, select.POLLOUT)
            try:
                view = view[os.write(self._requests, view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise ZygoteDied("it closed its pipe") from None

    def _wait(self, descriptor: int, event: int) -> None:
        """Until the descriptor is ready. `poll`: a busy caller may hold more descriptors than `select` names."""
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000):
            raise ZygoteDied("it did not answer in time")

    def _last_words(self) -> str:
        self._errors.seek(0)
        return self._errors.read(4000).decode("utf-8", "replace").strip()[-500:]


def _science_folders() -> list[str]:
    """The folders that hold numpy and sympy, found without importing them."""
    folders: list[str] = []
    for name in _SCIENCE_PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec and spec.origin:
            folder = str(Path(spec.origin).parent.parent)
            if folder not in folders:
                folders.append(folder)
    return folders
