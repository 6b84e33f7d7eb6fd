"""Watching a host while hostile programs run in its sandbox: what they aim at is really there, and really observed.

leak   the canary of the file or of the environment shows up in a reply, in what the host logs, or in a file
file   something new in the folder that everybody may write
net    the listener on loopback got a connection or a datagram
proc   more living descendants than before, seconds after the verdict
late   the verdict came after timeout + 0.5 s (with confirmation 2 x timeout + 0.5 s), and again when run alone
mem    resident memory of the whole tree grew by more than 900 MB
dead   the host or a process of its sandbox died, or benign programs get no answer afterwards
forge  a value that the program may not have, or neighbours or later programs that changed theirs
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hostile_host import UID

HERE = Path(__file__).resolve().parent
PROGRAMS: list[dict[str, Any]] = [json.loads(line) for line in (HERE / "hostile.jsonl").read_text().splitlines()]
BENIGN = [
    "import math\ndef solution():\n    return math.sqrt(16) + math.ceil(2.5)",
    "def solution():\n    return sum([1, 2, 3]) + round(2.6) + max(1, 5)",
    "from fractions import Fraction\ndef solution():\n    return Fraction(1, 2) + Fraction(1, 3) * Fraction(1, 1)",
]
BENIGN_ENDS = [["ok", value, ""] for value in ("7.0", "14", "5/6")]
SECRET_NAME = "PAD_RAY_TEST_SECRET"
MEMORY = 900 << 20
_SETTLE = 3.0
_PATIENCE = 20.0
_PAGE = resource.getpagesize()
_SEARCH = os.pathsep.join([str(HERE.parents[1]), *(path for path in sys.path if path.endswith("site-packages"))])


class Config(NamedTuple):
    """How the host and its sandbox are set up."""

    profile: str = "plain"
    off: tuple[str, ...] = ()
    confirm: bool = False
    timeout: float = 1.0


class HostGone(Exception):
    """The host ended or does not answer."""


@functools.cache
def python_for_all() -> str:
    """An interpreter like this one that also an ordinary user may start: root's own may lie in a closed folder."""
    if os.getuid() != 0:
        return sys.executable
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (sys.executable, f"/usr/local/bin/{name}", f"/usr/bin/{name}"):
        command = [path, "-c", "import pad_ray.sandbox.client"]
        with contextlib.suppress(OSError):
            if subprocess.run(command, user=UID, group=UID, env={"PYTHONPATH": _SEARCH}, cwd="/").returncode == 0:
                return path
    pytest.skip(f"no {name} and checkout that an ordinary user may read")


