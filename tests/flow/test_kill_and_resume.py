"""Killed at any stage, a run resumes and ends with every sample id once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pad_ray.records import Request, Sample, Verdict
from pad_ray.storage import Storage

pytestmark = pytest.mark.slow

# The recipe `quick`, small enough to be started seven times.
SMALL = [
    "problems.train=gym://lcm?size=120&seed=1000&max_value=300",
    "problems.eval={unseen: 'gym://lcm?size=10&seed=900000&max_value=300'}",
    "train.max_steps=60",
    "refine.limit=60",
    "evaluate.baselines=[]",
    "train.checkpoint_s=0.2",
]
KILL_AT = [(0, "sample"), (0, "curate"), (0, "train"), (0, "evaluate"), (1, "sample"), (1, "train")]


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pad_ray.cli", "distill", "quick", *SMALL, *more, "--run-dir", str(folder)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    return json.loads(path.read_text()) if path.exists() else {"stages": []}


def status(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "pad_ray.cli", "status", str(folder), "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def reach(process: subprocess.Popen[str], folder: Path, stage: tuple[int, str]) -> None:
    """Wait until a stage is running (or was, for one too short to be seen)."""
    while process.poll() is None:
        found = [s for s in manifest(folder)["stages"] if (s["round"], s["stage"]) == stage]
        if found:
            return
        time.sleep(0.05)
    pytest.fail(f"the run ended before {stage}: {process.communicate()[0][-2000:]}")


def descendants_named(text: str) -> list[int]:
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text in command and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found


@pytest.mark.timeout(900)
def test_killed_at_every_stage_a_run_ends_with_each_sample_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for stage in KILL_AT:
        process = start(folder)
        reach(process, folder, stage)
        if stage == (0, "sample"):
            # In the middle of the stream: some rows are journaled, most are not.
            while process.poll() is None and not list(folder.glob("round-0/samples/journal/*/*.jsonl")):
                time.sleep(0.02)
        if stage[1] == "train":
            # Past its first saved state, so that a training that started anew would show.
            while process.poll() is None and not list(folder.glob(f"round-{stage[0]}/checkpoint/state/step-*")):
                time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert status(folder)["state"] == "interrupted"
        deadline = time.monotonic() + 60
        while descendants_named(f"pr_{process.pid}_") and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not descendants_named(f"pr_{process.pid}_"), "processes of a killed run live on"
    process = start(folder)
    output, _ = process.communicate()
    assert process.returncode == 0, output[-3000:]

    storage = Storage(folder)
    problems = {request.sample_id.partition("#")[0] for request in storage.scan_rows("round-0/samples", Sample)}
    for round_ in (0, 1):
        planned = [row.sample_id for row in storage.scan_rows(f"round-{round_}/requests", Request)]
        for kind, noun in ((Sample, "samples"), (Verdict, "verdicts")):
            ids = Counter(row.sample_id for row in storage.scan_rows(f"round-{round_}/{noun}", kind))
            assert set(ids) == set(planned)
            assert set(ids.values()) == {1}
        assert {sample_id.partition("#")[0] for sample_id in planned} <= problems
    found = status(folder)
    assert found["state"] == "done"
    resumed = [stage for stage in found["stages"] if (stage["round"], stage["stage"]) == (1, "train")]
    assert resumed[0]["reused"] > 0, "the killed training started anew"
    assert {(row["round"], row["suite"]) for row in found["accuracy"]} == {(0, "unseen"), (1, "unseen")}

    # Once more: nothing is left to do.
    process = start(folder)
    output, _ = process.communicate()
    assert process.returncode == 0, output[-3000:]
    assert [stage for stage in status(folder)["stages"] if stage["new"]] == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_resumes(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "run"
    process = start(folder, "refine.rounds=0")
    reach(process, folder, (0, "sample"))
    time.sleep(1)
    process.send_signal(number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output[-3000:]
    assert "the same command resumes" in output
    assert "Traceback" not in output
    assert manifest(folder)["state"] == "interrupted"
    assert not (folder / "lease.json").exists()
