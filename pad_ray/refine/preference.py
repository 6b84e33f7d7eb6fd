"""Pairs to learn preferences from: a program that is taught, and one of the student that failed at the same question.

The verdicts give them for free, as in DPO-augmented self-training (Wang et al. 2024, 2407.18248).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pad_ray.records import Pair, Problem, Verdict
from pad_ray.refine.on_policy import usable
from pad_ray.thoughts import THOUGHTS


def pairs(
    failures: Iterable[tuple[Problem, Verdict]],
    taught: Mapping[str, Sequence[str]],
    *,
    thought: str,
    round_: int,
    max_per_problem: int,
    max_chars: int,
    dropped: Counter[str],
) -> list[Pair]:
    """Pairs in the order of the failures; failures that give none are counted in `dropped` by reason.

    `taught` holds verified programs by problem id, the best partners first: the failures of a problem take turns with
    them. What counts as a failure is what also counts for a repair.
    """
    made: list[Pair] = []
    turns = Counter[str]()
    for problem, verdict, programs in usable(failures, taught, max_per_problem, max_chars, dropped):
        made.append(
            Pair(
                pair_id=f"{verdict.sample_id}!pair",
                thought=thought,
                prompt=THOUGHTS[thought].student_prompt(problem.question),
                chosen=programs[turns[problem.problem_id] % len(programs)],
                rejected=verdict.program,
                problem_id=problem.problem_id,
                round=round_,
                source=problem.source,
            )
        )
        turns[problem.problem_id] += 1
    return made
