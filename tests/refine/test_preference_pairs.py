"""Pairs: what is taught against what the student failed with, each failure once, none of a held-out question."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pad_ray.flow.pairing import pair_shard
from pad_ray.flow.shard import Shard
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Example, Pair, Problem, Verdict
from pad_ray.refine.preference import pairs
from pad_ray.storage import Storage
from pad_ray.thoughts.program import student_prompt
from pad_ray.train.held_out import is_held_out
from tests.refine.judged_rounds import ANEW, FAILED, TAUGHT, write_judged_rounds

PROBLEM = Problem("p1", "How many?", "4", "s")


def made(*failures: tuple[str, Outcome], taught: list[str], cap: int = 9) -> tuple[list[Pair], Counter[str]]:
    dropped = Counter[str]()
    verdicts = [
        (PROBLEM, Verdict(f"p1#program.r1.k{k}", program, outcome)) for k, (program, outcome) in enumerate(failures)
    ]
    known = {"p1": taught} if taught else {}
    found = pairs(verdicts, known, thought="program", round_=1, max_per_problem=cap, max_chars=200, dropped=dropped)
    return found, dropped


def test_failures_take_turns_with_the_programs_that_are_taught() -> None:
    wrong = [(f"wrong{n}\n", Outcome.WRONG_ANSWER) for n in range(4)]
    found, _ = made(*wrong, taught=["a\n", "b\n"], cap=3)
    assert [(pair.chosen, pair.rejected) for pair in found] == [
        ("a\n", "wrong0\n"),
        ("b\n", "wrong1\n"),
        ("a\n", "wrong2\n"),
    ]
    assert found[0] == Pair(
        "p1#program.r1.k0!pair", "program", student_prompt("How many?"), "a\n", "wrong0\n", "p1", 1, "s"
    )


def test_what_gives_no_pair_is_counted() -> None:
    failures = [
        ("x = 1\n", Outcome.TIMEOUT),
        ("x = 1\n", Outcome.TIMEOUT),
        ("y = 1\n", Outcome.NO_ANSWER),
        ("", Outcome.REFUSED),
        ("z = 1\n", Outcome.SANDBOX_ERROR),
        ("w" * 300, Outcome.SYNTAX_ERROR),
    ]
    _, dropped = made(*failures, taught=["a\n"], cap=1)
    assert dropped == {"duplicate_failure": 1, "over_cap": 1, "failure_without_program": 2, "too_long": 1}
    _, dropped = made(("x = 1\n", Outcome.TIMEOUT), taught=[])
    assert dropped == {"failure_without_verified_program": 1}


def recipe(validation: float) -> Recipe:
    return parse_recipe(
        {
            "name": "t",
            "problems": {"train": "none"},
            "student": {"model": "none"},
            "train": {"validation": validation},
            "refine": {"preference": {}},
        }
    )


@pytest.mark.parametrize("validation", [0.0, 0.4])
def test_the_students_own_right_program_is_taken_before_the_teachers_and_held_out_questions_are_left_out(
    tmp_path: Path, validation: float
) -> None:
    storage = Storage(tmp_path)
    write_judged_rounds(storage)

    def taught(round_: int, *programs: tuple[int, str]) -> None:
        rows: list[Any] = [
            Example(f"p{n}/{round_}", task, "program", "", text.format(n=n), f"p{n}", "teacher", round_)
            for n, text in programs
            for task in ("solve", "repair")
            if task == "solve" or text is TAUGHT
        ]
        storage.write_rows(Shard(str(tmp_path), round_, 0).file("examples"), Example, rows)

    taught(0, (0, TAUGHT), (3, TAUGHT), (6, TAUGHT))
    taught(1, (3, ANEW))
    found, dropped = pair_shard(Shard(str(tmp_path), 1, 0), recipe(validation))
    expected = {"p0": TAUGHT.format(n=0), "p3": ANEW.format(n=3), "p6": TAUGHT.format(n=6)}
    kept = {name: text for name, text in expected.items() if not is_held_out(name, validation)}
    assert {pair.problem_id: pair.chosen for pair in found} == kept
    assert [pair.rejected for pair in found] == [FAILED.format(n=pair.problem_id[1:]) for pair in found]
    assert validation == 0 or len(kept) < 3
    assert dropped == Counter(failure_without_verified_program=not is_held_out("p9", validation))
