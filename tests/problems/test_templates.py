"""Coin flips and last letters: made from a seed, right, and kept apart from what a test set holds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pad_ray.errors import ProblemError
from pad_ray.problems import take_in
from pad_ray.problems.decontamination import normal
from pad_ray.problems.templates import names
from pad_ray.records import Problem

TASKS = ("coin_flip", "last_letters")


def made(task: str, options: str = "size=200&seed=7") -> list[Problem]:
    return take_in(f"task://{task}?{options}", "train").problems


def test_a_coin_flipped_by_an_odd_number_of_people_is_no_longer_heads_up() -> None:
    problems = made("coin_flip")
    for problem in problems:
        flips = len(re.findall(r"\w flips the coin\.", problem.question))
        assert problem.answer == ("no" if flips % 2 else "yes")
        assert problem.rationale.endswith("tails up." if flips % 2 else "heads up.")
        assert flips + problem.question.count("does not flip") == 4
    assert 60 < sum(problem.answer == "yes" for problem in problems) < 140


def test_last_letters_are_those_of_the_words_in_order() -> None:
    for problem in made("last_letters", "size=50&people=3"):
        [words] = re.findall(r'"(.*)"', problem.question)
        assert problem.answer == "".join(word[-1] for word in words.split()) and len(words.split()) == 3


@pytest.mark.parametrize("task", TASKS)
def test_items_are_drawn_from_the_seed_and_know_where_they_come_from(task: str) -> None:
    first = made(task)
    assert made(task) == first == made(task, "size=300&seed=7")[:200]
    assert first[5].problem_id == f"{task}/7/5" and first[5].source == task
    other = {problem.question for problem in made(task, "size=200&seed=8")}
    assert len({problem.question for problem in first} & other) < 3


def test_the_names_are_single_words_and_different() -> None:
    assert len(names()) == len(set(names())) > 150 and all(name.isalpha() and name.istitle() for name in names())


@pytest.mark.parametrize("task", TASKS)
def test_held_out_names_and_other_lengths_make_other_items_with_ids_of_their_own(task: str) -> None:
    kinds = ("size=40&seed=7", "size=40&seed=7&people=3", "size=40&seed=7&names=train", "size=40&seed=7&names=heldout")
    every = take_in([f"task://{task}?{kind}" for kind in kinds], "train")
    assert len({one.problem_id for one in every.problems}) == len(every.problems) > 155
    train, held_out = (
        {name for one in made(task, kind) for name in re.findall(r"\w+", one.question)} & set(names())
        for kind in kinds[2:]
    )
    assert not train & held_out and len(held_out) > 20 and len(train) > 80
    invented = made(task, "size=40&seed=7&names=invented")
    words = [name for one in invented for name in re.findall(r"\b[A-Z][a-z]+\b", one.question)]
    assert len(set(words) - set(names())) > 100 and all(
        one.problem_id == f"{task}/7-namesinvented/{n}" for n, one in enumerate(invented)
    )
    with pytest.raises(ProblemError, match="names is 'half'"):
        made(task, "names=half")


@pytest.mark.parametrize("task", TASKS)
def test_an_evaluation_item_is_left_out_and_what_only_shares_its_template_is_kept(task: str, tmp_path: Path) -> None:
    problems = made(task)
    held_out = tmp_path / "test.jsonl"
    rows = [
        {"id": f"test-{i}", "question": one.question.upper(), "answer": one.answer}
        for i, one in enumerate(problems[:5])
    ]
    held_out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    suite = take_in(f"task://{task}?path={held_out}", "test").problems
    found = take_in(f"task://{task}?size=200&seed=7", "train", exclude=suite)
    assert found.dropped == {"in_evaluation": 5} and len(found.problems) == 195
    assert found.overlap == (195 if task == "coin_flip" else 0)


@pytest.mark.parametrize("task", TASKS)
def test_no_item_is_one_of_the_published_test_sets(task: str, shared_data: Path) -> None:
    path = shared_data / f"{task}.jsonl"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside this checkout")
    suite = take_in(f"task://{task}?path={path}", "test").problems
    questions = {normal(problem.question) for problem in suite}
    train = take_in([f"task://{task}?size=2000&seed=7"], "train", exclude=suite)
    assert len(suite) > 400 and len(train.problems) > 1_900 and train.dropped["shares_13_gram"] == 0
    assert not questions & {normal(problem.question) for problem in train.problems}
