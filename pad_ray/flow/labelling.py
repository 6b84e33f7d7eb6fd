"""New problems get the answer that their programs agree on, and the verdicts on these programs what follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import ray

from pad_ray.flow.shard import Shard
from pad_ray.grading.agreement import agreed
from pad_ray.grading.compare import Comparison, compare
from pad_ray.grading.verdict import MEANING
from pad_ray.outcomes import Outcome
from pad_ray.records import Message, Request, Verdict
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


def independent(asked: Sequence[Request], verdicts: Mapping[str, Verdict]) -> list[Request]:
    """Of the requests that gave a value those that count as votes: greedy replies to the same prompt count once."""
    votes: list[Request] = []
    greedy: set[tuple[str, tuple[Message, ...]]] = set()
    for request in asked:
        if verdicts[request.sample_id].outcome not in _VALUED:
            continue
        if request.temperature == 0:
            if (request.model, request.messages) in greedy:
                continue
            greedy.add((request.model, request.messages))
        votes.append(request)
    return votes


def label(kind: str, votes: Sequence[str], parents: str, agree: int) -> tuple[str, str]:
    """The answer of a new problem, or empty, and what the problem counts as.

    `votes` are the values of its programs, `parents` is the answer of the problem it was made of: `other_answer` is a
    rephrased problem whose programs agree on something else.
    """
    answer = agreed(votes, agree)
    if answer is None:
        return "", "no_agreement"
    if kind != "rephrase":
        return answer, "labelled"
    # The parent's spelling of the answer is the better one: a value may carry the last bits of its arithmetic.
    return (parents, "labelled") if compare(answer, parents) is Comparison.EQUAL else ("", "other_answer")


def _judged(verdict: Verdict, answer: str) -> Verdict:
    if verdict.outcome not in _VALUED:
        return verdict
    return replace(verdict, outcome=MEANING[compare(verdict.value, answer)] if answer else Outcome.OK)


@ray.remote(num_cpus=0.5)
def _label(shard: Shard, parents: Shard, agree: int) -> dict[str, Counter[str]]:
    problems, known, verdicts = shard.problems(), parents.problems(), shard.verdicts()
    by_problem: dict[str, list[Request]] = {}
    for request in shard.requests():
        if request.sample_id in verdicts:
            by_problem.setdefault(request.problem_id, []).append(request)
    counts: dict[str, Counter[str]] = {}
    for id_, problem in problems.items():
        parent_id, kind = made_by(id_) or ("", "")
        asked = by_problem.get(id_, [])
        votes = [verdicts[request.sample_id].value for request in independent(asked, verdicts)]
        answer, counts_as = label(kind, votes, known[parent_id].answer, agree)
        problems[id_] = replace(problem, answer=answer)
        for request in asked:
            verdicts[request.sample_id] = _judged(verdicts[request.sample_id], answer)
        counts.setdefault(kind, Counter(labelled=0))[counts_as] += 1
    if problems:
        shard.compact("verdicts", Verdict, verdicts)
        shard.write_problems(problems.values())
    return counts
