"""The stages `sample` and `judge` of a round: stream what is missing, compact, count."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Any

import ray

from pad_ray.flow.batches import Memory
from pad_ray.flow.batching import ask_in_batches
from pad_ray.flow.cluster import plain_errors
from pad_ray.flow.counting import record, together
from pad_ray.flow.engines import ask_engines
from pad_ray.flow.graph import compact, stream
from pad_ray.flow.journal import REWRITING, round_folder
from pad_ray.flow.labelling import label_all
from pad_ray.flow.placement import here
from pad_ray.flow.plan import shards
from pad_ray.flow.progress import Reporter
from pad_ray.flow.shard import Shard
from pad_ray.flow.spending import Meter, left_sentence, start_governor
from pad_ray.flow.students import teaching_student
from pad_ray.flow.waves import plan_wave
from pad_ray.manifest import StageName
from pad_ray.run import Run
from pad_ray.students import local_student
from pad_ray.teacher.vllm import check_gpus

_NOTHING: dict[str, Any] = {"sampled": 0, "judged": 0, "spend": {"usd": 0.0, "unsettled": 0.0}}


def sample_and_judge(run: Run, round_: int, reporter: Reporter, *, sample: bool = True, judge: bool = True) -> None:
    """Sample and judge a planned round in one stream; or only the one, or only the other. Finished rows are kept.

    With `teacher.until_correct` sampling needs the verdicts, so both are done, wave after wave. The rewriting of
    problems is a round of its own before round 0, and only sampled.
    """
    teacher, asks = run.recipe.teacher, sample and round_ <= 0
    waves = sample and round_ == 0 and teacher.until_correct is not None
    judge = judge or waves
    names: dict[StageName, bool] = {"sample": sample, "judge": judge}
    wanted: list[StageName] = [name for name, asked in names.items() if asked]
    if round_ == REWRITING:
        wanted = ["rewrite"]
    of = max(round_, 0)
    done = [f"{name}: {stage.new + stage.reused:,}" for name in wanted if (stage := run.done(of, name))]
    if len(done) == len(wanted):
        reporter.say(f"  round {of}: finished before ({', '.join(done)})")
        return
    run.require(of, "plan" if sample else "sample")
    if asks and teacher.kind == "hf":
        # Here, where its progress is seen and its errors are plain; on other machines the samplers fetch it again.
        local_student(teacher.model, say=reporter.say, key="teacher.model")
    if asks and teacher.kind == "vllm":
        check_gpus(teacher, {"GPU": here().gpus()})
    cut = shards(run, round_)
    with plain_errors(), ExitStack() as stack:
        stages = [stack.enter_context(run.stage(of, name)) for name in wanted]
        before = _compacted(cut) if run.storage.exists(f"{round_folder(round_)}/samples") else _NOTHING
        elsewhere = _spent_elsewhere(run, round_) if asks else _NOTHING["spend"]
        # These write their samples before the judges begin.
        apart = asks and teacher.kind in ("batch", "vllm")
        with reporter.bar(f"round {of}: {' + '.join(wanted)}", 0, "samples") as bar:
            outcomes = Counter[str]()
            meter: Meter | None = None
            governor = None
            if asks and teacher.kind == "openai":
                governor = start_governor(run, _committed(elsewhere, before))

            def count(rows: list[str]) -> None:
                outcomes.update(rows)
                correct = [f"{outcomes['correct']} correct"] if judge else []
                bar.advance(len(rows), ", ".join([*correct, *([meter.note()] if meter else [])]))

            after, at_work, starts, layers, stop = before, cut, dict[int, int](), set[str](), None
            while at_work and not stop:
                planned = sum(shard.planned() for shard in cut)
                todo = planned - after["judged" if judge else "sampled"]
                bar.total(outcomes.total() + todo)
                if governor:
                    meter = Meter(governor, elsewhere["usd"] + after["spend"]["usd"], planned - after["sampled"])
                    if said := left_sentence(after, planned - after["sampled"]):
                        reporter.say(f"  {said}")
                if apart and teacher.kind == "batch":
                    stop = ask_in_batches(
                        run, at_work, planned - after["sampled"], _committed(elsewhere, after), reporter
                    )
                elif apart:
                    ask_engines(at_work, teacher, planned - after["sampled"], reporter)
                if judge or not apart:
                    layers |= stream(
                        at_work,
                        run.recipe,
                        student=teaching_student(run, round_),
                        todo=todo,
                        starts=starts,
                        sample=sample and not apart,
                        judge=judge,
                        on_rows=count,
                        governor=governor,
                    )
                after, at_work, stop = _compacted(cut), [], meter.stop() if meter else stop
                for stage in stages:
                    record(stage, before, after)
                if waves and not stop:
                    wave = plan_wave(cut, run.recipe)
                    at_work, starts = [shard for shard in cut if shard.number in wave.starts], wave.starts
                    if at_work:
                        reporter.say(f"  {wave.problems:,} problems without a correct reply are asked again")
                    if at_work and governor:
                        ray.get(governor.start_over.remote(_committed(elsewhere, after)))
            if judge and round_ == 0 and not stop and run.recipe.augment.kinds:
                base = shards(run, REWRITING)
                labels = label_all(base, cut[len(base) :], run.recipe.augment.agree)
                after = _compacted(cut)
                record(stages[-1], before, after)
                stages[-1].counts["labels"] = labels
        run.manifest.facts["sandbox"] = sorted(after["levels"])
        if layers:
            run.manifest.facts["sandbox_layers"] = sorted(layers)
        if stop:
            raise stop.error()


def _spent_elsewhere(run: Run, round_: int) -> dict[str, Any]:
    """What the teacher's other round costs: round 0 if this is the rewriting, and the other way round.

    Told by the rows, which are never behind, and by the batches that are open at the provider.
    """
    other = 0 if round_ == REWRITING else REWRITING
    there = run.storage.exists(f"{round_folder(other)}/samples")
    spend = (_compacted(shards(run, other)) if there else _NOTHING)["spend"]
    open_usd = Memory(run.storage, other, run.manifest.run_id).open_usd
    return {**spend, "unsettled": spend["unsettled"] + open_usd}


def _committed(elsewhere: dict[str, Any], counts: dict[str, Any]) -> float:
    """Dollars that are spent, or may be, in the other round and in this one."""
    return sum(spend["usd"] + spend["unsettled"] for spend in (elsewhere, counts["spend"]))


def _compacted(cut: list[Shard]) -> dict[str, Any]:
    """Compact every shard and add up what they hold."""
    return together(ray.get([compact.remote(shard) for shard in cut]))
