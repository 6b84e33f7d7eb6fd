"""A whole job uses the keys of its cluster, and they are found nowhere: not in its run, its log or Ray's files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ray.job_submission import JobSubmissionClient
from ray_head import ray_head

from pad_ray.storage.place import client
from tests.fault_server import running

pytestmark = [pytest.mark.slow, pytest.mark.long]

KEY, SECRET = "sk-canary-51c0e7d2b9", "canary/s3/8f04aa16c3"


def write_recipe(folder: Path, teacher_url: str, s3_url: str) -> None:
    """A teacher that wants the key and repeats it in an error, and a student that learns for two steps."""
    rows = [{"id": f"p{n}", "question": f"What is {n} + 1?", "answer": n + 1} for n in range(12)]
    # Only one that answered a moment ago is asked again after a refused key.
    rows[3]["question"] = "What is 3 + 1? [faults: 429, 401, 401]"
    (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "name": "canary",
        "problems": {"train": "problems.jsonl", "eval": {"unseen": "gym://lcm?size=2&seed=9&max_value=30"}},
        "teacher": {
            **{"kind": "openai", "base_url": teacher_url, "model": "m", "price": "unknown_ok"},
            **{"samples": 1, "max_tokens": 64, "workers": 1},
        },
        "sandbox": {"workers": 1},
        "student": {"model": "package://quick/student", "init": "random"},
        "train": {"max_steps": 2},
        "refine": {"rounds": 0},
        "decode": {"max_tokens": 16},
        "evaluate": {"baselines": []},
        "storage": {"s3_endpoint": s3_url},
    }
    (folder / "canary.yaml").write_text(yaml.safe_dump(recipe))


def submitted(head: dict[str, str], folder: Path, run: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pad_ray.cli", "submit", "canary.yaml", "--run-dir", run]
    give_up = time.monotonic() + 120
    while True:
        ended = subprocess.run(command, env=head, capture_output=True, text=True, cwd=folder)
        if "no Ray dashboard answers" not in ended.stderr or time.monotonic() > give_up:
            return ended
        time.sleep(1)


def objects(server: str, bucket: str) -> Iterator[tuple[str, bytes]]:
    """Everything in a bucket."""
    s3 = client(server)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for row in page["Contents"]:
            yield row["Key"], s3.get_object(Bucket=bucket, Key=row["Key"])["Body"].read()


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Everything in a folder."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield str(path), path.read_bytes()


@pytest.mark.timeout(900)
def test_no_key_is_left_in_the_run_the_log_or_the_cluster(
    bucket: str, s3_server: str, machine: Path, tmp_path: Path
) -> None:
    plain = bucket.partition("?")[0]
    known = {
        "OPENAI_API_KEY": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with running("--key", KEY) as teacher, ray_head(known) as head:
        write_recipe(tmp_path, teacher.url, s3_server)
        ended = submitted(head, tmp_path, plain)
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-1000:]
        asked = teacher.stats()
        jobs = JobSubmissionClient(head["RAY_API_SERVER_ADDRESS"]).list_jobs()
        found = {
            "what submit said": f"{ended.stdout}{ended.stderr}".encode(),
            "the jobs": str(jobs).encode(),
            **dict(objects(s3_server, plain.split("/")[2])),
            **dict(files(machine)),
            **dict(files(Path(head["RAY_TMPDIR"]))),
        }
    # They were used: every reply came, the run lies in the bucket, and the key was in what the teacher said.
    assert asked["faults"] == {"429": 1, "401": 2} and asked["billed"] == 12
    assert any(name.endswith("manifest.json") for name in found) and any("/logs/job-driver-" in name for name in found)
    secrets = (KEY.encode(), SECRET.encode(), head["RAY_AUTH_TOKEN"].encode())
    assert [name for name, content in found.items() if any(secret in content for secret in secrets)] == []
