"""Repairs from the student's real failures on training questions (PaD 2305.13888, section 3.3, on-policy).

Each failing program, with what the interpreter said of it, is paired with a verified program of the same problem.
The gold answer itself is never shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from pad_ray.records import Example, Problem, Verdict
from pad_ray.thoughts import THOUGHTS
from pad_ray.thoughts.feedback import FEEDBACK


def repairs(
    failures: Iterable[tuple[Problem, Verdict]],
    verified: Mapping[str, Sequence[str]],
    *,
    thought: str,
    round_: int,
    max_per_problem: int,
    max_chars: int,
    dropped: Counter[str],
) -> list[Example]:
    """Repair examples from failures whose problem has a verified program; the others are counted in `dropped`.

    A thought without a form of repair gives none.
    """
    form = THOUGHTS[thought].repair_prompt
    if form is None:
        return []
    return [
        Example(
            example_id=f"{verdict.sample_id}!repair",
            task="repair",
            thought=thought,
            prompt=form(problem.question, verdict.program, FEEDBACK[verdict.outcome].format(detail=verdict.detail)),
            completion=nearest(verdict.program, programs),
            problem_id=problem.problem_id,
            origin="student",
            round=round_,
            source=problem.source,
        )
        for problem, verdict, programs in usable(failures, verified, max_per_problem, max_chars, dropped)
    ]


def usable(
    failures: Iterable[tuple[Problem, Verdict]],
    verified: Mapping[str, Sequence[str]],
    max_per_problem: int,
    max_chars: int,
    dropped: Counter[str],
) -> Iterator[tuple[Problem, Verdict, Sequence[str]]]:
    """The failures something can be learned from, with the verified programs of their problem, in their order.

    The others are counted in `dropped` by reason.
    """
    per_problem = Counter[str]()
    seen: set[tuple[str, str]] = set()
    for problem, verdict in failures:
        key = (problem.problem_id, verdict.program)
        programs = verified.get(problem.problem_id, ())
        if verdict.outcome not in FEEDBACK or not verdict.program.strip():
            dropped["failure_without_program"] += 1
        elif not programs:
            dropped["failure_without_verified_program"] += 1
        elif len(verdict.program) > max_chars:
            dropped["too_long"] += 1
        elif key in seen:
            dropped["duplicate_failure"] += 1
        elif per_problem[problem.problem_id] >= max_per_problem:
            dropped["over_cap"] += 1
        else:
            seen.add(key)
            per_problem[problem.problem_id] += 1
            yield problem, verdict, programs


def nearest(program: str, verified: Sequence[str]) -> str:
    """The verified program that needs the smallest change; the first of equals."""
    return max(verified, key=lambda candidate: SequenceMatcher(None, program, candidate, autojunk=False).ratio())
