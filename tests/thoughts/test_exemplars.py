"""The exemplars shown to a teacher: right, new to every data set, and combined into contexts that differ."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from pad_ray.errors import RecipeError
from pad_ray.outcomes import Outcome
from pad_ray.problems.decontamination import normal, runs
from pad_ray.sandbox import Sandbox
from pad_ray.thoughts import THOUGHTS, chain
from pad_ray.thoughts.exemplars import Exemplar, contexts_of, packaged_exemplars, read_exemplars
from pad_ray.thoughts.files import prompt_text
from pad_ray.thoughts.program import parse, teacher_messages, unfit

# Worked out by hand, by the first words of the question.
ANSWERS = {
    "Noor is 4": 26,  # 60 - 12 = 48 today, 22 and 26
    "A ferry carries": 3735,  # 432 + 315 = 747, five times
    "A herb garden": 138,  # 46 metres, 23 posts
    "A beekeeper fills": 132,  # 9 a hive, then 12, of 11 hives
    "Farah reads 22": 47,  # 140 - 93
    "A printer packs": 640,  # 20 boxes and 40 cards
    "A tent costs": 5,  # 240 - 36 - 9 = 195
    "A train leaves": 35,  # 115 minutes after 8:40 it is 10:35
    "A theatre sells": 60,  # 1,800 for adults alone, 6 less for each child
}


@pytest.mark.parametrize("thought", THOUGHTS)
def test_the_packaged_exemplars_are_right_in_every_form(thought: str) -> None:
    exemplars = packaged_exemplars(thought)
    assert len(exemplars) == 8 and not any(THOUGHTS[thought].unfit(one.program) for one in exemplars)
    with Sandbox(level="degraded", timeout_s=10.0) as box:
        executions = THOUGHTS[thought].conclude(box.run, [one.program for one in exemplars])
    for one, execution in zip(exemplars, executions, strict=True):
        gold = next(answer for start, answer in ANSWERS.items() if one.question.startswith(start))
        assert execution.outcome is Outcome.OK, (one.question, execution.detail)
        assert float(execution.value or "nan") == gold, one.question


def test_the_packaged_exemplars_have_the_papers_form() -> None:
    for one in packaged_exemplars("program"):
        lines = one.program.splitlines()
        assert lines[0] == "def solution():"
        assert lines[-2].startswith("    result = ")
        assert lines[-1] == "    return result"
        assert any(line.startswith("    # ") for line in lines)


def test_no_packaged_exemplar_is_a_question_of_an_evaluation_or_of_gsm8k(shared_data: Path) -> None:
    shown = {normal(one.question) for thought in THOUGHTS for one in packaged_exemplars(thought)}
    # And the short one, that is shown where there are no contexts.
    shown.add(normal(prompt_text("exemplar_question").removeprefix("Q:")))
    shown_runs = {run for question in shown for run in runs(question)}
    evaluated = [path for path in shared_data.glob("*.jsonl") if not re.match(r"recorded_|.*_train", path.name)]
    names = {path.stem for path in evaluated}
    assert {"gsm8k_test_dev", "gsm8k_socratic_test_dev", "svamp_dev", "multiarith_dev", "coin_flip"} <= names
    for path in [*evaluated, shared_data / "gsm8k_train.jsonl"]:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        assert len(rows) > 100
        for row in rows:
            assert normal(row["question"]) not in shown, (path.name, row["question"])
            assert shown_runs.isdisjoint(runs(row["question"])), (path.name, row["question"])


def test_the_arithmetic_of_the_packaged_chains_holds() -> None:
    for one in packaged_exemplars("chain"):
        done = chain.checked(one.program)
        assert done.claims >= 3 and not done.wrong, one.question


def test_contexts_differ_and_use_every_exemplar_equally_often() -> None:
    made = contexts_of(packaged_exemplars("program"), 8)
    assert {len(context) for context in made} == {4}
    assert len({frozenset(context) for context in made}) == 8
    assert set(Counter(one for context in made for one in context).values()) == {4}


@pytest.mark.parametrize("there", [5, 6, 7, 9, 12, 30])
def test_as_many_contexts_as_exemplars_can_be_made_of_any_number(there: int) -> None:
    made = contexts_of([Exemplar(f"q{n}", "") for n in range(there)], there)
    assert len({frozenset(context) for context in made}) == there


@pytest.mark.parametrize(("there", "count", "most"), [(8, 9, 8), (4, 2, 1), (3, 1, 0)])
def test_more_contexts_than_the_exemplars_make_are_refused(there: int, count: int, most: int) -> None:
    with pytest.raises(RecipeError, match=rf"teacher\.contexts: {there} exemplars make {most} "):
        contexts_of([Exemplar(f"q{n}", "") for n in range(there)], count)


def test_a_context_comes_before_the_question_as_turns_of_a_chat() -> None:
    context = contexts_of(packaged_exemplars("program"), 1)[0]
    messages = teacher_messages("How many?", context)
    assert [message.role for message in messages] == ["system", *["user", "assistant"] * 4, "user"]
    assert messages[-1].content == "Q: How many?"
    for one, asked, written in zip(context, messages[1:-1:2], messages[2::2], strict=True):
        assert asked.content == f"Q: {one.question}"
        assert parse(written.content).program.strip() == one.program.strip()


def test_own_exemplars_are_read_and_a_bad_row_is_named_with_its_line(tmp_path: Path) -> None:
    good = {"question": "How many legs have 3 cats?", "program": "def solution():\n    return 3 * 4\n"}
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(good) + "\n")
    shown = Exemplar(good["question"], "def solution():\n    return 3 * 4", f"{path}:1")
    assert read_exemplars(path, "program", unfit) == (shown,)
    for row, said in [
        ({"question": "q"}, "needs the texts"),
        ({**good, "program": "def solution(:"}, "is not Python"),
        ({**good, "program": "print(12)"}, r"defines no function solution\(\)"),
    ]:
        path.write_text(json.dumps(good) + "\n" + json.dumps(row) + "\n")
        with pytest.raises(RecipeError, match=rf"teacher\.exemplars: .*own\.jsonl:2.*{said}"):
            read_exemplars(path, "program", unfit)


@pytest.mark.parametrize(
    ("thought", "good", "bad", "said"),
    [
        ("chain", "3 cats have 3 * 4 = 12 legs.\n#### 12", "12 legs", "does not end in a line"),
        ("equation", "legs = 3 * 4\nans = legs", "legs = 12", "no system of equations"),
        ("equation", "legs = 3 * 4\nans = legs", "ans = legs\nlegs = 12", "lines follow"),
    ],
)
def test_own_exemplars_of_another_form_are_called_as_it_is(
    thought: str, good: str, bad: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"question": "q?", thought: good}) + "\n")
    assert read_exemplars(path, thought, THOUGHTS[thought].unfit) == (Exemplar("q?", good, f"{path}:1"),)
    for row, why in (({thought: bad}, said), ({"program": good}, "needs the texts")):
        path.write_text(json.dumps({"question": "q?", **row}) + "\n")
        with pytest.raises(RecipeError, match=why):
            read_exemplars(path, thought, THOUGHTS[thought].unfit)
