"""Proof instead of promise: throw-away children try what must not work.

A probe answers `''` when the forbidden thing worked, else the name of the error. System calls are tried behind the very
filter that programs get, and must fail with EPERM: any other error is another layer's, and does not count for this one.
Limits are tried without that filter, which would refuse first and hide a limit that is missing.
"""

from __future__ import annotations

import errno
import os
import resource
import time
from collections.abc import Callable
from mmap import mmap

from . import child, lockdown

SECCOMP_PROBES = ("open", "socket", "fork", "kill", "execve", "executable_memory", "unshare", "write")
LIMIT_PROBES = {
    "memory": "MemoryError",
    "processes": "EAGAIN",
    "descriptors": "EMFILE",
    "raised_limit": "EPERM",
    "alarm": "SIGALRM",
    "cpu": "SIGPROF",
}
ALARM_SECONDS = 0.02
_OVERSTAY_SECONDS = 0.3


def try_calls(pages: mmap, parent: int) -> None:
    """Behind the filter: try every forbidden call, leave one line of answers in the pages."""
    probes: dict[str, Callable[[], object]] = {
        "open": lambda: os.open("/", os.O_RDONLY),
        "socket": lambda: lockdown.native_call("socket", 1, 1, 0),
        "fork": _fork,
        "kill": lambda: os.kill(parent, 0),
        "execve": lambda: os.execve("/nonexistent", ["none"], {}),
        "executable_memory": lambda: mmap(-1, 4096, prot=7),
        "unshare": lambda: lockdown.native_call("unshare", 0x10000000),
        "write": lambda: os.write(child.WORK, b"x"),
    }
    _answer(pages, probes)


def try_limits(pages: mmap) -> None:
    """Without the filter: ask for more than the limits give."""
    probes: dict[str, Callable[[], object]] = {
        "memory": lambda: bytearray(child.MEMORY_BYTES + (64 << 20)),
        "processes": _fork,
        "descriptors": os.pipe,
        "raised_limit": lambda: resource.setrlimit(resource.RLIMIT_CORE, (1, 1)),
    }
    _answer(pages, probes)


def sleep_on(limits: child.Limits) -> None:
    """Sleep past the time that programs get. The alarm must end it."""
    child.timers(ALARM_SECONDS, limits.off | {"cpu"})()
    time.sleep(_OVERSTAY_SECONDS)
    child.ring()


def work_on(limits: child.Limits) -> None:
    """Work past the time that programs get. The timer of CPU time must end it, with no alarm to come before it."""
    child.timers(ALARM_SECONDS, limits.off | {"alarm"})()
    while time.process_time() < _OVERSTAY_SECONDS:
        pass
    child.ring()


def read_answers(raw: bytes) -> dict[str, str]:
    """What a child left in the pages; '' for a probe that worked."""
    pairs = (part.partition("=") for part in raw.decode("ascii", "replace").split())
    return {name: answer for name, _, answer in pairs}


def _answer(pages: mmap, probes: dict[str, Callable[[], object]]) -> None:
    answers = " ".join(f"{name}={_outcome(probe)}" for name, probe in probes.items()).encode()
    pages[: child.PAGES_HEAD.size] = child.PAGES_HEAD.pack(child.PAGES_HEAD.size + len(answers), 1)
    pages[child.PAGES_HEAD.size : child.PAGES_HEAD.size + len(answers)] = answers
    child.ring()


def _outcome(probe: Callable[[], object]) -> str:
    try:
        answer = probe()
    except MemoryError:
        return "MemoryError"
    except ValueError:  # Python's own word for a limit that may not be raised
        return "EPERM"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "E?")
    return answer if isinstance(answer, str) else ""


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)
