"""A whole run in a bucket: killed twice, resumed each time by a machine that has nothing of it, every id once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pad_ray.records import Request, Sample, Verdict
from pad_ray.storage import Storage

pytestmark = [pytest.mark.slow, pytest.mark.long]

# The recipe `quick`, small enough to be started four times.
SMALL = [
    "problems.train=gym://lcm?size=120&seed=1000&max_value=300",
    "problems.eval={unseen: 'gym://lcm?size=10&seed=900000&max_value=300'}",
    "train.max_steps=60",
    "refine.limit=60",
    "evaluate.baselines=[]",
    "train.checkpoint_s=0.2",
]


def call(*words: str, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pad_ray.cli", *words]
    environment = {**os.environ, "PAD_RAY_CACHE": str(cache)}
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def output(*words: str, cache: Path) -> str:
    process = call(*words, cache=cache)
    said = process.communicate()[0]
    assert process.returncode == 0, said[-3000:]
    return said


def kill_when(process: subprocess.Popen[str], reached: Callable[[], object]) -> None:
    while not reached():
        assert process.poll() is None, process.communicate()[0][-3000:]
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.timeout(1200)
def test_a_run_goes_on_from_an_empty_machine_and_ends_with_each_id_once(bucket: str, tmp_path: Path) -> None:
    plain, _, endpoint = bucket.partition("?endpoint=")
    distill = ["distill", "quick", *SMALL, f"storage.s3_endpoint={endpoint}", "--run-dir", plain]
    storage = Storage(bucket)

    first = call(*distill, cache=tmp_path / "first")
    kill_when(first, lambda: storage.exists("round-0/samples/journal"))
    second = call(*distill, cache=tmp_path / "second")
    kill_when(second, lambda: storage.published("round-0/checkpoint/state"))
    found = json.loads(output("status", bucket, "--json", cache=tmp_path / "nothing"))
    assert found["state"] == "interrupted"
    said = output(*distill, cache=tmp_path / "third")
    assert f"--student '{storage.uri('round-1/student')}'" in said

    for round_ in (0, 1):
        planned = [row.sample_id for row in storage.scan_rows(f"round-{round_}/requests", Request)]
        for kind, noun in ((Sample, "samples"), (Verdict, "verdicts")):
            ids = Counter(row.sample_id for row in storage.scan_rows(f"round-{round_}/{noun}", kind))
            assert set(ids) == set(planned) and set(ids.values()) == {1}
            assert not storage.exists(f"round-{round_}/{noun}/journal")
    found: dict[str, Any] = json.loads(output("status", bucket, "--json", cache=tmp_path / "nothing"))
    assert found["state"] == "done"
    [trained] = [stage for stage in found["stages"] if (stage["round"], stage["stage"]) == (0, "train")]
    assert trained["reused"] > 0, "the killed training started anew"
    assert {(row["round"], row["suite"]) for row in found["accuracy"]} == {(0, "unseen"), (1, "unseen")}

    sample = next(storage.scan_rows("round-0/samples", Sample)).sample_id
    assert json.loads(output("show", bucket, sample, "--json", cache=tmp_path / "nothing"))["sample"]["text"]
    assert output("report", bucket, cache=tmp_path / "nothing").strip() == f"{plain}/report.html"
    assert b"<html" in storage.read("report.html")
    assert "round 1" in output("compare", bucket, cache=tmp_path / "nothing")

    # Once more: nothing is left to do, and the student answers from where it lies.
    output(*distill, cache=tmp_path / "fourth")
    assert not any(stage["new"] for stage in json.loads(output("status", bucket, "--json", cache=tmp_path))["stages"])
    student = storage.uri("round-1/student")
    answer = json.loads(output("ask", "--student", student, "--json", "LCM of 4 and 6?", cache=tmp_path / "fourth"))
    assert answer["tokens"] > 0
