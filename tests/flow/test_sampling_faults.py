"""What is paid for is never lost, and never paid for twice: every third call fails, and processes die on the way.

The server bills, and counts for each content its calls, its tokens and its good replies; the run's ledger is held
against that. Moments of kills are drawn anew each time: PAD_RAY_TEST_SEED=… repeats those of a run that failed.
"""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import signal
import subprocess
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from pad_ray.records import Request
from pad_ray.teacher.reply import body
from tests.fault_plan import FAULTS
from tests.fault_server import Running, running
from tests.flow.paid_run import TOO_BUSY, PaidRun, billed_usd, recipe_file

pytestmark = pytest.mark.slow

EVERY_THIRD = ("--faults", 0.3, "--latency", 0.05)
SLOWLY = ("--faults", 0.3, "--latency", 0.5)
"""Enough is left to do when a process is killed, also where the machine is slow to kill it."""
BUT_SLOW = ("--kinds", *(kind for kind in FAULTS if kind != "slow"))
"""All faults but calls that hang, for which a run waits until it gives them up."""
SEED = int(os.environ.get("PAD_RAY_TEST_SEED") or secrets.randbelow(1_000_000))
CONCURRENCY = 64
MOMENTS = 3


def digest(request: Request) -> str:
    """What the server calls the content of a request."""
    return hashlib.sha256(body(request)).hexdigest()[:16]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_with_every_third_call_failing_in_every_way_a_run_ends_complete_and_the_ledger_is_the_servers_count(
    tmp_path: Path,
) -> None:
    with running(*EVERY_THIRD, "--seed", SEED) as server:
        # Long enough that only the calls that hang are given up, however busy the machine is.
        recipe = recipe_file(tmp_path, server.url, 1667, concurrency=256, timeout_s=45)
        with PaidRun(recipe, tmp_path / "run") as run:
            run.end("sample")
        counted = server.stats(each=True)
    assert set(counted["faults"]) >= {"429_date", "slow", "cut", "reset", "refused", "truncated", "html", "no_choices"}
    assert len(run.requests()) == 5001
    assert run.unsettled() == []
    check(run, counted)
    spend = run.status()["spend"]
    assert spend["prompt_tokens"] == counted["prompt_tokens"]
    assert spend["completion_tokens"] == counted["completion_tokens"]
    assert spend["usd"] == pytest.approx(billed_usd(counted))
    assert counted["good_again"] == 0


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "victim",
    [
        "sampler",
        pytest.param("driver", marks=pytest.mark.long),  # test_kill_and_resume kills one, too
        pytest.param("raylet", marks=pytest.mark.long),
        pytest.param("ctrl-c", marks=pytest.mark.long),
    ],
)
def test_killed_at_three_moments_nothing_is_lost_nothing_paid_twice_and_what_was_open_is_told(
    tmp_path: Path, victim: str
) -> None:
    draw = random.Random(f"{SEED}/{victim}")
    moments = sorted(draw.randrange(30, 200) for _ in range(MOMENTS))
    print(f"PAD_RAY_TEST_SEED={SEED}: {victim} at {moments} billed replies")
    with running(*SLOWLY, *BUT_SLOW, "--seed", SEED) as server:
        recipe = recipe_file(tmp_path, server.url, 100, concurrency=CONCURRENCY)
        with PaidRun(recipe, tmp_path / "run") as run:
            process, paid = None, Counter[str]()
            for moment in moments:
                process = process or run.start("sample")
                process = reach(process, run, server, moment)
                paid |= calls_of_finished(run, server)
                process = strike(process, victim, draw)
                if process is None:
                    finished, last = run.finished(), run.status()["stages"][-1]
                    assert last["new"] + last["reused"] >= len(finished) >= len(paid)
            if process:
                process.communicate()
            else:
                run.end("sample")
        counted = server.stats(each=True)
    assert run.status()["stages"][-1]["state"] == "done"
    assert len(run.requests()) == 300
    check(run, counted)
    again = [id_ for id_, calls in calls_by_id(run, counted).items() if id_ in paid and calls != paid[id_]]
    assert not again, "finished calls were made again"
    # What may have been lost is no more than what was in flight, and is told to the user.
    open_usd = sum(one.usd for one in run.unsettled())
    spend = run.status()["spend"]
    assert len(run.unsettled()) <= MOMENTS * CONCURRENCY
    assert -1e-6 <= billed_usd(counted) - spend["usd"] <= open_usd + 1e-6
    assert spend["unsettled"] >= open_usd - 1e-6


