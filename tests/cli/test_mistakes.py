"""Mistakes on the command line that were once answered misleadingly: what is said, and that nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_commands import DECODED, pad_ray

from pad_ray import __version__


@pytest.mark.parametrize("command", ["sample", "judge", "curate", "train", "evaluate"])
def test_a_round_that_the_recipe_does_not_have_starts_and_writes_nothing(tmp_path: Path, command: str) -> None:
    result = pad_ray(command, "quick", "--round", 7, "--run-dir", "run", folder=tmp_path)
    assert result.returncode == 2
    assert "--round: 7 is not between" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_told() -> None:
    assert pad_ray("--version").stdout == f"pad-ray {__version__}\n"


BOTH = {"recipe.yaml": "name: r\nproblems: {train: p.jsonl}\n", "study.yaml": "name: s\nrecipe: quick\narms: {a: {}}\n"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "formats"], "'formats' is a study, not a recipe. Run it with `pad-ray study formats`."),
        (["study", "quick"], "'quick' is a recipe, not a study. Run it with `pad-ray distill quick`."),
        (["plan", "study.yaml"], "'study.yaml' is a study, not a recipe. Run it with `pad-ray study study.yaml`."),
        (["study", "recipe.yaml"], "'recipe.yaml' is a recipe, not a study."),
        (["study", "empty.yaml"], "empty.yaml holds no keys. A study starts with `name:`"),
        (
            ["plan", "nope.yaml"],
            "there is no file nope.yaml. Check the path; relative ones start at the working folder.",
        ),
        (["study", "nope.yaml"], "there is no file nope.yaml. Check the path"),
        (["plan", "quick", "train.lr"], "train.lr lacks =VALUE."),
        (["study", "ingredients", "foo=1"], "unknown key 'foo' (in the command line)."),
        (["study", "ingredients", "train.lr=x"], "(in the command line)."),
        (["plan", "quick", "train.workers=[4, 1]"], "[4, 1]: the first number (fewest) is larger than the second"),
        (["plan", "quick", "student.model=nope"], "student.model: the folder 'nope' does not exist."),
        (
            ["plan", "quick", "student.model=wheel://nope"],
            "student.model: 'wheel://nope' is not known. There is: wheel:/",
        ),
        (["plan", "quick", "student.model=ftp://nope"], "student.model: 'ftp://nope' has an unknown scheme 'ftp'."),
        (["plan", "quick", "problems.train=[]"], "problems.train: no file is named."),
        (["plan", "quick", "problems.train=s3://"], "problems.train: 's3://' is no place in S3."),
        (["plan", "quick", "student.lora=3"], "student.lora: 3 is not allowed (input should be a section of keys)"),
        (["plan", "quick", "problems.train=gym://lcm?foo=1"], "does not take these options (there is no option 'foo')"),
        (["decoders", *DECODED, "--problems", "p", "--decoder", "foo"], "'foo': there is no kind 'foo'. Kinds: greedy"),
        (["decoders", *DECODED, "--problems", "p", "--decoder", "vote:x=1"], "there is no key 'x'. Kinds: greedy"),
        (["serve", "--student", "x", "--port", "99999"], "--port: 99999 is no port. Choose one"),
    ],
)
def test_a_mistake_is_answered_in_its_own_words(tmp_path: Path, arguments: list[str], said: str) -> None:
    for name, text in {**BOTH, "empty.yaml": ""}.items():
        (tmp_path / name).write_text(text)
    result = pad_ray(*arguments, folder=tmp_path)
    assert result.returncode == 2, result.stderr
    assert said in result.stderr


def test_a_study_whose_file_is_wrong_blames_the_file_although_keys_were_said(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: s\nrecipe: quick\noverrides: {foo: 1}\nreference: a\narms: {a: {}}\n")
    result = pad_ray("study", "study.yaml", "train.epochs=2", folder=tmp_path)
    assert "unknown key 'foo' (in overrides of study.yaml)." in result.stderr


def test_a_missing_file_of_programs_is_told_before_any_progress(tmp_path: Path) -> None:
    result = pad_ray("execute", "nope.jsonl", "o.jsonl", folder=tmp_path)
    assert result.stderr.splitlines()[0].startswith("pad-ray: there is no file nope.jsonl.")


@pytest.mark.parametrize("command", [("report",), ("export-examples", "--out", "o.jsonl"), ("compare",)])
def test_what_is_no_run_is_told_as_status_tells_it(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = pad_ray(*command, ".", folder=tmp_path)
    assert result.returncode == 2
    assert "is not a run folder: it has no manifest.json. Give the --run-dir of a distill call" in result.stderr
