"""Who owns a lease or a temporary folder, and whether that process still lives."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def owner() -> dict[str, Any]:
    """This process, so that any process on this machine can later tell whether it lives."""
    pid = os.getpid()
    return {"host": platform.node(), "machine": machine(), "pid": pid, "started": _started(pid)}


def is_alive(holder: dict[str, Any]) -> bool:
    """Whether an owner lives; one on another machine cannot be seen and counts as alive."""
    if holder["machine"] != machine():
        return True
    return _started(holder["pid"]) == holder["started"] != ""


def machine() -> str:
    """This boot of this kernel, seen from this process namespace; process ids mean something only inside it."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{boot.read_text().strip()}:{os.readlink('/proc/self/ns/pid')}" if boot.exists() else platform.node()


def _started(pid: int) -> str:
    """When a process started, so that a reused process id is not taken for the owner; empty if it is gone."""
    try:
        if Path("/proc").is_dir():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return "" if fields[0] == "Z" else fields[19]
        os.kill(pid, 0)
    except OSError:
        return ""
    return "running"
