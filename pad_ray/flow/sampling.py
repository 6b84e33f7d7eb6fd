"""The stages `sample` and `judge` of a round: stream what is missing, compact, count."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Any

import ray

from pad_ray.flow.cluster import plain_errors
from pad_ray.flow.graph import compact, stream
from pad_ray.flow.plan import shards
from pad_ray.flow.progress import Reporter
from pad_ray.flow.shard import Shard
from pad_ray.flow.spending import Meter, left_sentence, start_governor
from pad_ray.flow.students import teaching_student
from pad_ray.manifest import Stage, StageName
from pad_ray.run import Run
from pad_ray.students import local_student

_NOTHING: dict[str, Any] = {"sampled": 0, "judged": 0, "spend": {"usd": 0.0, "unsettled": 0.0}}


def sample_and_judge(run: Run, round_: int, reporter: Reporter, *, sample: bool = True, judge: bool = True) -> None:
    """Sample and judge a planned round in one stream; or only the one, or only the other. Finished rows are kept."""
    names: dict[StageName, bool] = {"sample": sample, "judge": judge}
    wanted: list[StageName] = [name for name, asked in names.items() if asked]
    if all(run.done(round_, name) for name in wanted):
        return
    run.require(round_, "plan" if sample else "sample")
    teacher = run.recipe.teacher
    if sample and round_ == 0 and teacher.kind == "hf":
        # Here, where its progress is seen and its errors are plain; on other machines the samplers fetch it again.
        local_student(teacher.model, say=reporter.say, key="teacher.model")
    cut = shards(run, round_)
    with plain_errors(), ExitStack() as stack:
        stages = [stack.enter_context(run.stage(round_, name)) for name in wanted]
        before = _compacted(cut) if run.storage.exists(f"round-{round_}/samples") else _NOTHING
        with reporter.bar(f"round {round_}: {' + '.join(wanted)}", 0, "samples") as bar:
            outcomes = Counter[str]()
            meter = None
            plan = run.manifest.find(round_, "plan")
            planned = plan.new + plan.reused if plan else 0
            todo = planned - (before["judged"] if judge else before["sampled"])
            bar.total(todo)
            if sample and round_ == 0 and run.recipe.teacher.kind == "openai":
                spent = before["spend"]
                governor = start_governor(run, spent["usd"] + spent["unsettled"])
                meter = Meter(governor, spent["usd"], planned - before["sampled"])
                if said := left_sentence(before, planned - before["sampled"]):
                    reporter.say(f"  {said}")

            def count(rows: list[str]) -> None:
                outcomes.update(rows)
                correct = [f"{outcomes['correct']} correct"] if judge else []
                bar.advance(len(rows), ", ".join([*correct, *([meter.note()] if meter else [])]))

            layers = stream(
                cut,
                run.recipe,
                student=teaching_student(run, round_),
                todo=todo,
                sample=sample,
                judge=judge,
                on_rows=count,
                governor=meter.governor if meter else None,
            )
        after = _compacted(cut)
        for stage in stages:
            _record(stage, before, after)
        run.manifest.facts["sandbox"] = sorted(after["levels"])
        if layers:
            run.manifest.facts["sandbox_layers"] = sorted(layers)
        if meter and (stop := meter.stop()):
            raise stop.error()


def _record(stage: Stage, before: dict[str, Any], after: dict[str, Any]) -> None:
    key = {"sample": "sampled", "judge": "judged"}[stage.stage]
    stage.reused, stage.new = before[key], after[key] - before[key]
    shared = {"transient": after["transient"], "workers": {stage.stage: after["workers"][stage.stage]}}
    if stage.stage == "sample":
        stage.counts = {**shared, "spend": after["spend"]}
    else:
        stage.counts = {
            **shared,
            "outcomes": after["outcomes"],
            "by_source": after["by_source"],
            "levels": after["levels"],
        }


def _compacted(cut: list[Shard]) -> dict[str, Any]:
    """Compact every shard and add up what they hold."""
    total: dict[str, Any] = {"sampled": 0, "judged": 0, "transient": 0, "by_source": {}}
    sums = {"outcomes": Counter[str](), "levels": Counter[str](), "spend": Counter[str]()}
    workers: dict[str, set[str]] = {"sample": set(), "judge": set()}
    for part in ray.get([compact.remote(shard) for shard in cut]):
        for key in ("sampled", "judged", "transient"):
            total[key] += part[key]
        for key, counter in sums.items():
            counter.update(part[key])
        for key, names in workers.items():
            names.update(part["workers"][key])
        for source, counts in part["by_source"].items():
            total["by_source"][source] = dict(Counter(total["by_source"].get(source, {})) + Counter(counts))
    return {
        **total,
        **{key: dict(counter) for key, counter in sums.items()},
        "workers": {key: sorted(names) for key, names in workers.items()},
    }
