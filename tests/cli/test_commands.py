"""The command line as a user meets it: exit codes, one clear sentence, never a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import yaml

from pad_ray import cli
from pad_ray.cli_tools import evaluation_lines
from pad_ray.evaluate.wording import duration
from pad_ray.manifest import Manifest, Stage
from pad_ray.recipe_file import load_recipe, recipe_source
from pad_ray.storage import Storage

COMMANDS = {
    *("distill", "plan", "sample", "judge", "curate", "train", "evaluate", "execute", "study", "decoders"),
    *("status", "show", "ask", "compare", "report", "serve", "recipes", "init", "doctor", "verifier", "export"),
    "export-examples",
}

DECODED = ("--student", "x", "--out", "o")


def pad_ray(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A call of the command line in this process, which spares the imports of a new one."""
    said, complained = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["pad-ray", *map(str, arguments)]
    on_sigterm, on_lost = signal.getsignal(signal.SIGTERM), sys.unraisablehook
    try:
        with contextlib.chdir(folder or "."), redirect_stdout(said), redirect_stderr(complained):
            cli.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = before
        signal.signal(signal.SIGTERM, on_sigterm)
        sys.unraisablehook = on_lost
    return subprocess.CompletedProcess(sys.argv, code, said.getvalue(), complained.getvalue())


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A call in a process of its own."""
    command = [sys.executable, "-m", "pad_ray.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "p.jsonl").write_text('{"id": "a", "question": "1 + 1?", "answer": 2}\n')
    (tmp_path / "r.jsonl").write_text('{"problem_id": "a", "text": "def solution():\\n    return 2"}\n')
    tree = {
        "name": "t",
        "problems": {"train": str(tmp_path / "p.jsonl")},
        "teacher": {"path": str(tmp_path / "r.jsonl")},
        "student": {"model": "nobody/nothing"},
    }
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_help_lists_every_command_and_debug_each_with_a_whole_sentence() -> None:
    options, commands = process("--help").stdout.split("Commands:")
    assert set(COMMANDS) <= set(commands.split())
    assert "--debug" in options
    assert "..." not in commands


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["distil"], "distill"),
        (["distill", "quik"], "did you mean 'quick'"),
        (["distill", "quick", "trian.lr=1"], "(did you mean 'train'?) (in trian.lr=1 on the command line)"),
        (
            ["distill", "quick", "thought=chian"],
            "thought: 'chian' is not allowed; choose chain, equation, program or socratic",
        ),
        (["distill", "quick", "thought=[program, proof]"], "thought: 'proof' is not allowed; choose chain"),
        (["distill", "quick", "laptop"], "one recipe is enough"),
        (["plan", "quick", "problems.train=nowhere.jsonl", "problems.eval={}"], "there is no file nowhere.jsonl"),
        (["status", "nowhere"], "nowhere is not a run folder: it does not exist"),
        (["status", "."], ". is not a run folder: it has no manifest.json"),
        (["show", "."], ". is not a run folder"),
        (["recipes", "quik"], "did you mean 'quick'"),
        (["init", "recipe.txt"], "recipe.txt: a recipe is a .yaml file"),
        (["init", "--problems", "nowhere.jsonl"], "there is no file nowhere.jsonl"),
        (["execute", "nowhere.jsonl", "out.jsonl"], "nowhere.jsonl"),
        (["execute", "x", "y", "--sandbox", "none"], "'none' is not strict"),
        (["execute", "x", "y", "--timeout", "0"], "--timeout: 0 is no time limit. Give seconds above 0"),
        (["execute", "x", "y", "--timeout", "nan"], "--timeout: nan is no time limit"),
        (["evaluate", "--student", "x"], "--problems and --out"),
        (["decoders", *DECODED, "--problems", "p.jsonl", "--decoder", "poem"], "--decoder: 'poem'"),
        (["decoders", *DECODED, "--problems", "a/p.jsonl", "--problems", "b/p.jsonl"], "NAME=URI"),
        (["verifier", "--student", "x", "--problems", "p.jsonl"], "'x' is no folder with a student"),
        (["evaluate", *DECODED, "--problems", "p.jsonl", "--engine", "auto"], "--engine: 'auto' is not available"),
        (["ask", "1 + 1?", "--student", "x", "--decode", "bem"], "--decode: 'bem' is not available"),
        (["ask", "1 + 1?", "--student", "x", "--decode", "beam", "--samples", "4"], "--samples is for votes"),
        (["evaluate", "quick", "--engine", "vllm"], "--engine goes with --student. A run's recipe says it"),
        (["evaluate", "quick", "--max-tokens", "99"], "--max-tokens goes with --student. A run's recipe says it"),
        (
            ["evaluate", "quick", "--decode", "vote"],
            "--decode goes with --student. A run's recipe says it: decode.kind=vote.",
        ),
        (
            ["evaluate", "quick", "--limit", "9"],
            "--limit goes with --student. A run's recipe says it: evaluate.limit=9.",
        ),
        (
            ["evaluate", "quick", "--samples", "8"],
            "--samples goes with --student. A run's recipe says it: decode.samples=8",
        ),
        (["evaluate", "quick", "--json"], "--json goes with --student."),
        (["evaluate", "--student", "x", "decode.kind=vote"], "decode.kind=vote goes with a run, not with --student."),
        (["evaluate", "--student", "x", "--run-dir", "y"], "--run-dir goes with a run, not with --student."),
        (["evaluate", "quick", "--rounded"], "--rounded goes with --student. A run's recipe says it"),
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
    asked = process("status", "nowhere", "--debug")
    assert "Traceback" in asked.stderr
    assert asked.returncode == process("status", "nowhere").returncode == 2


def test_plan_is_a_stage_of_its_own_and_may_be_tried_with_other_values(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert pad_ray("plan", recipe, "--run-dir", run).returncode == 0
    found = json.loads(pad_ray("status", run, "--json").stdout)
    assert found["state"] == "partial"
    assert [(s["round"], s["stage"], s["state"], s["new"]) for s in found["stages"]] == [(0, "plan", "done", 1)]
    assert pad_ray("plan", recipe, "seed=3", "--run-dir", run).returncode == 0
    assert "seed: 3" in (run / "recipe.yaml").read_text()


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


def test_execute_rounds_when_asked_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(json.dumps({"id": "a", "program": "ans = 17.6", "answer": "18"}) + "\n")
    result = pad_ray("execute", tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--workers", 1, "--rounded")
    assert result.stdout.splitlines()[-1] == "1 correct (numbers rounded)", result.stderr


def test_a_malformed_row_is_named_and_no_half_result_is_left(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": "a", "program": "x"}\n{broken\n')
    result = pad_ray("execute", tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert result.returncode == 2
    assert "in.jsonl:2" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_the_built_in_recipes_are_listed_with_what_they_take_and_can_be_read_whole() -> None:
    result = pad_ray("recipes")
    assert result.returncode == 0
    line = next(line for line in result.stdout.splitlines() if line.startswith("quick"))
    assert "a faulty teacher" in line
    assert "about two minutes on two cores" in line
    assert "(default)" in result.stdout
    assert pad_ray("recipes", "quick").stdout == recipe_source("quick")


def test_a_first_recipe_is_written_and_the_next_command_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"question": "1 + 1?", "answer": 2}\n')
    result = pad_ray("init", "--problems", "mine.jsonl", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "and run it: pad-ray distill my_recipe.yaml"
    assert load_recipe(str(tmp_path / "my_recipe.yaml")).problems.train == "mine.jsonl"
    again = pad_ray("init", folder=tmp_path)
    assert again.returncode == 2
    assert "my_recipe.yaml exists and is kept" in again.stderr


def test_status_says_what_it_counts_and_names_runs_inside_a_folder(recipe: Path, tmp_path: Path) -> None:
    pad_ray("plan", recipe, "--run-dir", tmp_path / "runs" / "one")
    assert " 1 request " in pad_ray("status", tmp_path / "runs" / "one").stdout
    assert f"These are: {tmp_path / 'runs' / 'one'}." in pad_ray("status", tmp_path / "runs").stderr


def test_status_tells_of_a_calibration_which_counts_nothing(tmp_path: Path) -> None:
    stages = [Stage(round=-1, stage="calibrate", state="done", seconds=7), Stage(round=0, stage="train", new=5)]
    Manifest(recipe_hash="0", stages=stages).save(Storage(tmp_path))
    result = pad_ray("status", tmp_path)
    assert result.returncode == 0, result.stderr
    calibration, training = result.stdout.splitlines()[1:3]
    assert calibration.split() == ["untrained", "calibrate", "done", *duration(7).split()]
    assert "5 steps" in training


def test_status_tells_what_the_held_out_questions_of_a_round_said(tmp_path: Path) -> None:
    found = {"questions": 12, "best_step": 1100, "best_loss": 0.5, "exported_step": 1100, "stopped_early": True}
    stages = [
        Stage(round=0, stage="train", state="done", counts={"validation": found}),
        Stage(round=1, stage="train", state="done"),
    ]
    Manifest(recipe_hash="0", stages=stages).save(Storage(tmp_path))
    said = pad_ray("status", tmp_path).stdout
    lowest = "0.500 at its lowest, after step 1,100, which is exported; stopped early"
    assert f"round 0    loss on 12 held-out questions: {lowest}\n" in said
    assert json.loads(pad_ray("status", tmp_path, "--json").stdout)["validation"] == [{"round": 0, **found}]


def test_a_long_line_is_not_wrapped_without_a_terminal(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / ("deep/" * 20) / "run"
    assert f"pad-ray: recipe t in {run}\n" in pad_ray("plan", recipe, "--run-dir", run).stderr


@pytest.mark.parametrize(
    ("arguments", "resumes"),
    [
        (["distill", "quick"], True),
        (["evaluate", "quick"], True),
        (["evaluate", "--student", "x"], False),
        (["serve", "--student", "x"], False),
        (["doctor"], False),
    ],
)
def test_only_what_can_be_resumed_is_said_to_resume(
    arguments: list[str], resumes: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise SystemExit(cli.INTERRUPTED)

    monkeypatch.setattr(cli, "app", interrupted)
    monkeypatch.setattr(sys, "argv", ["pad-ray", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 130
    assert ("the same command resumes" in capsys.readouterr().err) is resumes


def test_an_evaluation_is_summed_up_in_two_lines() -> None:
    summary = {"n": 20, "correct": 12, "accuracy": 0.6, "ci95": [0.387, 0.7812], "executable_rate": 0.95}
    said = evaluation_lines({**summary, "tokens": 1234, "seconds": 75.2}, "out")
    assert said.splitlines() == [
        "12 of 20 questions right: 60.0 % (95 % interval 38.7 – 78.1); 95.0 % of the programs ran to their end.",
        "1,234 tokens in 1 min 15 s. Every answer: out/answers.jsonl; these figures: out/summary.json",
    ]
    lenient = evaluation_lines({**summary, "tokens": 1234, "seconds": 75.2, "match": "rounded"}, "out")
    assert lenient.startswith("12 of 20 questions right, numbers rounded: 60.0 %")
