"""The processes of a sandbox: started once, constant in number, replaced when they die, gone at the end."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pad_ray.errors import SandboxError
from pad_ray.outcomes import Outcome
from pad_ray.sandbox import Sandbox

REPO = Path(__file__).resolve().parents[2]
Members = Callable[[Sandbox], set[int]]
Wait = Callable[[Callable[[], bool]], bool]


def test_the_number_of_processes_is_the_same_after_every_kind_of_run(members: Members, wait_until: Wait) -> None:
    with Sandbox(level="unsafe", timeout_s=0.3) as box:
        box.run(["import numpy"])  # the science process is up
        assert wait_until(lambda: len(members(box)) == 3)
        for programs in (["ans = 1"], ["while True:\n    pass"], ["x = 'a' * 10**11"], ["import random", "ans = 1"]):
            for lane in ("solo", "batch"):
                box.run(programs, lane=lane)
                assert wait_until(lambda: len(members(box)) == 3), (programs, lane)


def test_a_killed_process_is_replaced_and_its_programs_run_once_more(members: Members, wait_until: Wait) -> None:
    with Sandbox(level="unsafe", timeout_s=2.0) as box:
        size = len(members(box))
        victim = box._zygotes["plain"].pid
        threading.Timer(0.3, os.kill, (victim, signal.SIGKILL)).start()
        programs = ["ans = 1", "import time\ntime.sleep(0.6)\nans = 2", "ans = 3"]
        values = [execution.value for execution in box.run(programs, lane="solo")]
        assert values == ["1", "2", "3"]
        assert box.restarts == 1
        assert box._zygotes["plain"].pid != victim
        assert wait_until(lambda: len(members(box)) == size)


def test_a_process_that_keeps_dying_is_our_fault_and_never_a_label(wait_until: Wait) -> None:
    with Sandbox(level="unsafe", timeout_s=2.0) as box:

        def kill_again() -> None:
            for _ in range(2):
                victim = box._zygotes["plain"]
                wait_until(lambda victim=victim: victim._report is not None)
                time.sleep(0.3)
                os.kill(victim.pid, signal.SIGKILL)
                wait_until(lambda victim=victim: box._zygotes["plain"] is not victim)

        killer = threading.Thread(target=kill_again)
        killer.start()
        (execution,) = box.run(["import time\ntime.sleep(1.5)\nans = 1"], lane="solo")
        killer.join()
        assert execution.outcome is Outcome.SANDBOX_ERROR
        assert box.restarts == 2
        assert box.run(["ans = 4"])[0].value == "4"


def test_an_interrupted_request_never_answers_the_next_one() -> None:
    with Sandbox(level="unsafe", timeout_s=2.0) as box:
        interrupted = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        interrupted.start()
        with pytest.raises(KeyboardInterrupt):
            box.run(["import time\ntime.sleep(1)\nans = 'old'"], lane="solo")
        assert box.run(["ans = 'new'"])[0].value == "new"


def test_closing_ends_every_process_and_any_run_under_way(members: Members, wait_until: Wait) -> None:
    box = Sandbox(level="unsafe", timeout_s=20.0).__enter__()
    pids = members(box)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            box.run(["import time\ntime.sleep(15)"])
        except SandboxError as error:
            failures.append(error)

    runner = threading.Thread(target=run)
    runner.start()
    time.sleep(0.3)
    box.close()
    runner.join(5)
    assert len(failures) == 1
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "at work"])
def test_nothing_is_left_when_the_caller_is_killed(wait_until: Wait, busy: bool) -> None:
    work = "box.run(['while True:\\n    pass'] * 9)" if busy else "time.sleep(60)"
    script = (
        "import time\nfrom pad_ray.sandbox import Sandbox\nbox = Sandbox('unsafe', 20.0).__enter__()\n"
        f"print(*(z.pid for z in box._zygotes.values()), flush=True)\n{work}"
    )
    caller = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=REPO)
    assert caller.stdout
    pids = caller.stdout.readline().split()
    if busy:
        time.sleep(0.3)
    caller.kill()
    caller.wait()
    caller.stdout.close()
    assert len(pids) == 2
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_several_threads_may_share_a_sandbox(box: Sandbox) -> None:
    results: dict[int, list[str]] = {}

    def run(number: int) -> None:
        results[number] = [found.value for found in box.run([f"ans = {number * 100 + i}" for i in range(50)])]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [str(number * 100 + i) for i in range(50)] for number in range(4)}


def test_a_missing_interpreter_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SandboxError, match="did not start") as caught:
        Sandbox().__enter__()
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message
