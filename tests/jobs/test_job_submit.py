"""`ray job submit` against a real local head runs the same loop as the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture(scope="module")
def head() -> Iterator[dict[str, str]]:
    with ray_head() as environment:
        yield environment


def submit(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--working-dir", str(REPO)),
        *("--runtime-env", str(REPO / "jobs" / "runtime_env.yaml"), "--"),
        *(sys.executable, "jobs/distill.py", *arguments),
    ]
    # The head takes jobs only when its agent has started, some seconds after its address is known; until then it
    # refuses them in several ways.
    give_up = time.monotonic() + 120
    while True:
        result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=REPO, timeout=280)
        if "submitted successfully" in result.stdout + result.stderr or time.monotonic() > give_up:
            return result
        time.sleep(2)


@pytest.mark.timeout(600)
def test_a_submitted_job_distils_and_a_second_one_finds_it_done(head: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    for expected_new in (True, False):
        result = submit(head, "quick", *SMALL, "--run-dir", str(run))
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]
        manifest = json.loads((run / "manifest.json").read_text())
        assert manifest["state"] == "done"
        assert any(stage["new"] for stage in manifest["stages"]) is expected_new


@pytest.mark.timeout(300)
def test_a_job_without_a_shared_run_folder_is_refused(head: dict[str, str]) -> None:
    result = submit(head, "quick", "--run-dir", "runs/quick")
    assert result.returncode != 0
    assert "--run-dir with an absolute path" in result.stdout + result.stderr
