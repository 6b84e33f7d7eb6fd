"""A study killed in the shared part and in an arm goes on where it was, and redoes nothing that is finished."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pad_ray.records import Example
from pad_ray.storage import Storage

pytestmark = [pytest.mark.slow, pytest.mark.long]

STUDY: dict[str, Any] = {
    "name": "small",
    "recipe": "quick",
    "reference": "all",
    "overrides": {
        "problems.train": "gym://lcm?size=60&seed=1000&max_value=300",
        "problems.eval": {"unseen": "gym://lcm?size=10&seed=900000&max_value=300"},
        "train.max_steps": 30,
        "train.checkpoint_s": 0.2,
        "refine.limit": 16,
        "refine.injected": 0.5,
        "evaluate.baselines": [],
    },
    "arms": {
        # It can only begin when the other is done.
        "again": {"overrides": {"refine.fresh": False}, "same_steps_as": "all"},
        "all": {},
    },
}


def start(file: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pad_ray.cli", "study", str(file), "--run-dir", str(folder)]
    patient = {**os.environ, "RAY_raylet_start_wait_time_s": "200"}  # whatever else the machine is doing
    return subprocess.Popen(command, text=True, env=patient, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def kill_when(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    while process.poll() is None and not reached():
        time.sleep(0.02)
    assert process.poll() is None, f"the study ended before it was killed: {process.communicate()[0][-2000:]}"
    process.send_signal(signal.SIGKILL)
    process.communicate()


def stages(folder: Path) -> dict[tuple[int, str], dict[str, Any]]:
    path = folder / "manifest.json"
    found = json.loads(path.read_text())["stages"] if path.exists() else []
    return {(stage["round"], stage["stage"]): stage for stage in found}


@pytest.mark.timeout(600)
def test_a_killed_study_resumes_and_touches_no_finished_arm(tmp_path: Path) -> None:
    file, folder = tmp_path / "small.yaml", tmp_path / "study"
    file.write_text(yaml.safe_dump(STUDY))
    shared, first, second = folder / "shared", folder / "arms" / "all-seed0", folder / "arms" / "again-seed0"
    # In the shared training, past its first state.
    kill_when(start(file, folder), lambda: any(shared.glob("round-0/checkpoint/state/step-*")))
    # In the training of the second arm: the first is finished then.
    kill_when(start(file, folder), lambda: any(second.glob("round-1/checkpoint/state/step-*")))
    finished = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    assert stages(shared)[0, "train"]["reused"] > 0, "the killed training started anew"

    process = start(file, folder)
    output, _ = process.communicate()
    assert process.returncode == 0, output[-3000:]
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()} == finished
    for arm in (first, second):
        # One student on the disk under several names; its programs were made once.
        weights = "round-0/student/model.safetensors"
        assert (arm / weights).samefile(shared / weights)
        assert not list(arm.glob("round-*/checkpoint/state"))
    assert stages(first)[1, "sample"]["new"] == 0
    assert (1, "sample") not in stages(second)
    results = json.loads((folder / "study.json").read_text())
    steps = {arm["arm"]: arm["training"][0]["steps"] for arm in results["arms"]}
    assert steps["again"] == steps["all"] > 0
    assert {(row["arm"], row["from"]) for row in results["differences"]} == {
        ("again", "all"),
        ("all", "round 0"),
        ("again", "round 0"),
    }
    mixture = Storage(second).read_rows("round-1/checkpoint/mixture.parquet", Example)
    examples = list(Storage(second).scan_rows("round-0/examples", Example))
    assert sorted(row.example_id for row in mixture) == sorted(row.example_id for row in examples)
