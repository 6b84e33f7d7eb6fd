"""A recipe as a job on a real head, whose nodes have roles: followed, stopped, submitted again, by either way in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray_head import ray_head

pytestmark = pytest.mark.slow

REPO = Path(__file__).resolve().parents[2]
SMALL = [
    "problems.train=gym://lcm?size=40&seed=1000&max_value=300",
    "problems.eval={unseen: 'gym://lcm?size=6&seed=900000&max_value=300'}",
    "train.max_steps=5",
    "refine.rounds=0",
    "evaluate.baselines=[]",
]
ROLES = {f"pad_ray_{role}": 1.0 for role in ("teacher", "sandbox", "train")}


@pytest.fixture(scope="module")
def head() -> Iterator[dict[str, str]]:
    # Jobs call `python`, as on a cluster whose nodes have one.
    with ray_head({"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}, ROLES) as environment:
        yield environment


def pad_ray(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pad_ray.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=REPO, timeout=280)


def when_it_answers(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same with a head that has only just been started."""
    give_up = time.monotonic() + 120
    while True:
        result = pad_ray(environment, *arguments)
        if "no Ray dashboard answers" not in result.stderr or time.monotonic() > give_up:
            return result
        time.sleep(1)


def manifest(run: Path) -> dict[str, Any]:
    return json.loads((run / "manifest.json").read_text())


def wait_for_verdicts(run: Path) -> None:
    give_up = time.monotonic() + 200
    while time.monotonic() < give_up:
        if (run / "manifest.json").exists():
            stages = {stage["stage"]: stage["state"] for stage in manifest(run)["stages"]}
            if stages.get("judge") == "done":
                return
        time.sleep(0.2)
    raise AssertionError("the job did not judge anything")


@pytest.mark.timeout(600)
def test_a_job_is_followed_stopped_and_submitted_again(head: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["submit", "quick", *SMALL, "--run-dir", str(run)]

    detached = when_it_answers(head, *words, "--detach")
    assert detached.returncode == 0, detached.stderr
    job = detached.stdout.strip()
    wait_for_verdicts(run)
    stopped = pad_ray(head, "jobs", "stop", job)
    assert stopped.returncode == 0 and "keeps what is finished" in stopped.stderr, stopped.stderr
    status = json.loads(pad_ray(head, "jobs", "status", job, "--json").stdout)
    assert (status["status"], status["exit_code"], status["run_dir"]) == ("STOPPED", 130, str(run))
    assert manifest(run)["state"] == "interrupted"
    assert pad_ray(head, "jobs", "follow", job).returncode == 130

    followed = pad_ray(head, *words)
    assert followed.returncode == 0, followed.stdout[-3000:] + followed.stderr[-1000:]
    assert "round 0" in followed.stdout and f"done; the run is in {run}" in followed.stderr
    assert manifest(run)["state"] == "done"
    judged = next(stage for stage in manifest(run)["stages"] if stage["stage"] == "judge")
    assert judged["reused"] and not judged["new"]  # what was done before the stop is not done again

    # The same folder with another recipe: the job's own exit code comes back.
    other = pad_ray(head, *words[:2], "seed=2", *words[2:])
    assert other.returncode == 2, other.stdout[-2000:]
    assert "ended with exit code 2" in other.stderr and "goes on" not in other.stderr

    # The script that `ray job submit` runs is the same command: it finds everything done.
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--working-dir", str(REPO)),
        *("--runtime-env", str(REPO / "jobs" / "runtime_env.yaml"), "--"),
        *(sys.executable, "jobs/distill.py", "quick", *SMALL, "--run-dir", str(run)),
    ]
    raw = subprocess.run(command, env=head, capture_output=True, text=True, cwd=REPO, timeout=280)
    assert raw.returncode == 0, raw.stdout[-3000:] + raw.stderr[-1000:]
    assert not any(stage["new"] for stage in manifest(run)["stages"])
