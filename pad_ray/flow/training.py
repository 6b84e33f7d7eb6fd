"""The stage `train` of a round: which examples, from which student, into which folders."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict

from pad_ray.curate.select import mix
from pad_ray.flow.calibrate import calibrate
from pad_ray.flow.progress import Reporter
from pad_ray.flow.students import student_of, teaching_student
from pad_ray.records import Example
from pad_ray.run import Run
from pad_ray.status import validation_words
from pad_ray.train.launch import TrainJob, TrainProgress, steps_done, train


def train_round(run: Run, round_: int, reporter: Reporter) -> None:
    """Train the student of a round on its examples (and a replay of earlier ones), unless that is done."""
    if run.done(round_, "train"):
        return
    fresh = run.is_fresh(round_)
    run.require(round_ if fresh else round_ - 1, "curate" if fresh else "train")
    calibrate(run, reporter)
    recipe = run.recipe
    with run.stage(round_, "train") as stage:
        mixture = mixture_of(run, round_)
        if not mixture:
            # Only possible after round 0: the student made nothing new, so it stays as it is.
            stage.counts = {"checkpoint": {"student": student_of(run, round_ - 1)}, "skipped": "nothing new to learn"}
            reporter.say(f"  round {round_}: nothing new to learn, the student stays as it is")
            return
        steps = recipe.refine.steps if round_ else None
        name = f"round-{round_}/checkpoint/mixture.parquet"
        if not run.storage.exists(name):
            run.storage.write_rows(name, Example, mixture)
        job = TrainJob(
            root=str(run.storage),
            round=round_,
            mixture=name,
            model=teaching_student(run, round_),
            init="pretrained" if round_ else recipe.student.init,
            checkpoint=f"round-{round_}/checkpoint",
            student=f"round-{round_}/student",
            settings=recipe.train,
            epochs=recipe.refine.epochs if round_ else recipe.train.epochs,
            tokens=None if steps else limit_of(run, round_),
            steps=steps,
            lr=(recipe.refine.lr or recipe.train.lr) if round_ else recipe.train.lr,
            seed=_seed(run, round_),
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
        )
        before = steps_done(run.storage, job.checkpoint)
        with reporter.bar(f"round {round_}: train", 0, "steps") as bar:

            def show(progress: TrainProgress) -> None:
                bar.total(progress.steps)
                held_out = "" if progress.held_out is None else f", held out {progress.held_out:.3f}"
                bar.to(progress.step, f"loss {progress.loss:.3f}{held_out}")

            checkpoint = train(job, show)
            summary = json.loads(run.storage.read(f"{job.checkpoint}/summary.json"))
            validation = summary.get("validation", {})
            bar.total(checkpoint.steps)
            best = f", held out {validation_words(validation)}" if validation else ""
            bar.to(checkpoint.steps, f"loss {checkpoint.loss:.3f}{best}")
        if recipe.train.validation and not validation:
            reporter.say(f"  round {round_}: none of its questions is held out, so its loss was not measured on any")
        stage.new, stage.reused = checkpoint.steps - before, before
        stage.counts = {
            "checkpoint": asdict(checkpoint),
            "examples": len(mixture),
            "by_task": dict(Counter(example.task for example in mixture)),
            "by_origin": dict(Counter(example.origin for example in mixture)),
        }
        if validation:
            stage.counts["validation"] = validation


def limit_of(run: Run, round_: int) -> int | None:
    """Most training tokens of a round, from the recipe and from the calibration."""
    limits = [run.recipe.train.max_tokens]
    if sizes := run.sizes:
        limits.append(sizes.refine_tokens if round_ else sizes.train_tokens)
    return min((limit for limit in limits if limit is not None), default=None)


def mixture_of(run: Run, round_: int) -> list[Example]:
    """What a round trains on: its own examples and, after round 0, a replay of earlier ones, or only earlier ones."""
    new = list(run.storage.scan_rows(f"round-{round_}/examples", Example))
    if round_ == 0:
        return new
    earlier = [
        example for before in range(round_) for example in run.storage.scan_rows(f"round-{before}/examples", Example)
    ]
    refine, seed = run.recipe.refine, _seed(run, round_)
    if not refine.fresh:
        return mix(earlier, [], 0, seed, refine.repair_ratio)
    return mix(new, earlier, refine.replay, seed, refine.repair_ratio)


def _seed(run: Run, round_: int) -> int:
    return run.recipe.seed + round_ + (run.recipe.refine.seed if round_ else 0)
