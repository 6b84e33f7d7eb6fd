"""Adaptive sampling: problems without a correct program are asked again, wave by wave, up to `teacher.until_correct`.

A wave is appended to the requests of its shard, which are written anew as a whole. What a shard still lacks follows
from its own requests and verdicts, so a run that was killed anywhere adds later what it would have added then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import ray

from pad_ray.flow.expanding import TeacherRequests
from pad_ray.flow.shard import Shard, judged, settled
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Recipe
from pad_ray.records import Problem, Request, Sample, Verdict


class Wave(NamedTuple):
    """What was added to the plan."""

    starts: dict[int, int]
    """Of the shards that got requests: how many they had before."""
    problems: int
    requests: int


def plan_wave(cut: list[Shard], recipe: Recipe) -> Wave:
    """Plan the next wave of a round 0 that is judged so far. No sampler may be at work, and journals be compacted."""
    asking = TeacherRequests(recipe)
    parts = ray.get([_extend.remote(shard, asking) for shard in cut])
    starts = {shard.number: planned for shard, (planned, _, added) in zip(cut, parts, strict=True) if added}
    return Wave(starts, sum(part[1] for part in parts), sum(part[2] for part in parts))


def next_wave(
    planned: Iterable[Request],
    samples: Mapping[str, Sample],
    verdicts: Mapping[str, Verdict],
    problems: Mapping[str, Problem],
    asking: TeacherRequests,
) -> list[list[Request]]:
    """The requests that a shard gets next, by problem; nothing for a problem that is solved, in work, or at the cap."""
    by_problem: dict[str, list[str]] = {}
    for request in planned:
        by_problem.setdefault(request.problem_id, []).append(request.sample_id)
    waves = (
        asking.next_wave(problems[problem_id], len(ids))
        for problem_id, ids in by_problem.items()
        # Of new problems nobody knows which programs are correct.
        if problems[problem_id].answer
        and _unsolved([samples.get(id_) for id_ in ids], [verdicts.get(id_) for id_ in ids])
    )
    return [wave for wave in waves if wave]


def _unsolved(samples: list[Sample | None], verdicts: list[Verdict | None]) -> bool:
    """Whether all that was asked about a problem is judged, and none of it correct."""
    for sample, verdict in zip(samples, verdicts, strict=True):
        if sample is None or not settled(sample) or not judged(verdict, sample):
            return False
        if verdict is not None and verdict.outcome is Outcome.CORRECT:
            return False
    # Without any reply there are errors that would only repeat themselves.
    return any(sample is not None and not sample.error for sample in samples)


@ray.remote(num_cpus=0.5)
def _extend(shard: Shard, asking: TeacherRequests) -> tuple[int, int, int]:
    """Requests a shard had, and problems and requests that were added."""
    planned = shard.requests()
    waves = next_wave(planned, shard.samples(), shard.verdicts(), shard.problems(), asking)
    added = [request for wave in waves for request in wave]
    if added:
        shard.storage.write_rows(shard.file("requests"), Request, [*planned, *added])
    return len(planned), len(waves), len(added)
