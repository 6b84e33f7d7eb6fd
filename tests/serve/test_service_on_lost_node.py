"""A service with two replicas of everything, on two nodes: one of them is lost, and the other goes on answering."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest
import yaml
from test_deploy import REPO, SERVE, answers
from tiny_student import make_tiny_student

from tests.free_port import free_port
from tests.several_nodes import several_nodes

pytestmark = [pytest.mark.slow, pytest.mark.long]

BACK_SECONDS = 120
"""Most seconds until the service has noticed the loss."""


def twofold(folder: Path, port: int) -> Path:
    """serve/config.yaml with two replicas of each deployment and one address, as all nodes are this machine."""
    settings = yaml.safe_load((REPO / "serve" / "config.yaml").read_text())
    settings["http_options"]["port"], settings["proxy_location"] = port, "HeadOnly"
    [application] = settings["applications"]
    application["args"]["student"] = str(make_tiny_student(folder / "student"))
    for deployment in application["deployments"]:
        deployment.pop("autoscaling_config", None)
        deployment |= {"num_replicas": 2, "max_replicas_per_node": 1}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def ask(url: str) -> int:
    question = {"question": "How many?", "max_tokens": 5}
    try:
        return httpx.post(f"{url}/v1/solve", json=question, timeout=60).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.timeout(600)
def test_a_service_goes_on_answering_when_one_of_its_nodes_is_lost(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    path = twofold(tmp_path, port)
    with several_nodes() as cluster:
        nodes = [cluster.add(2, "serve", "sandbox") for _ in range(2)]
        environment = os.environ | {"RAY_ADDRESS": cluster.address, "PYTHONPATH": str(REPO)}
        with (tmp_path / "output.txt").open("w") as output:
            process = subprocess.Popen(
                [SERVE, "run", str(path)], cwd=REPO, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            answers(url, lambda: process.poll() is None)
            cluster.lose(nodes[0])
            give_up = time.monotonic() + BACK_SECONDS
            row = 0
            while row < 10:
                row = row + 1 if ask(url) == 200 else 0
                assert time.monotonic() < give_up, (tmp_path / "output.txt").read_text()[-3000:]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
