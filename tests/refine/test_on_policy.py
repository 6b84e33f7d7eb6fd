"""Repairs: the student's failure, the interpreter's real message, and a program that is known to be right."""

from __future__ import annotations

from collections import Counter

from pad_ray.outcomes import Outcome
from pad_ray.records import Problem, Verdict
from pad_ray.refine.on_policy import nearest, repairs

PROBLEM = Problem("p1", "How many?", "4", "s")
RIGHT = "def solution():\n    a = 2\n    return a + 2\n"


def failure(program: str, outcome: Outcome, detail: str = "", k: int = 0) -> tuple[Problem, Verdict]:
    return PROBLEM, Verdict(f"p1#program.r1.k{k}", program, outcome, detail=detail)


def made(*failures: tuple[Problem, Verdict], verified: dict[str, list[str]] | None = None, cap: int = 9):  # type: ignore[no-untyped-def]
    dropped = Counter[str]()
    known = {"p1": [RIGHT]} if verified is None else verified
    found = repairs(failures, known, thought="program", round_=1, max_per_problem=cap, max_chars=200, dropped=dropped)
    return found, dropped


def test_a_failure_is_paired_with_the_message_and_a_verified_program() -> None:
    faulty = "def solution():\n    return a + 2\n"
    (example,), _ = made(failure(faulty, Outcome.RUNTIME_ERROR, "NameError: name 'a' is not defined"))
    assert example.prompt == (
        "Question: How many?\nProgram:\ndef solution():\n    return a + 2\n"
        "Error: NameError: name 'a' is not defined\nFix:\n"
    )
    assert (example.completion, example.task, example.origin, example.round) == (RIGHT, "repair", "student", 1)
    assert example.example_id == "p1#program.r1.k0!repair"


def test_a_wrong_value_is_repaired_without_showing_the_answer() -> None:
    (example,), _ = made(failure("def solution():\n    return 17\n", Outcome.WRONG_ANSWER))
    assert "4" not in example.prompt


def test_what_gives_no_repair_is_counted() -> None:
    _, dropped = made(
        failure("x = 1\n", Outcome.TIMEOUT, k=0),
        failure("x = 1\n", Outcome.TIMEOUT, k=1),
        failure("y = 1\n", Outcome.NO_ANSWER, k=2),
        failure("", Outcome.REFUSED, k=3),
        failure("z = 1\n", Outcome.SANDBOX_ERROR, k=4),
        failure("w" * 300, Outcome.SYNTAX_ERROR, k=5),
        cap=1,
    )
    assert dropped == {"duplicate_failure": 1, "over_cap": 1, "failure_without_program": 2, "too_long": 1}
    _, dropped = made(failure("x = 1\n", Outcome.TIMEOUT), verified={})
    assert dropped == {"failure_without_verified_program": 1}


def test_the_verified_program_that_is_closest_is_the_target() -> None:
    other = "import math\n\ndef solution():\n    return math.lcm(2, 4)\n"
    assert nearest("def solution():\n    a = 3\n    return a + 2\n", [other, RIGHT]) == RIGHT
