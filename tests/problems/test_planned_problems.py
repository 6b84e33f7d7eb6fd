"""`pad-ray plan` on good and bad problems: what it says, in which words, under which key of the recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pad_ray.errors import ProblemError, RecipeError
from pad_ray.flow.plan import plan, sentences
from pad_ray.recipe_file import parse_recipe
from pad_ray.run import open_run

LONG = "a farmer sells {} boxes of eggs and every single box of them holds exactly a dozen"


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def row(name: str, question: str = "", answer: Any = 2) -> dict[str, Any]:
    return {"id": name, "question": question or f"What is {name}?", "answer": answer}


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Any]:
    return {
        "name": "t",
        "problems": {"train": write(tmp_path / "train.jsonl", row("a"), row("b"))},
        "teacher": {"path": write(tmp_path / "replies.jsonl", {"problem_id": "a", "text": "x"})},
        "student": {"model": "none"},
    }


def planned(tree: dict[str, Any], folder: Path) -> tuple[list[str], dict[str, Any]]:
    """What the plan says, and what it counted."""
    with open_run(parse_recipe(tree), str(folder / "run")) as run:
        plan(run, 0)
        return sentences(run), run.manifest.stages[0].counts


def test_the_plan_says_in_words_what_was_left_out(tree: dict[str, Any], tmp_path: Path) -> None:
    train = [row("a"), row("b"), row("c", LONG.format(4)), row("d", "What is e?"), row("f", answer=None)]
    tree["problems"]["train"] = write(tmp_path / "train.jsonl", *train)
    suite = write(tmp_path / "suite.jsonl", row("e"), row("g", LONG.format(5)), row("h", answer=" "))
    tree["problems"]["eval"] = {"dev": suite}
    said, counts = planned(tree, tmp_path)
    assert said == [
        "2 training problems (left out: 1 also in an evaluation suite, 1 without an answer, 1 sharing 13 words in a row"
        " with an evaluation question), 1 requests",
        "1 training problems have no recorded reply",
        "suite dev: 2 problems (left out: 1 without an answer)",
    ]
    assert (counts["dropped"]["shares_13_gram"], counts["overlap"]) == (1, 0)


def test_templates_of_one_gym_task_are_kept_and_told(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["problems"] = {
        "train": "gym://gsm_symbolic?size=60&seed=7&templates=train",
        "eval": {"same": "gym://gsm_symbolic?size=60&seed=90007&templates=train"},
    }
    replies = [{"problem_id": f"gsm_symbolic/7/{index}", "text": "x"} for index in range(60)]
    tree["teacher"]["path"] = write(tmp_path / "replies.jsonl", *replies)
    said, counts = planned(tree, tmp_path)
    assert not counts["dropped"]
    assert counts["overlap"] > 0
    assert f"{counts['overlap']} of them share 13 words in a row" in said[1]
    assert said[2].startswith(
        f"{60 - counts['problems']} recorded replies are not needed: they answer problems outside"
    )


def test_a_recording_of_other_problems_is_refused_with_both_ids_and_the_file(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    recording = write(tmp_path / "replies.jsonl", {"problem_id": "elsewhere", "text": "x"})
    with pytest.raises(RecipeError, match="no reply to any of the training problems") as caught:
        planned(tree, tmp_path)
    for named in (recording, "teacher.path", "'elsewhere'", "problems.train", "'a'"):
        assert named in caught.value.message


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"train": "nowhere.jsonl"}, "problems.train: there is no file nowhere.jsonl"),
        ({"eval": {"dev": "nowhere.jsonl"}}, "problems.eval.dev: there is no file nowhere.jsonl"),
        (
            {"eval": {"dev": ["gym://lcm", "gym://lmc"]}},
            "problems.eval.dev: gym://lmc: there is no gym task 'lmc'. Near",
        ),
        ({"eval": {"dev": "x.csv"}}, "problems.eval.dev: 'x.csv' is neither .jsonl, .json nor .parquet"),
    ],
)
def test_a_wrong_path_is_named_with_its_key(
    tree: dict[str, Any], tmp_path: Path, section: dict[str, Any], said: str
) -> None:
    tree["problems"] |= section
    with pytest.raises(ProblemError) as caught:
        planned(tree, tmp_path)
    assert said in str(caught.value)


def test_a_suite_without_any_answers_is_refused(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["problems"]["eval"] = {"dev": write(tmp_path / "dev.jsonl", row("x", answer=None), row("y", answer=""))}
    with pytest.raises(ProblemError) as caught:
        planned(tree, tmp_path)
    assert str(caught.value) == (
        f"problems.eval.dev: of 2 dev problems ({tmp_path / 'dev.jsonl'}) none can be used: 2 without an answer."
        " Each row needs a question and its answer: nothing can be checked without one."
    )


def test_training_on_nothing_but_the_suite_is_refused(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["problems"]["eval"] = {"dev": tree["problems"]["train"]}
    with pytest.raises(ProblemError, match=r"none can be used: 2 also in an evaluation suite\. Train on other"):
        planned(tree, tmp_path)
