"""Chains and equations go the whole way of a run: worked solutions are judged, taught, asked for and measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pad_ray.errors import RecipeError
from pad_ray.evaluate.card import write_card
from pad_ray.evaluate.report import write_report
from pad_ray.evaluate.story import read_story
from pad_ray.flow.plan import plan, sentences
from pad_ray.flow.progress import Reporter
from pad_ray.flow.students import bring_base_student
from pad_ray.one_sample import show
from pad_ray.reasoner import Reasoner, student_thoughts
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Example, Verdict
from pad_ray.refine.rounds import distill
from pad_ray.run import open_run
from pad_ray.storage import Storage
from pad_ray.thoughts import THOUGHTS
from tests.tiny_student import make_tiny_student

ASKED = "Box of 3 and 4?"
KNOWN = {
    "chain": "3+4 = 7\n#### 7\n",
    "equation": "eggs = 3 + 4\nans = eggs\n",
    "socratic": "1) Eggs?\n3+4 = 7. ## 7\n",
}


LEFT_OUT = {"chain": "1 no marks", "equation": "1 ends elsewhere, 1 no calculation", "socratic": "2 no sub question"}


def problems(folder: Path) -> dict[str, str]:
    """Ten solutions as those of GSM8K in its Socratic form, one without a mark and one that ends elsewhere."""
    rows: list[dict[str, Any]] = []
    for n in range(2, 12):
        steps = [
            {"question": "How many eggs?", "answer": f"It holds {n}*2 = <<{n}*2={2 * n}>>{2 * n} eggs."},
            {"question": "How many with 1 more?", "answer": f"{2 * n}+1 = <<{2 * n}+1={2 * n + 1}>>{2 * n + 1} eggs."},
        ]
        rows.append({"id": f"p{n}", "question": f"Rows of {n}?", "answer": 2 * n + 1, "steps": steps})
    rows.append({"id": "bare", "question": "How bare?", "answer": "It is bare.\n#### 5"})
    rows.append({"id": "odd", "question": "How odd?", "answer": "It is <<1+1=2>>2.\n#### 3"})
    asked = [{"question": ASKED, "answer": 7, "steps": [{"question": "Eggs?", "answer": "3+4 = 7."}]}]
    for name, some in (("train", rows), ("unseen", asked)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    return {"train": str(folder / "train.jsonl"), "unseen": str(folder / "unseen.jsonl")}


def recipe(folder: Path, thought: str | list[str], **more: Any) -> Recipe:
    files = problems(folder)
    tree = {
        "name": "t",
        "problems": {"train": files["train"], "eval": {"unseen": files["unseen"]}},
        "teacher": {"kind": "worked", "workers": 1},
        "thought": thought,
        "sandbox": {"timeout_s": 20, "workers": 1},
        "student": {"model": str(folder / "student")},
        "train": {"max_steps": 2, "lr": 1.0e-6, "tokens_per_batch": 512, "max_length": 512},
        "refine": {"rounds": 0},
        "decode": {"max_tokens": 40},
        "evaluate": {"baselines": ["zero_shot"] if thought == "socratic" else ["zero_shot", "few_shot"]},
    }
    return parse_recipe(tree | more)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("thought", KNOWN)
def test_a_run_teaches_asks_for_and_measures_the_form_of_its_recipe(thought: str, tmp_path: Path) -> None:
    form, folder = THOUGHTS[thought], tmp_path / "run"
    known = [(one.prompt, one.completion) for one in form.lessons(ASKED, KNOWN[thought])]
    make_tiny_student(tmp_path / "student", known, context=1024)
    with open_run(recipe(tmp_path, thought), str(folder)) as run:
        bring_base_student(run, print)
        distill(run, Reporter(Console(quiet=True)))
        assert f"no worked solution in the wanted form ({LEFT_OUT[thought]})" in "\n".join(sentences(run))
    storage = Storage(folder)
    examples = list(storage.scan_rows("round-0/examples", Example))
    verdicts = list(storage.scan_rows("round-0/verdicts", Verdict))
    taught = 11 if thought == "chain" else 10  # a chain is as good as its answer
    assert len(verdicts) == taught and {one.outcome.value for one in verdicts} == {"correct"}
    # A dialogue of two sub-questions is three lessons.
    assert len(examples) == (3 * taught if thought == "socratic" else taught)
    assert {one.thought for one in examples} == {thought}
    # What the student knew before it knows in the form it was asked in, before and after.
    before = json.loads((folder / "base/eval/unseen/zero_shot/summary.json").read_text())
    after = json.loads((folder / "round-0/eval/unseen/summary.json").read_text())
    assert before["correct"] == after["correct"] == 1
    assert (after["executable_rate"], after["thought"]) == (1, thought)
    calculated = {"right": 1, "calculate": 1, "faulty": 0}
    assert after.get("arithmetic") == (None if thought == "equation" else calculated)
    if thought == "socratic":
        assert after["oracle_sub_questions"]["n"] == after["oracle_sub_questions"]["correct"] == 1
    assert student_thoughts(folder / "round-0/student") is form
    # And it is called by its name.
    page, card = Path(write_report(folder)).read_text(), Path(write_card(folder, 0) or "").read_text()
    assert f"learns to reason by writing {form.NAMES[1]}, from the worked solutions of its problems." in page
    assert form.ABOUT in card and "Never `exec` it" not in card
    assert "program" not in page.partition("<h2>How it was made</h2>")[0]
    assert read_story(storage).rounds[0].correct == taught
    assert show(folder, f"p2#{thought}.r0.k0").fate.startswith("It became the ")


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_one_student_learns_several_forms_and_lets_them_vote(tmp_path: Path) -> None:
    folder, names = tmp_path / "run", ["program", "equation", "chain"]
    # It knows the answer as a program and as a system, and a wrong one as a chain.
    texts = {**KNOWN, "program": "def solution():\n    return 3 + 4\n", "chain": "3+4 = 8\n#### 8\n"}
    known = [(THOUGHTS[name].student_prompt(ASKED), texts[name]) for name in names]
    make_tiny_student(tmp_path / "student", known, context=1024)
    several = recipe(tmp_path, ["chain", "program", "equation"], evaluate={"baselines": ["direct"]})
    with open_run(several, str(folder)) as run:
        bring_base_student(run, print)
        distill(run, Reporter(Console(quiet=True)))
        write_card(folder, 0)
    storage = Storage(folder)
    examples = list(storage.scan_rows("round-0/examples", Example))
    assert {name: sum(one.thought == name for one in examples) for name in names} == {
        "program": 10, "equation": 10, "chain": 11,
    }  # fmt: skip
    assert {one.prompt.rstrip().rpartition("\n")[2] for one in examples} == {"Program:", "Equations:", "Solution:"}
    verdicts = list(storage.scan_rows("round-0/verdicts", Verdict))
    assert len(verdicts) == 31 and {one.outcome.value for one in verdicts} == {"correct"}, "each was judged by itself"
    after = json.loads((folder / "round-0/eval/unseen/summary.json").read_text())
    assert (after["correct"], after["thought"]) == (1, names)
    assert {name: one["correct"] for name, one in after["by_form"].items()} == {"program": 1, "equation": 1, "chain": 0}
    with Reasoner.load(folder / "round-0/student", timeout_s=20) as reasoner:
        answer = reasoner.solve(ASKED, max_tokens=40)
    assert (answer.answer, answer.votes, answer.program) == ("7", {"7": 2, "8": 1}, texts["program"])
    assert "by writing solutions, from the worked" in Path(write_report(folder)).read_text()
    assert "whose values vote" in (folder / "round-0/student/README.md").read_text()
    assert show(folder, "p2#chain.r0.k0").fate.startswith("It became the ")


def test_worked_solutions_are_refused_where_no_problem_has_one(tmp_path: Path) -> None:
    (tmp_path / "bare.jsonl").write_text(json.dumps({"question": "How bare?", "answer": "5"}) + "\n")
    bare = recipe(tmp_path, "chain", problems={"train": str(tmp_path / "bare.jsonl")})
    with (
        open_run(bare, str(tmp_path / "run")) as run,
        pytest.raises(RecipeError, match=r"none of the training problems .* thought: chain \(1 no marks\)"),
    ):
        plan(run, 0)


def test_of_every_form_only_problems_that_have_all_of_them_are_taken(tmp_path: Path) -> None:
    every = recipe(tmp_path, "chain", teacher={"kind": "worked", "every_form": True})
    with open_run(every, str(tmp_path / "run")) as run:
        plan(run, 0)
        assert sentences(run)[0] == "12 training problems, 10 requests"
        assert "(1 no marks, 1 not in every form)" in sentences(run)[1]
