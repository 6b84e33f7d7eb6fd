"""New problems get the answer that their programs agree on, and the verdicts on these programs what follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import ray

from pad_ray.flow.shard import Shard
from pad_ray.grading.agreement import agreed
from pad_ray.grading.compare import Comparison, compare
from pad_ray.grading.verdict import MEANING
from pad_ray.outcomes import Outcome
from pad_ray.records import Problem, Verdict
from pad_ray.thoughts.rewriting import made_by

_VALUED = frozenset({Outcome.OK, *MEANING.values()})
"""Outcomes of programs that gave a value."""


def label_all(base: Sequence[Shard], new: Sequence[Shard], agree: int) -> dict[str, dict[str, int]]:
    """Label the new problems, shard by shard beside the shard of their parents; returns counts by kind.

    Journals must be compacted and no judge be at work. Called again it says the same.
    """
    tasks = [_label.remote(shard, parents, agree) for parents, shard in zip(base, new, strict=True)]
    total: dict[str, Counter[str]] = {}
    for counts in ray.get(tasks):
        for kind, count in counts.items():
            total.setdefault(kind, Counter()).update(count)
    return {kind: dict(count) for kind, count in sorted(total.items())}


def labelled(
    problem: Problem, parent: Problem, verdicts: Sequence[Verdict], agree: int
) -> tuple[Problem, list[Verdict], str]:
    """A new problem with its answer, if there is one, the verdicts that follow, and what it counts as.

    `other_answer` is a rephrased problem whose programs agree on something else than its parent's answer.
    """
    answer = agreed([one.value for one in verdicts if one.outcome in _VALUED], agree)
    made = made_by(problem.problem_id)
    counts_as = "no_agreement" if answer is None else "labelled"
    if answer is not None and made and made[1] == "rephrase":
        # The parent's spelling of the answer is the better one: a value may carry the last bits of its arithmetic.
        if compare(answer, parent.answer) is Comparison.EQUAL:
            answer = parent.answer
        else:
            answer, counts_as = None, "other_answer"
    return replace(problem, answer=answer or ""), [_judged(one, answer) for one in verdicts], counts_as


def _judged(verdict: Verdict, answer: str | None) -> Verdict:
    if verdict.outcome not in _VALUED:
        return verdict
    return replace(verdict, outcome=Outcome.OK if answer is None else MEANING[compare(verdict.value, answer)])


@ray.remote(num_cpus=0.5)
def _label(shard: Shard, parents: Shard, agree: int) -> dict[str, Counter[str]]:
    problems, known, verdicts = shard.problems(), parents.problems(), shard.verdicts()
    by_problem: dict[str, list[Verdict]] = {}
    for request in shard.requests():
        if request.sample_id in verdicts:
            by_problem.setdefault(request.problem_id, []).append(verdicts[request.sample_id])
    counts: dict[str, Counter[str]] = {}
    for id_, problem in problems.items():
        parent_id, kind = made_by(id_) or ("", "")
        problems[id_], judged, counts_as = labelled(problem, known[parent_id], by_problem.get(id_, []), agree)
        verdicts.update({one.sample_id: one for one in judged})
        counts.setdefault(kind, Counter())[counts_as] += 1
    if problems:
        shard.compact("verdicts", Verdict, verdicts)
        shard.write_problems(problems.values())
    return counts
