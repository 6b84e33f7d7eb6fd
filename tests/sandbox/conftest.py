"""One sandbox for all tests that do not break it, and a count of everything that descends from this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pad_ray.sandbox import Sandbox


@pytest.fixture(scope="session")
def box() -> Iterator[Sandbox]:
    with Sandbox(level="unsafe", timeout_s=1.0) as opened:
        yield opened


@pytest.fixture(scope="session")
def strict_box(box: Sandbox) -> Sandbox:
    if box.level != "strict":
        pytest.skip(f"this machine reaches only {box.level}: {box.report['layers']}")
    return box


@pytest.fixture(scope="session")
def wait_until() -> Callable[[Callable[[], bool]], bool]:
    """Wait up to half a minute for something to become true: this machine may have other work."""

    def wait(true: Callable[[], bool]) -> bool:
        for _ in range(600):
            if true():
                return True
            time.sleep(0.05)
        return False

    return wait


@pytest.fixture
def members() -> Callable[[Sandbox], set[int]]:
    """Living processes of a sandbox: its fork servers and their children."""

    def living(box: Sandbox) -> set[int]:
        roots = {zygote.pid for zygote in box._zygotes.values()}
        found: set[int] = set()
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    state, parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:2]
                except OSError:
                    continue
                if state != "Z" and (int(folder.name) in roots or int(parent) in roots):
                    found.add(int(folder.name))
        return found

    if not Path("/proc/self/stat").exists():
        pytest.skip("processes are counted through /proc")
    return living
