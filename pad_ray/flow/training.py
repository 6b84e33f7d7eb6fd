"""The stage `train` of a round: which examples, from which student, into which folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from pad_ray.errors import NothingToTrainOn
from pad_ray.flow.attempts import attempts_of
from pad_ray.flow.calibrate import calibrate
from pad_ray.flow.mixing import Mixture, seed_of, write_mixture
from pad_ray.flow.progress import Reporter
from pad_ray.flow.students import distilled_teacher, student_of, teaching_student
from pad_ray.manifest import Stage
from pad_ray.recipe_refine import Preference
from pad_ray.records import Attempt, Checkpoint, Pair
from pad_ray.run import Run
from pad_ray.status import validation_words
from pad_ray.storage import Storage, from_row
from pad_ray.students.parts import DECOMPOSER
from pad_ray.train.launch import TrainJob, TrainProgress, steps_done, train


def train_round(run: Run, round_: int, reporter: Reporter) -> None:
    """Train the student of a round, unless that is done: on its pairs, if it has some, then on its examples."""
    if run.done(round_, "train"):
        return
    fresh = run.is_fresh(round_)
    run.require(round_ if fresh else round_ - 1, "curate" if fresh else "train")
    calibrate(run, reporter)
    recipe = run.recipe
    with run.stage(round_, "train") as stage:
        job = _job(run, round_)
        mixture, pairs = write_mixture(run, round_, job.mixture), pairs_of(run, round_)
        if not mixture.examples and not pairs:
            # Only possible after round 0: the student made nothing new.
            stage.counts = _unchanged(run, round_, reporter)
            return
        summary: dict[str, Any] = {}
        if pairs and (preference := recipe.refine.preference):
            preferring = _preference_job(job, preference, last=not mixture.examples)
            _write_once(run.storage, preferring.mixture, Pair, pairs)
            if summary := _run(run, preferring, stage, reporter, f"round {round_}: prefer"):
                stage.counts["preference"] = {"pairs": summary["pairs"], "checkpoint": _checkpoint(summary)}
                job = replace(job, model=run.storage.uri(preferring.student), parent=preferring.student)
        if mixture.examples:
            if attempts := attempts_of(run, round_, mixture.examples):
                job = replace(job, attempts=f"{job.checkpoint}/attempts.parquet")
                _write_once(run.storage, job.attempts, Attempt, attempts)
            if recipe.student.decomposer == "own":
                job = _with_decomposer(run, job, stage, reporter)
            learned = _run(run, job, stage, reporter, f"round {round_}: train")
            mixture = mixture if learned else Mixture()
            summary = learned or summary
            if learned and attempts:
                stage.counts["attempts"] = len(attempts)
            if learned and recipe.train.validation and "validation" not in learned:
                reporter.say(
                    f"  round {round_}: none of its questions is held out, so its loss was not measured on any"
                )
        if not summary:
            stage.counts = _unchanged(run, round_, reporter)
            return
        stage.counts = {
            **stage.counts,
            "checkpoint": _checkpoint(summary),
            **asdict(mixture),
        }
        if validation := summary.get("validation"):
            stage.counts["validation"] = validation


def _unchanged(run: Run, round_: int, reporter: Reporter) -> dict[str, Any]:
    """The counts of a round that taught nothing: the student stays as it is."""
    reporter.say(f"  round {round_}: nothing new to learn, the student stays as it is")
    return {"checkpoint": {"student": student_of(run, round_ - 1)}, "skipped": "nothing new to learn"}


def _job(run: Run, round_: int) -> TrainJob:
    """The training of a round on its examples, from the student it starts with."""
    recipe = run.recipe
    steps = recipe.refine.steps if round_ else None
    return TrainJob(
        root=str(run.storage),
        round=round_,
        mixture=f"round-{round_}/checkpoint/mixture.parquet",
        model=teaching_student(run, round_),
        init="pretrained" if round_ else recipe.student.init,
        checkpoint=f"round-{round_}/checkpoint",
        student=f"round-{round_}/student",
        settings=recipe.train,
        epochs=recipe.refine.epochs if round_ else recipe.train.epochs,
        tokens=None if steps else limit_of(run, round_),
        steps=steps,
        lr=(recipe.refine.lr or recipe.train.lr) if round_ else recipe.train.lr,
        seed=seed_of(recipe, round_),
        card={
            "format_version": 1,
            "thought": recipe.thought,
            "round": round_,
            "recipe_hash": run.manifest.recipe_hash,
            "base_model": recipe.student.model,
            # Whoever decodes with the student reads it here.
            **({"chat": True} if recipe.student.chat else {}),
        },
        parent=student_of(run, round_ - 1) if round_ else recipe.student.model,
        lora=recipe.student.lora,
        chat=recipe.student.chat,
        teacher=distilled_teacher(run, round_),
    )


def _preference_job(job: TrainJob, settings: Preference, last: bool) -> TrainJob:
    """The training on the pairs of the round of a job; `last` where no examples come after it."""
    folder = f"round-{job.round}/preference"
    return replace(
        job,
        mixture=f"{folder}/pairs.parquet",
        checkpoint=folder,
        student=job.student if last else f"{folder}/student",
        epochs=settings.epochs,
        steps=None,
        lr=settings.lr or job.lr / 10,
        preference=settings,
        teacher="",
    )


def _with_decomposer(run: Run, job: TrainJob, stage: Stage, reporter: Reporter) -> TrainJob:
    """Train what asks the sub-questions; returns the job of the student that answers them, exported with the other.

    Where it finds nothing to learn in a later round it stays as it was, and goes with the other all the same.
    """
    before, folder = student_of(run, job.round - 1), f"round-{job.round}/decomposer"
    # In round 0 both begin as the same student, unless that has two parts already.
    own = f"{before}/{DECOMPOSER}"
    own = own if run.storage.exists(f"{own}/config.json") else before
    asking = replace(
        job,
        task="decompose",
        model=run.storage.uri(own),
        parent=own if job.round else job.parent,
        # Where a student teaches itself, each part does.
        teacher=run.storage.uri(own) if job.teacher == job.model else job.teacher,
        checkpoint=folder,
        student=f"{folder}/student",
        card={**job.card, "task": "decompose"},
    )
    if summary := _run(run, asking, stage, reporter, f"round {job.round}: train decomposer"):
        stage.counts["decomposer"] = {"checkpoint": _checkpoint(summary), "examples": summary["examples"]}
        if validation := summary.get("validation"):
            stage.counts["decomposer"]["validation"] = validation
        own = asking.student
    card = {**job.card, "task": "answer", DECOMPOSER: DECOMPOSER}
    return replace(job, task="answer", card=card, decomposer=run.storage.uri(own))


def _run(run: Run, job: TrainJob, stage: Stage, reporter: Reporter, label: str) -> dict[str, Any]:
    """Train a job of the stage, under a bar; returns its `summary.json`.

    After round 0 it is empty where nothing can be learned from what there is. Raises NothingToTrainOn in round 0.
    """
    before = steps_done(run.storage, job.checkpoint)
    with reporter.bar(label, 0, "steps") as bar:

        def show(progress: TrainProgress) -> None:
            bar.total(progress.steps)
            held_out = "" if progress.held_out is None else f", held out {progress.held_out:.3f}"
            figures = "".join(f", {name} {value:.3f}" for name, value in progress.figures.items())
            bar.to(progress.step, f"loss {progress.loss:.3f}{figures}{held_out}")

        try:
            checkpoint = train(job, show)
        except NothingToTrainOn as error:
            # Of a few new examples or pairs that may be so by chance, and the rounds before have a student.
            if job.round == 0:
                raise
            reporter.say(f"  {label}: {error.message}")
            return {}
        summary = json.loads(run.storage.read(f"{job.checkpoint}/summary.json"))
        bar.total(checkpoint.steps)
        best = f", held out {validation_words(summary['validation'])}" if "validation" in summary else ""
        bar.to(checkpoint.steps, f"loss {checkpoint.loss:.3f}{best}")
    stage.new += checkpoint.steps - before
    stage.reused += before
    return summary


def _checkpoint(summary: dict[str, Any]) -> dict[str, Any]:
    return asdict(from_row(Checkpoint, summary))


def _write_once(storage: Storage, name: str, kind: type[Any], rows: Sequence[Any]) -> None:
    """What a training that resumes began with stays."""
    if not storage.exists(name):
        storage.write_rows(name, kind, rows)


def pairs_of(run: Run, round_: int) -> list[Pair]:
    """The pairs of a curated round; none where no preferences are learned."""
    if not round_ or run.recipe.refine.preference is None:
        return []
    return list(run.storage.scan_rows(f"round-{round_}/pairs", Pair))


def limit_of(run: Run, round_: int) -> int | None:
    """Most training tokens of a round, from the recipe and from the calibration."""
    limits = [run.recipe.train.max_tokens]
    if sizes := run.sizes:
        limits.append(sizes.refine_tokens if round_ else sizes.train_tokens)
    return min((limit for limit in limits if limit is not None), default=None)
