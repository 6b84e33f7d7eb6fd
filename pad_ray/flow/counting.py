"""What shards hold, in numbers: for the manifest when a stage has ended, and for whoever asks while it has not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pad_ray.flow.journal import REWRITING, Reservation, round_folder
from pad_ray.flow.shard import Shard, settled
from pad_ray.manifest import Manifest, Stage
from pad_ray.outcomes import Outcome
from pad_ray.records import Sample, Verdict
from pad_ray.storage import Storage
from pad_ray.thoughts.rewriting import made_by


def counted(
    shard: Shard, samples: Mapping[str, Sample], verdicts: Mapping[str, Verdict], unsettled: Sequence[Reservation]
) -> dict[str, Any]:
    """The counts of one shard."""
    problems = shard.problems()
    outcomes = Counter[str]()
    by_source: dict[str, Counter[str]] = {}
    by_model: dict[str, Counter[str]] = {}
    for request in shard.requests():
        verdict = verdicts.get(request.sample_id)
        within = [by_source.setdefault(problems[request.problem_id].source, Counter())]
        # The teacher's votes on new problems say nothing of how often it is right.
        if shard.round or not made_by(request.problem_id):
            within.append(by_model.setdefault(request.model, Counter()))
            outcomes.update([verdict.outcome.value] if verdict else ())
        for counts in within:
            counts.update(["asked", verdict.outcome.value] if verdict else ["asked"])
    return {
        "planned": sum(counts["asked"] for counts in by_source.values()),
        "sampled": len(samples),
        "judged": len(verdicts),
        # What the next call tries again: calls that failed for a passing reason, and failures of our own sandbox.
        "transient": sum(not settled(sample) for sample in samples.values())
        + sum(verdict.outcome is Outcome.SANDBOX_ERROR for verdict in verdicts.values()),
        "by_source": {source: dict(counts) for source, counts in by_source.items()},
        "by_model": {model: dict(counts) for model, counts in by_model.items()},
        "outcomes": dict(outcomes),
        "levels": dict(Counter(verdict.sandbox for verdict in verdicts.values())),
        "spend": {
            "prompt_tokens": sum(sample.prompt_tokens for sample in samples.values()),
            "completion_tokens": sum(sample.completion_tokens for sample in samples.values()),
            "usd": sum(sample.cost_usd for sample in samples.values()),
            "unsettled": sum(sample.unsettled_usd for sample in samples.values()) + sum(one.usd for one in unsettled),
            "unsettled_calls": sum(sample.unsettled_usd > 0 for sample in samples.values()) + len(unsettled),
            "cached": sum(sample.cached for sample in samples.values()),
        },
        "workers": {
            "sample": sorted({sample.worker for sample in samples.values()}),
            "judge": sorted({verdict.worker for verdict in verdicts.values()}),
        },
    }


def together(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The counts of several shards, added up."""
    total: dict[str, Any] = {"sampled": 0, "judged": 0, "transient": 0, "by_source": {}, "by_model": {}}
    sums = {"outcomes": Counter[str](), "levels": Counter[str](), "spend": Counter[str]()}
    workers: dict[str, set[str]] = {"sample": set(), "judge": set()}
    for part in parts:
        for key in ("sampled", "judged", "transient"):
            total[key] += part[key]
        for key, counter in sums.items():
            counter.update(part[key])
        for key, names in workers.items():
            names.update(part["workers"][key])
        for key in ("by_source", "by_model"):
            for name, counts in part[key].items():
                total[key][name] = dict(Counter(total[key].get(name, {})) + Counter(counts))
    return {
        **total,
        **{key: dict(counter) for key, counter in sums.items()},
        "workers": {key: sorted(names) for key, names in workers.items()},
    }


def record(stage: Stage, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Write the counts of a round into the record of its stage `rewrite`, `sample` or `judge`."""
    key, work = ("judged", "judge") if stage.stage == "judge" else ("sampled", "sample")
    stage.reused, stage.new = before[key], after[key] - before[key]
    shared = {"transient": after["transient"], "workers": {work: after["workers"][work]}}
    if work == "sample":
        stage.counts = {**shared, "spend": after["spend"]}
    else:
        stage.counts = {
            **shared,
            "outcomes": after["outcomes"],
            "by_source": after["by_source"],
            "by_model": after["by_model"],
            "levels": after["levels"],
        }


def recount(storage: Storage, manifest: Manifest) -> None:
    """Bring the manifest in memory up to what shards and journals hold, for stages that are not done.

    While one is running, calls in flight look like calls that nobody will ever answer.
    """
    for stage in manifest.stages:
        if stage.stage not in ("rewrite", "sample", "judge") or stage.state == "done":
            continue
        round_ = REWRITING if stage.stage == "rewrite" else stage.round
        count = len(storage.names(f"{round_folder(round_)}/requests", ".parquet"))
        shards = [Shard(str(storage), round_, number) for number in range(count)]
        found = together(counted(one, one.samples(), one.verdicts(), [*one.unsettled().values()]) for one in shards)
        reused = stage.reused
        record(stage, {"sampled": reused, "judged": reused}, found)