@pytest.mark.long
@pytest.mark.timeout(600)
def test_at_the_cap_the_run_stops_with_exit_code_3_below_it_and_goes_on_when_it_is_raised(tmp_path: Path) -> None:
    kinds = ["cut", "truncated", "malformed", "null_content", "reset", "500", "429"]
    # The server bills what the client can never see: the cap holds for that too.
    with (
        running("--faults", 0.3, "--kinds", *kinds, "--bill-cut", "--seed", SEED) as server,
        PaidRun(recipe_file(tmp_path, server.url, 100, concurrency=CONCURRENCY), tmp_path / "run") as run,
    ):
        said = run.end("sample", "teacher.budget_usd=2.5", code=3)
        assert "teacher.budget_usd" in said
        stopped, kept = server.stats(), len(run.samples())
        assert billed_usd(stopped) <= 2.5
        assert 0 < kept < 300
        assert run.status()["state"] == "stopped"
        run.end("sample", "teacher.budget_usd=60")
        counted = server.stats(each=True)
    assert billed_usd(counted) <= 60
    assert counted["good_again"] == 0
    check(run, counted, hidden=True)
    stage = run.status()["stages"][-1]
    assert (stage["state"], stage["new"], stage["reused"]) == ("done", 300 - kept, kept)


def check(run: PaidRun, counted: dict[str, Any], hidden: bool = False) -> None:
    """Each planned id has one sample, and of each the ledger holds what the server billed.

    Where a process died with a call open the difference is at most what was reserved. `hidden`: some of what the server
    billed could not be seen by the client, and is unsettled.
    """
    requests, samples = run.requests(), run.samples()
    assert [row.sample_id for row in samples] == [request.sample_id for request in requests]
    assert len({row.sample_id for row in samples}) == len(samples)
    open_: defaultdict[str, list[int]] = defaultdict(list)
    for one in run.unsettled():
        open_[one.reserved].append(one.tokens)
    for request, row in zip(requests, samples, strict=True):
        assert not row.error
        billed, booked = counted["each"][digest(request)], row.prompt_tokens + row.completion_tokens
        lost = open_[row.sample_id]
        assert 1 <= billed["good"] <= 1 + len(lost)
        if not hidden or row.unsettled_usd == 0:
            assert booked <= billed["tokens"] <= booked + sum(lost)


def calls_by_id(run: PaidRun, counted: dict[str, Any]) -> dict[str, int]:
    """How often each request was asked so far."""
    each = counted["each"]
    return {one.sample_id: each[digest(one)]["calls"] for one in run.requests() if digest(one) in each}


def calls_of_finished(run: PaidRun, server: Running) -> Counter[str]:
    """Of the requests that are finished now, how often they were asked."""
    finished = run.finished()
    calls = calls_by_id(run, server.stats(each=True))
    return Counter({id_: calls[id_] for id_ in finished})


def reach(process: subprocess.Popen[str], run: PaidRun, server: Running, billed: int) -> subprocess.Popen[str]:
    """Wait until the server has billed so many replies, and one more in any case."""
    # A call that was just started is not interrupted before it does something: then its Python is, not the command.
    billed = max(billed, server.stats()["billed"] + 1)
    while server.stats()["billed"] < billed:
        if process.poll() is not None:
            said, _ = process.communicate()
            assert TOO_BUSY in said, said[-3000:]
            process = run.start("sample")
        time.sleep(0.02)
    return process


def strike(process: subprocess.Popen[str], victim: str, draw: random.Random) -> subprocess.Popen[str] | None:
    """Kill; returns the driver if that goes on by itself."""
    if victim == "sampler":
        os.kill(draw.choice(parts(process, "EndpointSampler")), signal.SIGKILL)
        return process
    if victim == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to everybody
        assert process.wait(120) == 130
    elif victim == "driver":
        process.kill()
        process.wait()
    else:
        os.kill(parts(process, "raylet/raylet")[0], signal.SIGKILL)
        assert process.wait(120) != 0
    return None


def parts(driver: subprocess.Popen[str], name: str) -> list[int]:
    """Processes of a driver's Ray by a part of their command line; waits until there is one."""
    while driver.poll() is None:
        found: list[int] = []
        for child in psutil.Process(driver.pid).children(recursive=True):
            try:
                if name in " ".join(child.cmdline()):
                    found.append(child.pid)
            except psutil.Error:
                continue
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"the run ended before there was anything to kill: {driver.communicate()[0][-3000:]}")
