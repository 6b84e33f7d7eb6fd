"""`ray job submit` against a real local head runs the same loop as the command line."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    """Environment in which `ray job` reaches a running head."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    dashboard, agent = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="prj_", dir="/tmp", ignore_cleanup_errors=True) as folder:
        # In the foreground it ends with its process; `ray stop` would end every Ray on the machine.
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=8", "--port=0"),
            *("--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"),
            # Its usual port belongs to any other Ray on this machine, and a head without it takes no jobs.
            f"--dashboard-agent-listen-port={agent}",
            *(f"--object-store-memory={200 << 20}", f"--temp-dir={folder}", "--disable-usage-stats"),
        ]
        log = Path(folder, "head.log")
        with log.open("wb") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as process:
            yield environment | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
            process.terminate()
            process.wait(timeout=60)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


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
