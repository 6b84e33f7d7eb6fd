"""Which programs become examples: every one that does not is counted, and no choice depends on the order of workers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pad_ray.curate.select import candidates, capped, in_balance, mix, quotas
from pad_ray.outcomes import Outcome
from pad_ray.records import Example, Problem, Verdict
from pad_ray.thoughts import program


def problem(number: int, source: str = "s") -> Problem:
    return Problem(f"p{number}", "q", "1", source)


def judged(number: int, program: str, outcome: Outcome = Outcome.CORRECT, k: int = 0) -> tuple[Problem, Verdict, str]:
    return problem(number), Verdict(f"p{number}#program.r0.k{k}", program, outcome), ""


def example(number: int, source: str = "s") -> Example:
    return Example(f"e{number}", "solve", "program", "p", "c", f"p{number}", "teacher", 0, source)


def solution(value: object) -> str:
    return f"def solution():\n    return {value}\n"


def test_every_verdict_is_kept_or_counted() -> None:
    rows = [
        judged(1, solution(1)),
        judged(1, "def solution():\n  return 1 # the same", k=1),
        judged(1, solution("1 + 0"), k=2),
        judged(1, solution(2), Outcome.WRONG_ANSWER, k=3),
        judged(2, "x = 1", k=0),
        judged(2, solution("'" + "x" * 200 + "'"), k=1),
        judged(3, solution(7)),
    ]
    dropped = Counter[str]()
    kept = candidates(program, rows, {"p3": [solution(7)]}, 100, dropped)
    assert [candidate.sample_id for candidate in kept] == ["p1#program.r0.k0", "p1#program.r0.k2"]
    assert dropped == {"duplicate_program": 2, "wrong_answer": 1, "no_entry": 1, "too_long": 1}


def test_the_cap_holds_for_each_problem_alone() -> None:
    dropped = Counter[str]()
    rows = [judged(n, solution(k), k=k) for n in (1, 2) for k in range(3)]
    kept = capped(candidates(program, rows, {}, 100, dropped), 2, dropped)
    assert Counter(candidate.problem.problem_id for candidate in kept) == {"p1": 2, "p2": 2}
    assert dropped == {"over_cap": 2}


def test_balance_limits_the_largest_source_to_a_multiple_of_the_smallest() -> None:
    share = quotas({"big": 1000, "small": 20, "none": 0}, 10)
    assert share == {"big": 0.2, "small": 1.0, "none": 1.0}
    kept = sum(in_balance(example(number, "big"), share) for number in range(1000))
    assert 150 < kept < 250
    assert quotas({"big": 1000, "small": 20}, None) == {"big": 1.0, "small": 1.0}


@given(st.integers(0, 20), st.integers(0, 20), st.floats(0, 3), st.integers())
def test_a_mixture_holds_all_new_examples_and_the_asked_replay(new: int, old: int, replay: float, seed: int) -> None:
    fresh, earlier = [example(n) for n in range(new)], [example(100 + n) for n in range(old)]
    mixture = mix(fresh, earlier, replay, seed)
    assert mixture == mix(fresh, earlier, replay, seed)
    ids = [item.example_id for item in mixture]
    assert len(ids) == len(set(ids)) == new + min(old, round(replay * new))
    assert {item.example_id for item in fresh} <= set(ids)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.floats(0.1, 3), st.integers())
def test_repairs_are_limited_to_a_ratio_of_the_other_examples_which_all_stay(
    solves: int, repairs: int, old: int, ratio: float, seed: int
) -> None:
    fresh = [example(n) for n in range(solves)] + [replace(example(50 + n), task="repair") for n in range(repairs)]
    earlier = [replace(example(100 + n), task=("solve", "repair")[n % 2]) for n in range(old)]
    whole, mixture = mix(fresh, earlier, 1, seed), mix(fresh, earlier, 1, seed, ratio)
    others = [item for item in whole if item.task == "solve"]
    assert [item for item in mixture if item.task == "solve"] == others
    assert len(mixture) - len(others) == min(len(whole) - len(others), int(ratio * len(others)))
    assert [item for item in whole if item in mixture] == mixture
