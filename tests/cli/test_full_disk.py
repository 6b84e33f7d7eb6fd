"""A disk that is really full, or soon will be: the run stops with one sentence, and goes on once there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = "distill quick evaluate.baselines=[] refine.rounds=0 train.max_steps=3 evaluate.limit=8"
SCRIPT = """
mount -t tmpfs -o size=200k none {disk} || exit 99
{pad_ray} {command} --run-dir {disk}/run 2>&1; echo "first: $?"
mount -o remount,size=2500k {disk}
{pad_ray} {command} --run-dir {disk}/run 2>&1; echo "second: $?"
mount -o remount,size=200m {disk}
{pad_ray} {command} --run-dir {disk}/run 2>&1; echo "third: $?"
"""


@pytest.mark.slow
@pytest.mark.long
def test_a_full_disk_stops_a_run_with_one_sentence_and_it_resumes_when_there_is_room(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a small disk of our own can only be mounted by root, with unshare")
    disk = tmp_path / "disk"
    disk.mkdir()
    script = SCRIPT.format(disk=disk, pad_ray=f"{sys.executable} -m pad_ray.cli", command=COMMAND)
    result = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    if result.returncode == 99:
        pytest.skip(f"no disk can be mounted here: {result.stderr}")
    full, _, rest = result.stdout.partition("first: 1\n")
    small, _, after = rest.partition("second: 1\n")
    assert after, result.stdout
    assert "No space left on device" in full.splitlines()[-1]
    assert "there is too little room on the disk" in small.splitlines()[-1], "it did not begin to train"
    assert "Traceback" not in full + small
    assert after.rstrip().endswith("third: 0")
    assert "1,500 samples in" not in after  # nothing that was judged is judged again
