"""The tasks for lm-evaluation-harness in docs/lm_eval: they ask as students are trained, and judge as pad_ray does."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from jinja2 import Environment

from bench.lm_eval_agreement import TASKS, agreement, evaluate
from pad_ray.recipe import Decode
from pad_ray.thoughts import THOUGHTS
from tests.tiny_student import make_tiny_student

FORMS = ("chain", "program")


def task(form: str) -> dict[str, Any]:
    """The YAML of a task; what the harness takes from a module is only named here."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    return yaml.load((TASKS / f"pad_ray_{form}.yaml").read_text(), Loader)


@pytest.fixture(scope="module")
def utils() -> ModuleType:
    found = importlib.util.spec_from_file_location("lm_eval_utils", TASKS / "utils.py")
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("form", FORMS)
def test_a_task_asks_as_its_students_are_trained(form: str) -> None:
    said = task(form)
    question = "What is {{2}} + 2?\nSay it."
    prompt = Environment(keep_trailing_newline=True).from_string(said["doc_to_text"]).render(question=question)
    assert prompt == THOUGHTS[form].student_prompt(question)
    settings = said["generation_kwargs"]
    assert settings["until"] == [THOUGHTS[form].STOP] and settings["do_sample"] is False
    assert settings["max_gen_toks"] == Decode().max_tokens


def test_programs_are_run_and_their_values_compared(utils: ModuleType) -> None:
    reply = "def solution():\n    return 'yes' if 2 > 1 else 'no'\n"
    assert utils.run_program({"answer": "yes"}, [reply]) == {"exact_match": 1.0}
    assert utils.run_program({"answer": "no"}, [reply]) == {"exact_match": 0.0}
    for nothing in ("", "No idea.", "def solution():\n    return 1 / 0\n", "def solution(:\n    return 1\n"):
        assert utils.run_program({"answer": "1"}, [nothing]) == {"exact_match": 0.0}


def test_disagreement_is_found() -> None:
    ours = [{"problem_id": name, "outcome": "correct", "program": "#### 1\n"} for name in "abc"]
    theirs = [
        {"doc": {"problem_id": name}, "exact_match": right, "resps": [[text]]}
        for name, right, text in (("a", 1.0, "#### 1"), ("b", 0.0, "#### 1"), ("c", 1.0, "#### 2"))
    ]
    found = agreement(ours, theirs, "chain")
    assert (found.items, found.ours, found.theirs) == (3, 3, 2)
    assert (found.other_verdict, found.other_text) == (["b"], ["c"])
    with pytest.raises(SystemExit, match="same items"):
        agreement(ours[:2], theirs, "chain")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("form", FORMS)
def test_the_harness_says_the_same_of_a_student_item_by_item(form: str, tmp_path: Path) -> None:
    """The harness may lie anywhere on PYTHONPATH; it is no part of the development environment."""
    if subprocess.run([sys.executable, "-c", "import lm_eval"], capture_output=True).returncode:
        pytest.skip("lm-evaluation-harness is not installed here (pip install 'lm-eval[hf]')")
    rows = [{"id": f"p{n}", "question": f"{n} and {n}?", "answer": 2 * n} for n in range(1, 51)]
    texts = {
        "chain": lambda n, result: f"{n}+{n} = {result}\n#### {result}\n",
        "program": lambda n, result: f"def solution():\n    return {result}\n",
    }
    # Some it knows, one of these wrongly, and of all others it makes what it makes.
    known = [
        (THOUGHTS[form].student_prompt(row["question"]), texts[form](n, row["answer"] + (n == 2)))
        for n, row in enumerate(rows[:6], 1)
    ]
    student = make_tiny_student(tmp_path / "student", known, context=1024)
    (student / "pad_ray.json").write_text(json.dumps({"format_version": 1, "thought": form, "round": 0}))
    problems = tmp_path / "problems.jsonl"
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = evaluate(str(student), str(problems), 50, form, tmp_path / "out")
    assert found.items == 50 and 5 <= found.ours < 50
    assert not found.other_verdict and found.theirs == found.ours
    assert not found.other_text
