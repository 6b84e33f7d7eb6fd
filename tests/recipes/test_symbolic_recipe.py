"""The recipe `symbolic` keeps apart what it says it keeps apart, and every item of it has a right program."""

from __future__ import annotations

import re

from pad_ray.problems import take_in
from pad_ray.problems.templates import names, worked_program
from pad_ray.recipe_file import load_recipe
from pad_ray.records import Problem
from pad_ray.sandbox import Sandbox

RECIPE = load_recipe("symbolic")
SUITES = {name: take_in(uris, name).problems for name, uris in RECIPE.problems.eval.items()}
TRAIN = take_in(RECIPE.problems.train, "train", exclude=[one for of in SUITES.values() for one in of])


def people(problem: Problem) -> set[str]:
    """The names that a question speaks of."""
    return set(names()) & set(re.findall(r"\w+", problem.question))


def test_no_suite_asks_what_training_shows_and_two_speak_of_other_people() -> None:
    shown = set().union(*map(people, TRAIN.problems))
    assert not TRAIN.dropped and {one.source for one in TRAIN.problems} == {"coin_flip", "last_letters"}
    for name, problems in SUITES.items():
        met = set().union(*map(people, problems))
        assert (met <= set(names()) - shown) == (name in ("other_names", "longer")), name
    longest = max(len(re.findall(r"\b(?:flips|does not flip) the coin", one.question)) for one in TRAIN.problems)
    assert {len(people(one)) for one in SUITES["longer"]} == {7} and longest == 6


def test_every_item_has_a_program_that_comes_to_its_answer() -> None:
    problems = [*TRAIN.problems, *(one for of in SUITES.values() for one in of)]
    with Sandbox(timeout_s=20) as box:
        ends = box.run([worked_program(problem) for problem in problems])
    values = [end.value.strip("'\"") for end in ends]
    assert values == [problem.answer for problem in problems]
