"""The loop: plan, sample, judge, curate, train, evaluate; then again with the student as its own teacher.

Every stage is idempotent by id and by the manifest, so the loop holds no state of its own: calling it again on a run
folder goes on where it stopped and redoes nothing that is finished.
"""

from __future__ import annotations

from pad_ray.evaluate.card import write_card
from pad_ray.evaluate.run import EvaluateJob, evaluate
from pad_ray.flow.curating import curate
from pad_ray.flow.plan import plan
from pad_ray.flow.progress import Reporter
from pad_ray.flow.sampling import sample_and_judge
from pad_ray.flow.students import student_of
from pad_ray.flow.training import train_round
from pad_ray.run import Run


def distill(run: Run, reporter: Reporter) -> None:
    """Every stage of every round of the recipe."""
    plan(run, 0)
    if run.recipe.evaluate.baselines:
        evaluate_round(run, -1, reporter)
    for round_ in range(run.recipe.refine.rounds + 1):
        plan(run, round_)
        sample_and_judge(run, round_, reporter)
        curate(run, round_, reporter)
        train_round(run, round_, reporter)
        evaluate_round(run, round_, reporter)
        write_card(str(run.storage), round_)


def evaluate_round(run: Run, round_: int, reporter: Reporter) -> None:
    """Measure the student of a round on every suite; round -1 is the untrained student."""
    if run.done(round_, "evaluate"):
        return
    if round_ < 0:
        run.require(0, "plan")
    else:
        run.require(round_, "train")
    recipe = run.recipe
    with run.stage(round_, "evaluate") as stage:
        for suite in recipe.problems.eval:
            out = f"round-{round_}/eval/{suite}" if round_ >= 0 else f"base/eval/{suite}/zero_shot"
            there = run.storage.exists(f"{out}/summary.json")
            job = EvaluateJob(
                root=str(run.storage),
                problems=f"problems/eval/{suite}.parquet",
                student=str(run.storage.path(student_of(run, round_)).absolute()),
                out=out,
                decode=recipe.decode,
                sandbox=recipe.sandbox,
                init=recipe.student.init if round_ < 0 else "pretrained",
                seed=recipe.seed,
                student_name=f"round {round_}" if round_ >= 0 else f"untrained {recipe.student.model}",
                problems_name=suite,
            )
            label = f"round {round_}: evaluate" if round_ >= 0 else "untrained: evaluate"
            with reporter.bar(f"{label} {suite}", 0, "problems") as bar:

                def show(done: int, total: int) -> None:
                    bar.total(total)
                    bar.to(done)

                summary = evaluate(job, show)
                bar.total(summary["n"])
                bar.to(summary["n"], f"{summary['correct']} of {summary['n']} correct")
            stage.counts[suite] = {key: summary[key] for key in ("n", "correct", "accuracy", "ci95", "executable_rate")}
            stage.counts[suite]["prompt"] = "zero_shot"
            stage.new += 0 if there else summary["n"]
            stage.reused += summary["n"] if there else 0