class Watch:
    """A host, and everything that a program could reach, leave behind or bring down."""

    def __init__(self, config: Config, memory: int = MEMORY) -> None:
        self._memory = memory
        self.bound = config.timeout * (2 if config.confirm else 1) + 0.5
        self.slowest = 0.0
        self._secrets = [f"CANARY{secrets.token_hex(12)}" for _ in range(2)]
        self._place = Path(tempfile.mkdtemp(prefix="hostile_"))
        self._place.chmod(0o755)
        (self._place / "canary.txt").write_text(self._secrets[0])
        self._folder = self._place / "open_to_all"
        self._folder.mkdir()
        self._folder.chmod(0o777)
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(self._tcp.getsockname())
        for one in (self._tcp, self._udp):
            one.setblocking(False)
        self._log = self._place / "host.log"
        self._buffer = b""
        self._peak = 0
        with self._log.open("ab") as log:
            self._keeper = subprocess.Popen(
                [python_for_all(), "-B", str(HERE / "hostile_host.py"), json.dumps(config._asdict())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={"PATH": os.defpath, SECRET_NAME: self._secrets[1], "PYTHONPATH": _SEARCH},
                cwd="/",
                bufsize=0,
            )
        try:
            self.hello = self._line(60.0)
            self._ask(BENIGN, "solo")
        except HostGone:
            last_words = self._log.read_text()[-600:]
            self.close()
            raise RuntimeError(f"the host did not start: {last_words}") from None
        self._size = len(self._descendants())
        self.first = self._ask(BENIGN, "batch")

    def observe(self, code: str, lane: str) -> set[str]:
        """Run one hostile program between benign ones. Returns what got through: nothing, if all is well."""
        for name, value in (
            ("CANARY", self._place / "canary.txt"),
            ("DIR", self._folder),
            ("PORT", self._tcp.getsockname()[1]),
            ("ENV", SECRET_NAME),
        ):
            code = code.replace(f"@{name}@", str(value))
        seen: set[str] = set()
        for pause in (0.0, 0.5, 1.0, 2.0):  # this machine has other work: slowness counts if it shows each time
            time.sleep(pause)
            certain, slow = self._try(code, lane)
            seen |= certain
            if not slow:
                return seen
        return seen | slow

    def belongings(self) -> dict[str, int]:
        """Open descriptors and resident bytes of the host."""
        return self._ask(BENIGN, "batch")

    def close(self) -> None:
        """End the host and whatever it left, and free what it aimed at."""
        left = self._descendants()
        self._keeper.kill()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        self._keeper.wait()
        for stream in (self._keeper.stdin, self._keeper.stdout, self._tcp, self._udp):
            if stream:
                stream.close()
        shutil.rmtree(self._place, ignore_errors=True)

    def _try(self, code: str, lane: str) -> tuple[set[str], set[str]]:
        """What got through for certain, and what may only be a slow machine."""
        seen: set[str] = set()
        before = sum(self._descendants().values())
        self._peak = 0
        started = time.monotonic()
        try:
            reply = self._ask([BENIGN[0], code, *BENIGN[1:]], lane)
            seconds = time.monotonic() - started
            benign = reply["ends"]
            outcome, value, detail = benign.pop(1)
            started = time.monotonic()
            benign += self._ask(BENIGN, lane)["ends"]
            usual = time.monotonic() - started
        except HostGone:
            return {"dead"}, set()
        wrong = {end[0] for end, wanted in zip(benign, BENIGN_ENDS * 2, strict=True) if end != wanted}
        slow = {"late"} if seconds - usual > self.bound else {"forge"} if wrong == {"timeout"} else set[str]()
        if wrong - {"timeout"} or "forged" in value:
            seen.add("forge")
        if outcome == "sandbox_error" or reply["restarts"]:
            seen.add("dead")
        if any(secret in value + detail for secret in self._secrets):
            seen.add("leak")
        if self._peak - before > self._memory:
            seen.add("mem")
        self.slowest = max(self.slowest, seconds - usual)
        return seen | self._left_behind(), slow

    def _left_behind(self) -> set[str]:
        seen: set[str] = set()
        deadline = time.monotonic() + _SETTLE
        while len(self._descendants()) > self._size:
            if time.monotonic() > deadline:
                seen.add("proc")
                break
            time.sleep(0.02)
        for ask in (self._tcp.accept, lambda: self._udp.recv(9)):
            with contextlib.suppress(BlockingIOError):
                ask()
                seen.add("net")
        for left in self._folder.iterdir():
            seen.add("file")
            if left.is_file() and any(secret in left.read_text(errors="replace") for secret in self._secrets):
                seen.add("leak")
            left.unlink() if left.is_symlink() or left.is_file() else shutil.rmtree(left)
        if any(secret in self._log.read_text(errors="replace") for secret in self._secrets):
            seen.add("leak")
        return seen

    def _ask(self, programs: list[str], lane: str) -> dict[str, Any]:
        assert self._keeper.stdin
        try:
            self._keeper.stdin.write(json.dumps({"programs": programs, "lane": lane}).encode() + b"\n")
        except BrokenPipeError:
            raise HostGone from None
        return self._line(_PATIENCE)

    def _line(self, patience: float) -> dict[str, Any]:
        """The host's next line; meanwhile the memory of the tree is watched."""
        assert self._keeper.stdout
        deadline = time.monotonic() + patience
        while b"\n" not in self._buffer:
            if time.monotonic() > deadline:
                raise HostGone
            if not select.select([self._keeper.stdout], [], [], 0.04)[0]:
                self._peak = max(self._peak, sum(self._descendants().values()))
                continue
            part = self._keeper.stdout.read(1 << 16)
            if not part:
                raise HostGone
            self._buffer += part
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)

    def _descendants(self) -> dict[int, int]:
        """Living processes below the keeper, orphans too, with their resident bytes."""
        table: dict[int, tuple[int, int]] = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                if fields[0] != "Z":
                    table[int(folder.name)] = (int(fields[1]), int(fields[21]) * _PAGE)
        found: dict[int, int] = {}
        parents = {self._keeper.pid}
        while parents:
            parents = {pid for pid, (parent, _) in table.items() if parent in parents}
            found |= {pid: table[pid][1] for pid in parents}
        return found
