"""Proof instead of promise: throw-away children try what must not work, behind the very filters that programs get.

A probe answers `''` when the forbidden thing worked, else the name of the error. `refused by the kernel` means EPERM
for all of the system calls: any other error is another layer's, and does not count for this one.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from mmap import mmap

from . import child, lockdown

SECCOMP_PROBES = ("open", "socket", "fork", "kill", "execve", "executable_memory", "unshare", "write")
LIMIT_PROBES = {"memory": "MemoryError", "alarm": "SIGALRM"}
ALARM_SECONDS = 0.02


def attempt(pages: mmap, parent: int) -> None:
    """In a throw-away child: try everything, leave one line of answers in the pages."""
    probes: dict[str, Callable[[], object]] = {
        "open": lambda: os.open("/", os.O_RDONLY),
        "socket": lambda: lockdown.native_call("socket", 1, 1, 0),
        "fork": _fork,
        "kill": lambda: os.kill(parent, 0),
        "execve": lambda: os.execve("/nonexistent", ["none"], {}),
        "executable_memory": lambda: mmap(-1, 4096, prot=7),
        "unshare": lambda: lockdown.native_call("unshare", 0x10000000),
        "write": lambda: os.write(child.WORK, b"x"),
        "memory": lambda: bytearray(child.MEMORY_BYTES + (64 << 20)),
    }
    answers = " ".join(f"{name}={_outcome(probe)}" for name, probe in probes.items()).encode()
    pages[: child.PAGES_HEAD.size] = child.PAGES_HEAD.pack(child.PAGES_HEAD.size + len(answers), 1)
    pages[child.PAGES_HEAD.size : child.PAGES_HEAD.size + len(answers)] = answers
    child.ring()


def wait_for_alarm() -> None:
    """In a throw-away child: arm the timer and loop. Only the signal may end it."""
    signal.setitimer(signal.ITIMER_REAL, ALARM_SECONDS)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        pass
    child.ring()


def read_answers(raw: bytes) -> dict[str, str]:
    """What `attempt` left in the pages; '' for a probe that worked."""
    pairs = (part.partition("=") for part in raw.decode("ascii", "replace").split())
    return {name: answer for name, _, answer in pairs}


def _outcome(probe: Callable[[], object]) -> str:
    try:
        answer = probe()
    except MemoryError:
        return "MemoryError"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "E?")
    return answer if isinstance(answer, str) else ""


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)
