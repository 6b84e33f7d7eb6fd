"""A cluster with the node types of cluster/aws.yaml really grows for a job and shrinks behind it, on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray_head import ray_head

pytestmark = [pytest.mark.slow, pytest.mark.long]

REPO = Path(__file__).resolve().parents[2]
AWS = yaml.safe_load((REPO / "cluster" / "aws.yaml").read_text())
COMMANDS = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
SECONDS = 400


def fake_cloud() -> dict[str, Any]:
    """The file for AWS where machines are processes: two CPUs each, two at most, gone after six idle seconds."""
    kinds = {name: AWS["available_node_types"][name] | {"node_config": {}} for name in ("head", "cpu")}
    kinds["cpu"] |= {
        "max_workers": 2,
        "resources": kinds["cpu"]["resources"] | {"CPU": 2, "object_store_memory": 100 << 20},
    }
    return {
        **{key: AWS[key] for key in ("cluster_name", "upscaling_speed", "head_node_type")},
        "available_node_types": kinds,
        "max_workers": 2,
        "idle_timeout_minutes": 0.1,
        "provider": {
            "type": "fake_multinode",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        **{f"{name}_commands": [] for name in COMMANDS},
        **{key: {} for key in ("auth", "docker", "file_mounts")},
        **{key: [] for key in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
        "file_mounts_sync_continuously": False,
    }


def workers(environment: dict[str, str]) -> int:
    """Nodes beside the head that live now."""
    from ray.util.state import list_nodes

    found = list_nodes(address=environment["RAY_API_SERVER_ADDRESS"], filters=[("state", "=", "ALIVE")])
    return len([node for node in found if not node.is_head_node])


def pad_ray(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pad_ray.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=REPO, timeout=280)


@pytest.mark.timeout(900)
def test_workers_come_for_a_job_and_leave_when_it_has_ended(tmp_path: Path) -> None:
    head = {
        name: amount for name, amount in fake_cloud()["available_node_types"]["head"]["resources"].items() if amount
    }
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    # Three samplers of one CPU each: more than one worker has, and none of them can be on the head.
    words = ["quick", "--command", "sample", "teacher.workers=3", "--run-dir", str(tmp_path / "run")]
    with ray_head(path, head, grows=fake_cloud()) as environment:
        give_up = time.monotonic() + SECONDS
        while "no Ray dashboard answers" in (sent := pad_ray(environment, "submit", *words, "--detach")).stderr:
            assert time.monotonic() < give_up
            time.sleep(1)
        assert sent.returncode == 0, sent.stderr
        job = sent.stdout.strip()
        seen = [workers(environment)]
        while '"exit_code": null' in (status := pad_ray(environment, "jobs", "status", job, "--json")).stdout:
            seen.append(workers(environment))
            assert time.monotonic() < give_up, f"{seen}: {pad_ray(environment, 'jobs', 'follow', job).stdout[-2000:]}"
        assert '"exit_code": 0' in status.stdout, pad_ray(environment, "jobs", "follow", job).stdout[-2000:]
        assert (seen[0], max(seen)) == (0, 2)
        while workers(environment):
            assert time.monotonic() < give_up, "idle workers stay"
            time.sleep(1)
