"""`pad-ray evaluate --student`: any student folder on any problems, outside a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pad_ray.errors import UsageError
from pad_ray.evaluate.run import EvaluateJob, evaluate, finished
from pad_ray.flow.progress import Reporter
from pad_ray.problems import take_in
from pad_ray.recipe import Decode, SandboxSettings
from pad_ray.records import Problem
from pad_ray.storage import Storage, resolve_uri


def evaluate_student(
    student: str,
    problems: str,
    out: Path,
    *,
    decode: str,
    samples: int,
    limit: int | None,
    seed: int,
    reporter: Reporter,
) -> dict[str, Any]:
    """Write summary.json and answers.jsonl into `out` and return the summary; Ray must be connected.

    Raises UsageError, ProblemError or StudentError for what the user named.
    """
    try:
        settings = Decode.model_validate({"kind": decode, "samples": samples if decode == "vote" else 1})
    except ValidationError as error:
        raise UsageError(f"--decode: {decode!r} is not available ({error.errors()[0]['msg']}).") from None
    storage = Storage(out)
    intake = take_in(problems, "evaluation")
    job = EvaluateJob(
        root=str(storage),
        problems="problems.parquet",
        student=str(Path(resolve_uri(student)).absolute()),
        out=".",
        decode=settings,
        sandbox=SandboxSettings(),
        seed=seed,
        limit=limit,
        student_name=student,
        problems_name=problems,
        dropped=dict(intake.dropped),
    )
    if summary := finished(job, intake.problems):
        return summary
    # Only now: the problems of another evaluation stay beside its answers.
    storage.write_rows(job.problems, Problem, intake.problems)
    with reporter.bar("evaluate", 0, "problems") as bar:

        def show(done: int, total: int) -> None:
            bar.total(total)
            bar.to(done)

        return evaluate(job, show)
