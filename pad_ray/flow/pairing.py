"""The pairs of a round, per shard as remote tasks, from its verdicts and from what is taught after its curation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import ray

from pad_ray.flow.shard import Shard
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Recipe
from pad_ray.records import Example, Pair
from pad_ray.refine.preference import pairs
from pad_ray.train.held_out import is_held_out


def make_pairs(cut: Sequence[Shard], recipe: Recipe) -> dict[str, Any]:
    """Write `pairs/` of a round, whose examples are written; returns how many there are and what was dropped."""
    counted = ray.get([_pair_shard.remote(shard, recipe) for shard in cut])
    return {
        "kept": sum(kept for kept, _ in counted),
        "dropped": dict(sum((dropped for _, dropped in counted), Counter[str]())),
    }


def pair_shard(shard: Shard, recipe: Recipe) -> tuple[list[Pair], Counter[str]]:
    """The pairs of one shard, none of a held-out question, and what was dropped by reason."""
    preference, dropped = recipe.refine.preference, Counter[str]()
    if preference is None:
        return [], dropped
    problems, verdicts = shard.problems(), shard.verdicts()
    failures = [
        (problems[request.problem_id], verdicts[request.sample_id])
        for request in shard.requests()
        if request.sample_id in verdicts
        and verdicts[request.sample_id].outcome is not Outcome.CORRECT
        and not is_held_out(request.problem_id, recipe.train.validation)
    ]
    found = pairs(
        failures,
        _taught(shard),
        thought=recipe.form,
        round_=shard.round,
        max_per_problem=preference.pairs_per_problem,
        max_chars=recipe.curate.max_chars,
        dropped=dropped,
    )
    return found, dropped


@ray.remote(num_cpus=1)
def _pair_shard(shard: Shard, recipe: Recipe) -> tuple[int, Counter[str]]:
    found, dropped = pair_shard(shard, recipe)
    return shard.storage.write_rows(shard.file("pairs"), Pair, found), dropped


def _taught(shard: Shard) -> dict[str, list[str]]:
    """Verified programs by problem id, the newest first: those of the student that failed are likeliest to it."""
    found = defaultdict[str, dict[str, None]](dict)  # in order, each once
    for round_ in range(shard.round, -1, -1):
        part = Shard(shard.root, round_, shard.number)
        if part.storage.exists(part.file("examples")):
            for example in part.storage.read_rows(part.file("examples"), Example):
                if example.task == "solve":
                    found[example.problem_id][example.completion] = None
    return {problem_id: list(programs) for problem_id, programs in found.items()}
