"""What on-policy distillation takes from a round besides its examples: replies of the student, right or wrong.

They were written by the student that the round starts from, so the training is on-policy by rounds, not by steps.
"""

from __future__ import annotations

import random

from pad_ray.flow.plan import shards
from pad_ray.flow.shard import Shard
from pad_ray.records import Attempt
from pad_ray.run import Run
from pad_ray.train.held_out import is_held_out


def attempts_of(run: Run, round_: int, examples: int) -> list[Attempt]:
    """The share of attempts (`train.distill.on_policy`) that belongs to so many examples, or as many as there are.

    Of a sampled round, drawn under its seed; none of a held-out question, and none where the recipe wants none.
    """
    distill, seed = run.recipe.train.distill, run.recipe.seed + round_
    if not round_ or distill is None or distill.kind != "gkd":
        return []
    wanted = round(distill.on_policy / (1 - distill.on_policy) * examples)
    every = [attempt for shard in shards(run, round_) for attempt in _attempts(shard, run.recipe.train.validation)]
    return random.Random(f"attempts/{seed}").sample(every, min(wanted, len(every)))


def _attempts(shard: Shard, validation: float) -> list[Attempt]:
    samples = shard.samples()
    return [
        Attempt(request.sample_id, request.problem_id, request.messages[-1].content, sample.text)
        for request in shard.requests()
        if (sample := samples.get(request.sample_id)) and sample.text
        if not is_held_out(request.problem_id, validation)
    ]
