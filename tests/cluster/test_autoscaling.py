"""A cluster that grows, by the sections of cluster/aws.yaml: workers come when a run waits for them, and leave.

Only the provider is another one: the one Ray has for tests, whose machines are processes here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from ray_head import ray_head

from pad_ray.records import Request, Sample
from pad_ray.storage import Storage
from tests.free_port import free_port

pytestmark = [pytest.mark.slow, pytest.mark.long]

AWS = Path(__file__).resolve().parents[2] / "cluster" / "aws.yaml"
HEAD = "ray.head.default"
"""What that provider calls the head."""
CPUS = 2
MACHINES = {"m7i.xlarge": {}, "c7i.4xlarge": {"CPU": CPUS}, "g6.xlarge": {"CPU": CPUS, "GPU": 1}}
"""What Ray would ask the provider about; the real ones have more CPUs than this machine."""
HASTE = 50
"""So much sooner than in the file idle workers leave."""

NOTHING: dict[str, Any] = {
    **{key: {} for key in ("auth", "file_mounts")},
    **{key: [] for key in ("cluster_synced_files", "worker_setup_commands", "worker_start_ray_commands")},
}
"""What is copied to such machines, and executed on them."""


def config(address: str) -> dict[str, Any]:
    """The file's own sections, with a provider of processes that join the head at this address."""
    given: dict[str, Any] = yaml.safe_load(AWS.read_text())
    kinds: dict[str, Any] = {
        name: {
            **kind,
            "node_config": {},
            "resources": {**MACHINES[kind["node_config"]["InstanceType"]], **kind["resources"]},
        }
        for name, kind in given["available_node_types"].items()
    }
    kinds[HEAD] = {**kinds.pop(given["head_node_type"]), "max_workers": 0}
    provider = {"type": "fake_multinode", "gcs_address": address, "use_node_id_as_ip": True}
    return {
        **{key: given[key] for key in ("cluster_name", "max_workers", "upscaling_speed")},
        "idle_timeout_minutes": given["idle_timeout_minutes"] / HASTE,
        "available_node_types": kinds,
        "head_node_type": HEAD,
        "provider": {**provider, "disable_node_updaters": True, "disable_launch_config_check": True},
        **NOTHING,
    }


@contextmanager
def growing(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a head alone, whose autoscaler looks every second what is waited for."""
    port = free_port()
    written = config(f"127.0.0.1:{port}")
    path = folder / "cluster.json"
    path.write_text(json.dumps(written))
    offered = written["available_node_types"][HEAD]["resources"] | {}
    cpus = offered.pop("CPU")
    extra = {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1"}
    with ray_head(extra, offered, "--autoscaling-config", str(path), cpus=cpus, port=port) as environment:
        wait_for_head(environment)
        yield environment | {"RAY_ADDRESS": f"127.0.0.1:{port}"}


def wait_for_head(environment: dict[str, str]) -> None:
    give_up = time.monotonic() + 240
    while True:
        try:
            # Nothing can be asked of it before it answers at all.
            httpx.get(environment["RAY_API_SERVER_ADDRESS"])
            if nodes(environment):
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < give_up, "the head does not come up"
        time.sleep(0.5)


def nodes(environment: dict[str, str]) -> list[Any]:
    """The nodes that are there, the head too."""
    from ray.util.state import list_nodes

    # Ray takes nodes that have left for output that is missing.
    found = list_nodes(address=environment["RAY_API_SERVER_ADDRESS"], raise_on_missing_output=False)
    return [node for node in found if node.state == "ALIVE"]


def workers(environment: dict[str, str]) -> list[dict[str, float]]:
    """What each worker that is there offers."""
    return [node.resources_total for node in nodes(environment) if not node.is_head_node]


def watch(environment: dict[str, str], until: Callable[[int], bool], seconds: float = 180) -> list[int]:
    """How many workers there were, one after the other, until that many or that few."""
    give_up = time.monotonic() + seconds
    seen = [-1]
    while not until(seen[-1]):
        assert time.monotonic() < give_up, f"the workers were {seen[1:]}"
        there = workers(environment)
        assert all("pad_ray_teacher" in offered for offered in there), "a machine with a GPU came for work without one"
        if len(there) != seen[-1]:
            seen.append(len(there))
        time.sleep(0.2)
    return seen[1:]


@pytest.mark.timeout(500)
def test_two_workers_come_for_the_samplers_of_a_run_and_leave_when_it_has_ended(tmp_path: Path) -> None:
    run = tmp_path / "run"
    load = [f"teacher.workers={2 * CPUS}", "refine.rounds=0", "--run-dir", str(run)]
    with growing(tmp_path) as environment:
        assert watch(environment, lambda count: count == 0) == [0]
        command = [sys.executable, "-m", "pad_ray.cli", "sample", "quick", *load]
        process = subprocess.Popen(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        grown = watch(environment, lambda count: count == 2 or process.poll() is not None)
        said, _ = process.communicate(timeout=200)
        assert process.returncode == 0, said[-3000:]
        left = watch(environment, lambda count: count == 0)
    assert grown == [0, 1, 2], said[-3000:]
    assert left[-1] == 0
    planned = [row.sample_id for row in Storage(run).scan_rows("round-0/requests", Request)]
    assert planned == [row.sample_id for row in Storage(run).scan_rows("round-0/samples", Sample)]
