"""A Ray actor that is killed takes its sandbox with it, idle or at work."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "at work"])
def test_a_killed_actor_leaves_no_process_behind(
    ray_session: None, wait_until: Callable[[Callable[[], bool]], bool], busy: bool
) -> None:
    import ray

    @ray.remote(num_cpus=0, max_restarts=0, max_concurrency=2)
    class Holder:
        def __init__(self) -> None:
            from pad_ray.sandbox import Sandbox

            self.box = Sandbox(level="unsafe", timeout_s=20.0).__enter__()

        def run(self, programs: list[str]) -> list[str]:
            return [execution.value for execution in self.box.run(programs)]

        def pids(self) -> list[int]:
            return [os.getpid(), *(zygote.pid for zygote in self.box._zygotes.values())]

    holder = Holder.remote()
    assert ray.get(holder.run.remote(["ans = 1", "import random\nans = 2"])) == ["1", "2"]
    actor, *zygotes = ray.get(holder.pids.remote())
    if busy:
        holder.run.remote(["while True:\n    pass"] * 9)
    processes = _descendants(zygotes)
    assert wait_until(lambda: len(_descendants(zygotes)) == len(zygotes) + 1 + busy)
    processes |= _descendants(zygotes)
    os.kill(actor, signal.SIGKILL)
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes))


def _descendants(roots: list[int]) -> set[int]:
    """These processes and their children."""
    found = set(roots)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            except OSError:
                continue
            if int(parent) in roots:
                found.add(int(folder.name))
    return found
