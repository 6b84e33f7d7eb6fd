"""The whole recipe `quick` in a bucket, killed in the middle and ended elsewhere, is as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pad_ray.records import Example, Request, Sample, Verdict
from pad_ray.storage import Storage

pytestmark = [pytest.mark.slow, pytest.mark.long]


def distill(run_dir: str, home: Path, *overrides: str) -> subprocess.Popen[str]:
    """The recipe in a process whose machine has nothing on its disk but `home`."""
    home.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "PAD_RAY_CACHE"} | {"HOME": str(home)}
    command = [sys.executable, "-m", "pad_ray.cli", "distill", "quick", *overrides, "--run-dir", run_dir]
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def end(process: subprocess.Popen[str]) -> None:
    said = process.communicate()[0]
    assert process.returncode == 0, said[-3000:]


def kill_when(process: subprocess.Popen[str], reached: Callable[[], object]) -> None:
    while not reached():
        assert process.poll() is None, process.communicate()[0][-3000:]
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def states(storage: Storage) -> dict[tuple[int, str], str]:
    manifest: dict[str, Any] = json.loads(storage.read("manifest.json"))
    return {(stage["round"], stage["stage"]): stage["state"] for stage in manifest["stages"]}


@pytest.mark.timeout(3600)
def test_what_was_killed_on_one_machine_ends_on_another_as_if_undisturbed(bucket: str, tmp_path: Path) -> None:
    plain, _, endpoint = bucket.partition("?endpoint=")
    elsewhere = f"storage.s3_endpoint={endpoint}"
    storage = Storage(bucket)

    first = distill(plain, tmp_path / "first", elsewhere)
    kill_when(first, lambda: storage.published("round-0/checkpoint/state"))
    shutil.rmtree(tmp_path / "first")
    assert states(storage)[0, "train"] == "running"
    end(distill(plain, tmp_path / "second", elsewhere))
    end(distill(str(tmp_path / "undisturbed"), tmp_path / "third"))

    undisturbed = Storage(tmp_path / "undisturbed")
    assert states(storage) == states(undisturbed)
    assert set(states(storage).values()) == {"done"}
    for round_ in (0, 1):
        planned = [row.sample_id for row in undisturbed.scan_rows(f"round-{round_}/requests", Request)]
        for kind, noun in ((Sample, "samples"), (Verdict, "verdicts")):
            ids = Counter(row.sample_id for row in storage.scan_rows(f"round-{round_}/{noun}", kind))
            assert set(ids) == set(planned) and set(ids.values()) == {1}
        ours, theirs = (list(one.scan_rows(f"round-{round_}/examples", Example)) for one in (storage, undisturbed))
        assert ours and ours == theirs
