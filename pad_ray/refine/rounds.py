"""The loop: plan, sample, judge, curate, train, evaluate; then again with the student as its own teacher.

Every stage is idempotent by id and by the manifest, so the loop holds no state of its own: calling it again on a run
folder goes on where it stopped and redoes nothing that is finished.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from pad_ray.errors import UsageError
from pad_ray.evaluate.asking import draw_exemplars
from pad_ray.evaluate.folder import TRAINED, probe_folder
from pad_ray.evaluate.job import EvaluateJob, summary_of
from pad_ray.evaluate.run import evaluate_all
from pad_ray.flow.augmenting import augment
from pad_ray.flow.calibrate import calibrate
from pad_ray.flow.curating import curate
from pad_ray.flow.plan import plan
from pad_ray.flow.progress import Reporter
from pad_ray.flow.sampling import sample_and_judge
from pad_ray.flow.students import student_of
from pad_ray.flow.training import train_round
from pad_ray.recipe import Prompt, Recipe
from pad_ray.records import Example
from pad_ray.run import Run
from pad_ray.storage import Storage


def distill(run: Run, reporter: Reporter) -> None:
    """Every stage of every round of the recipe."""
    for round_ in range(run.recipe.refine.rounds + 1):
        if run.is_fresh(round_):
            gather(run, round_, reporter)
        learn(run, round_, reporter)


def gather(run: Run, round_: int, reporter: Reporter) -> None:
    """The stages of a round whose programs are judged at the end: of the teacher's, after round 0 of the student's."""
    plan(run, round_)
    augment(run, reporter)
    sample_and_judge(run, round_, reporter)


def learn(run: Run, round_: int, reporter: Reporter) -> None:
    """The stages of a round from judged programs to a measured student; a round without programs begins by training."""
    if run.is_fresh(round_):
        curate(run, round_, reporter)
    if round_ == 0 and run.recipe.evaluate.baselines:
        # Not sooner: the exemplars of few_shot are what was just curated.
        evaluate_round(run, -1, reporter)
    train_round(run, round_, reporter)
    evaluate_round(run, round_, reporter)


def evaluate_round(run: Run, round_: int, reporter: Reporter) -> None:
    """Measure the student of a round on every suite; round -1 is the untrained student, asked in several ways.

    Raises UsageError if what it builds on is not finished, or if the recipe names no way to ask an untrained student.
    """
    if run.done(round_, "evaluate"):
        return
    baselines = run.recipe.evaluate.baselines
    if round_ >= 0:
        run.require(round_, "train")
    elif baselines:
        run.require(0, "curate" if "few_shot" in baselines else "plan")
    else:
        raise UsageError(
            "evaluate.baselines is empty, so the untrained student is not to be measured.",
            hint="List direct, zero_shot or few_shot, and choose another --run-dir.",
        )
    calibrate(run, reporter)
    with run.stage(round_, "evaluate") as stage:
        jobs = jobs_of(run, round_)
        there = {job.out for job in jobs if summary_of(job)}
        stage.counts["measured"] = measured = list[dict[str, Any]]()
        # All suites that are asked in one way go together, with one bar.
        for prompt, steps in groupby(evaluate_all(jobs), key=lambda step: step.job.prompt):
            mine = [job for job in jobs if job.prompt == prompt]
            who = f"round {round_}" if round_ >= 0 else "untrained"
            label = f"{who}: evaluate" if round_ >= 0 and prompt == TRAINED else f"{who}: evaluate {prompt}"
            with reporter.bar(label, sum(_asked(job) for job in mine), "problems") as bar:
                done = {job.out: _asked(job) for job in mine if job.out in there}
                for step in steps:
                    done[step.job.out] = step.done
                    bar.to(sum(done.values()))
                summaries = [summary_of(job) for job in mine]
                right = ", ".join(f"{one['problems']} {one['correct']}/{one['n']}" for one in summaries)
                bar.to(sum(one["n"] for one in summaries), f"correct: {right}")
        kept = ("n", "correct", "accuracy", "ci95", "executable_rate")
        for job in jobs:
            summary = summary_of(job)
            measured.append({"suite": job.problems_name, "prompt": job.prompt, **{key: summary[key] for key in kept}})
            if job.out in there:
                stage.reused += summary["n"]
            else:
                stage.new += summary["n"]


def jobs_of(run: Run, round_: int) -> list[EvaluateJob]:
    """What is measured in a round, those that are asked alike together: every suite, and every probe.

    The untrained student is asked in every way of the recipe, a trained one as it has learned. Of probes every student
    is asked in every way: only then does a difference say what was forgotten.
    """
    recipe = run.recipe
    trained = round_ >= 0
    ways: list[Prompt] = list(dict.fromkeys(recipe.evaluate.baselines))
    prompts: list[Prompt] = ways
    if trained:
        prompts = list(dict.fromkeys([TRAINED, *ways])) if recipe.problems.probe else [TRAINED]
    exemplars: tuple[Example, ...] = ()
    if "few_shot" in prompts:
        exemplars = draw_exemplars(run.storage.scan_rows("round-0/examples", Example), recipe.seed)
    return [
        EvaluateJob(
            root=str(run.storage),
            problems=f"problems/{place}.parquet",
            student=run.storage.uri(student_of(run, round_)),
            out=out,
            decode=recipe.decode,
            sandbox=recipe.sandbox,
            prompt=prompt,
            thought=recipe.forms[0],  # an untrained student is asked for an answer only, where there are several,
            exemplars=exemplars if prompt == "few_shot" else (),
            init="pretrained" if trained else recipe.student.init,
            seed=recipe.seed,
            match=recipe.evaluate.match,
            engine=recipe.evaluate.engine,
            limit=run.sizes.questions if run.sizes else None,
            student_name=f"round {round_}" if trained else f"untrained {recipe.student.model}",
            problems_name=place.removeprefix("eval/"),
            probe=place.startswith("probe/"),
        )
        for prompt in prompts
        for place, out in _measured(recipe, round_, prompt)
    ]


def _measured(recipe: Recipe, round_: int, prompt: Prompt) -> list[tuple[str, str]]:
    """Problems that the student of a round is asked in one way, and the folders of its answers."""
    suites: list[tuple[str, str]] = []
    if round_ < 0:
        suites = [(f"eval/{suite}", f"base/eval/{suite}/{prompt}") for suite in recipe.problems.eval]
    elif prompt == TRAINED:
        suites = [(f"eval/{suite}", f"round-{round_}/eval/{suite}") for suite in recipe.problems.eval]
    if prompt in recipe.evaluate.baselines:
        suites += [(f"probe/{probe}", probe_folder(round_, probe, prompt)) for probe in recipe.problems.probe]
    return suites


def _asked(job: EvaluateJob) -> int:
    """How many problems a job asks."""
    there = Storage(job.root).count_rows(job.problems)
    return there if job.limit is None else min(there, job.limit)
