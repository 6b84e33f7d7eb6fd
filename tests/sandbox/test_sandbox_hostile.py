"""Hostile programs reach nothing: not with the language layer, and not when only the kernel is left to say no."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pad_ray.outcomes import Outcome
from pad_ray.sandbox import Sandbox

SECRET_NAME = "PAD_RAY_TEST_SECRET"
SIZE = 3
"""Processes of a sandbox: two fork servers and the spare."""
PROGRAMS = {
    "read a file": "ans = open('@SECRET_FILE@').read()",
    "read through the io module": "import statistics\nans = statistics.sys.modules['io'].open('@SECRET_FILE@').read()",
    "write a file": "open('@FOLDER@/written', 'w').write('x')\nans = 1",
    "link a file": "import os\nos.symlink('/etc/passwd', '@FOLDER@/link')\nans = 1",
    "environment": "import os\nans = os.environ['@SECRET_NAME@']",
    "environment of the caller": "ans = open('/proc/@CALLER@/environ').read()",
    "memory of the caller": "ans = open('/proc/@CALLER@/maps').read()",
    "connect": "import socket\nsocket.create_connection(('127.0.0.1', @PORT@), 1)\nans = 1",
    "send a datagram": "import socket\nsocket.socket(2, 2).sendto(b'x', ('127.0.0.1', @PORT@))\nans = 1",
    "fork": "import os, time\nif os.fork() == 0:\n    time.sleep(5)\n    os._exit(0)\nans = 1",
    "fork bomb": "import os\nfor _ in range(6):\n    os.fork()\nans = 1",
    "threads": "import threading, time\nfor _ in range(30):\n"
    "    threading.Thread(target=time.sleep, args=(5,)).start()\nans = 1",
    "run a command": "import os\nos.system('touch @FOLDER@/touched')\nans = 1",
    "start a process": "import subprocess\nsubprocess.run(['touch', '@FOLDER@/started'])\nans = 1",
    "kill the parent": "import os\nos.kill(os.getppid(), 9)\nans = 1",
    "kill the caller": "import os\nos.kill(@CALLER@, 9)\nans = 1",
    "kill the group": "import os\nos.killpg(0, 9)\nans = 1",
    "write to every descriptor": "import os\nfor fd in range(64):\n    try:\n        os.write(fd, b'forged' * 99)\n"
    "    except OSError:\n        pass\nans = 1",
    "leave at once": "import os\nos._exit(0)",
    "switch the timer off": "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0)\n"
    "signal.setitimer(signal.ITIMER_PROF, 0)\nwhile True:\n    pass",
    "raise the limits": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nans = 1",
    "equal to everything": "class A:\n    def __eq__(self, other): return True\n"
    "    def __str__(self): return 'forged'\n"
    "    __repr__ = __str__\nans = A()",
    "native open": "import ctypes\nlibc = ctypes.CDLL(None)\nfd = libc.open(b'@SECRET_FILE@', 0)\n"
    "buffer = ctypes.create_string_buffer(200)\nlibc.read(fd, buffer, 199)\nans = buffer.value.decode() or 'nothing'",
    "native exec": "import ctypes\na = (ctypes.c_char_p * 3)(b'touch', b'@FOLDER@/exec', None)\n"
    "ctypes.CDLL(None).execv(b'/usr/bin/touch', a)\nans = 1",
    "native namespaces": "import ctypes\nans = 'forged' if ctypes.CDLL(None).unshare(0x10000000) == 0 else 0",
    "native trace": "import ctypes\nans = 'forged' if ctypes.CDLL(None).ptrace(16, @CALLER@, 0, 0) == 0 else 0",
    "executable memory": "import mmap\nmmap.mmap(-1, 4096, prot=7)\nans = 'forged'",
}


class Target:
    """What an attacker would like to reach, and whether it was."""

    def __init__(self, folder: Path) -> None:
        self.secret = "canary" + secrets.token_hex(8)
        self.file = folder / "secret.txt"
        self.file.write_text(self.secret)
        self.folder = folder / "open_to_all"
        self.folder.mkdir()
        self.folder.chmod(0o777)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(("127.0.0.1", self.port))
        self.datagrams.setblocking(False)

    @property
    def port(self) -> int:
        return self.listener.getsockname()[1]

    def aim(self, program: str) -> str:
        places = {"SECRET_FILE": self.file, "FOLDER": self.folder, "SECRET_NAME": SECRET_NAME}
        for name, value in {**places, "CALLER": os.getpid(), "PORT": self.port}.items():
            program = program.replace(f"@{name}@", str(value))
        return program

    def reached(self) -> list[str]:
        found = [entry.name for entry in self.folder.iterdir()]
        for one, ask in ((self.listener, self.listener.accept), (self.datagrams, lambda: self.datagrams.recv(9))):
            try:
                ask()
                found.append(f"port of {one.type.name}")
            except BlockingIOError:
                pass
        return found


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    aimed_at = Target(tmp_path)
    monkeypatch.setenv(SECRET_NAME, aimed_at.secret)
    yield aimed_at
    aimed_at.listener.close()
    aimed_at.datagrams.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the boundary is the Linux kernel")
@pytest.mark.parametrize("off", [(), ("language",), ("language", "landlock")], ids=lambda off: "-".join(off) or "all")
def test_hostile_programs_reach_nothing(
    target: Target,
    members: Callable[[Sandbox], set[int]],
    wait_until: Callable[[Callable[[], bool]], bool],
    off: tuple[str, ...],
    strict_box: Sandbox,
) -> None:
    programs = [target.aim(program) for program in PROGRAMS.values()]
    with Sandbox(level="degraded", timeout_s=0.5, _off=frozenset(off)) as box:
        box.run(["ans = 1", "import numpy"], lane="solo")
        for lane in ("batch", "solo"):
            found = box.run(programs, lane=lane)
            for name, execution in zip(PROGRAMS, found, strict=True):
                assert target.secret not in execution.value + execution.detail, name
                assert "forged" not in execution.value, name
                assert execution.outcome is not Outcome.SANDBOX_ERROR, name
                assert execution.seconds < 1.0, name
            assert target.reached() == []
            assert box.run(["ans = 2"], lane=lane)[0].value == "2"
        assert wait_until(lambda: len(members(box)) == SIZE)
        assert box.restarts == 0


def test_a_lone_program_finds_nothing_of_those_before_it() -> None:
    look = """import statistics
gc, word = statistics.sys.modules['gc'], ''.join(['prec', 'ious'])
seen, found, waiting = set(), set(), gc.get_objects()
while waiting:
    item = waiting.pop()
    if id(item) not in seen:
        seen.add(id(item))
        waiting += gc.get_referents(item)
        if type(item) in (str, bytes) and word in str(item) and 'seen, found' not in str(item) and item is not word:
            found.add(str(item))
ans = str(sorted(found))
"""
    with Sandbox(level="unsafe", timeout_s=5.0) as box:
        for programs in ([look, "ans = 'precious'", look], [look]):
            assert [found.value for found in box.run(programs, lane="solo")] in (["[]", "precious", "[]"], ["[]"])
