"""The command line as a user meets it: exit codes, one clear sentence, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

COMMANDS = {
    *("distill", "plan", "sample", "judge", "curate", "train", "evaluate", "execute"),
    *("status", "show", "ask", "compare", "report", "serve", "recipes"),
}


def pad_ray(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pad_ray.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "p.jsonl").write_text('{"id": "a", "question": "1 + 1?", "answer": 2}\n')
    (tmp_path / "r.jsonl").write_text('{"problem_id": "a", "text": "def solution():\\n    return 2"}\n')
    tree = {
        "name": "t",
        "problems": {"train": str(tmp_path / "p.jsonl")},
        "teacher": {"path": str(tmp_path / "r.jsonl")},
        "student": {"model": str(tmp_path / "nowhere")},
    }
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_help_lists_every_command() -> None:
    assert set(COMMANDS) <= set(pad_ray("--help").stdout.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["distil"], "distill"),
        (["distill", "quik"], "did you mean 'quick'"),
        (["distill", "quick", "trian.lr=1"], "did you mean 'train'"),
        (["distill", "quick", "thought=chian"], "thought: 'chian' is not allowed"),
        (["distill", "quick", "laptop"], "one recipe is enough"),
        (["plan", "quick", "problems.train=nowhere.jsonl"], "there is no file nowhere.jsonl"),
        (["status", "nowhere"], "nowhere is not a run folder"),
        (["execute", "nowhere.jsonl", "out.jsonl"], "nowhere.jsonl"),
        (["execute", "x", "y", "--sandbox", "none"], "'none' is not strict"),
        (["evaluate", "--student", "x"], "--problems and --out"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_sentence(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = pad_ray(*arguments, folder=tmp_path)
    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_that_cannot_be_written_fails_with_1_before_any_work(recipe: Path, tmp_path: Path) -> None:
    result = pad_ray("distill", recipe, "--run-dir", tmp_path / "t.yaml" / "run")
    assert result.returncode == 1
    assert "cannot write" in result.stderr
    assert "--run-dir" in result.stderr


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in pad_ray("status", "nowhere", "--debug").stderr


def test_plan_is_a_stage_of_its_own_and_another_recipe_is_refused_in_its_folder(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert pad_ray("plan", recipe, "--run-dir", run).returncode == 0
    found = json.loads(pad_ray("status", run, "--json").stdout)
    assert found["state"] == "partial"
    assert [(s["round"], s["stage"], s["state"], s["new"]) for s in found["stages"]] == [(0, "plan", "done", 1)]
    other = pad_ray("plan", recipe, "seed=3", "--run-dir", run)
    assert other.returncode == 2
    assert "seed: 0 in the run, 3 now" in other.stderr


def test_execute_keeps_the_order_and_names_every_outcome(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "program": "def solution():\n    return 40 + 2", "answer": "42"},
        {"id": "b", "program": "ans = 41", "answer": "42", "entry": "ans"},
        {"id": "c", "program": "def solution():\n    return 1/0"},
        {"id": "d", "program": "def solution():\n    return 7"},
        {"id": "e", "program": "while True: pass"},
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = pad_ray("execute", tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--timeout", 0.5, "--workers", 1)
    assert result.returncode == 0, result.stderr
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["id"] for row in found] == list("abcde")
    assert [row["outcome"] for row in found] == ["correct", "wrong_answer", "runtime_error", "ok", "timeout"]
    assert found[2]["detail"] == "ZeroDivisionError: division by zero"
    assert {row["sandbox"] for row in found} == {"strict"}
    assert set(found[0]) == {"id", "outcome", "value", "detail", "seconds", "sandbox"}


def test_a_malformed_row_is_named_and_no_half_result_is_left(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": "a", "program": "x"}\n{broken\n')
    result = pad_ray("execute", tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert result.returncode == 2
    assert "in.jsonl:2" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_the_built_in_recipes_are_listed_with_a_sentence() -> None:
    result = pad_ray("recipes")
    assert result.returncode == 0
    assert "quick" in result.stdout
    assert "(default)" in result.stdout
