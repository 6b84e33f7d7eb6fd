"""`ray job submit` against a real local head runs the same loop as the command line."""

from __future__ import annotations

import json
import os
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
# A head of our own with the Jobs server; `ray stop` would end every Ray on the machine, so it ends with its input.
HEAD = """
import sys, ray
context = ray.init(address="local", num_cpus=8, include_dashboard=True, dashboard_port=0, log_to_driver=False,
                   object_store_memory=200 << 20, _temp_dir=sys.argv[1])
print(context.dashboard_url, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def head() -> Iterator[dict[str, str]]:
    """Environment in which `ray job` reaches a running head."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with tempfile.TemporaryDirectory(prefix="prj_", dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-c", HEAD, folder]
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout and process.stdin
            address = process.stdout.readline().strip()
            assert address, "the head did not start"
            yield environment | {"RAY_API_SERVER_ADDRESS": f"http://{address}"}
            process.stdin.close()
            process.wait(timeout=60)


def submit(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--working-dir", str(REPO)),
        *("--runtime-env", str(REPO / "jobs" / "runtime_env.yaml"), "--"),
        *(sys.executable, "jobs/distill.py", *arguments),
    ]
    # The head takes jobs only when its agent has started, some seconds after its address is known; until then it
    # refuses them in several ways.
    for _ in range(30):
        result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=REPO, timeout=280)
        if "submitted successfully" in result.stdout + result.stderr:
            break
        time.sleep(2)
    return result


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
