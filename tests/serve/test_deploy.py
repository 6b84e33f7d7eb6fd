"""serve/config.yaml, with a student and a free port, is what `serve run` and `serve deploy` take."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml
from ray_head import ray_head
from tiny_student import make_tiny_student

from tests.free_port import free_port

REPO = Path(__file__).resolve().parents[2]
SERVE = str(Path(sys.executable).with_name("serve"))
START_SECONDS = 180

pytestmark = pytest.mark.slow


@pytest.fixture
def config(tmp_path: Path) -> tuple[Path, str]:
    """The file, and the address at which it will answer."""
    port = free_port()
    settings = yaml.safe_load((REPO / "serve" / "config.yaml").read_text())
    settings["http_options"]["port"] = port
    settings["applications"][0]["args"]["student"] = str(make_tiny_student(tmp_path / "student"))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path, f"http://127.0.0.1:{port}"


def answers(url: str, alive: Callable[[], bool]) -> None:
    """Wait for health, and ask a question."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            health = httpx.get(f"{url}/healthz")
            if health.status_code == 200:
                break
        except httpx.TransportError:
            pass
        assert alive() and time.monotonic() < end, "the service did not come up"
        time.sleep(0.5)
    assert (health.json()["status"], health.json()["students"]) == ("ok", ["student"])
    answer = httpx.post(f"{url}/v1/solve", json={"question": "How many?", "max_tokens": 5}, timeout=60)
    assert answer.status_code == 200 and answer.json()["tokens"] == 5


@pytest.mark.long
def test_serve_run_serves_it_until_ctrl_c(config: tuple[Path, str], tmp_path: Path) -> None:
    path, url = config
    with tempfile.TemporaryDirectory(prefix="prs_", dir="/tmp", ignore_cleanup_errors=True) as folder:
        environment = os.environ | {"RAY_ADDRESS": "local", "RAY_TMPDIR": folder, "PYTHONPATH": str(REPO)}
        with (tmp_path / "output.txt").open("w") as output:
            process = subprocess.Popen(
                [SERVE, "run", str(path)], cwd=REPO, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            answers(url, lambda: process.poll() is None)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/healthz")


@pytest.mark.long
def test_serve_deploy_puts_it_on_a_running_cluster(config: tuple[Path, str]) -> None:
    path, url = config
    with ray_head({"PYTHONPATH": str(REPO)}) as environment:
        end = time.monotonic() + START_SECONDS
        # The dashboard takes applications some seconds after the head has started.
        while (sent := deploy(path, environment)).returncode != 0 and time.monotonic() < end:
            time.sleep(2)
        assert sent.returncode == 0, sent.stdout + sent.stderr
        answers(url, lambda: True)


def deploy(path: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SERVE, "deploy", str(path)], env=environment, capture_output=True, text=True, timeout=60)
