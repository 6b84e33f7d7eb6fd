"""`pad-ray evaluate --student`: any student on any problems, outside a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pad_ray.errors import UsageError
from pad_ray.evaluate.job import EvaluateJob, finished
from pad_ray.evaluate.run import evaluate
from pad_ray.flow.progress import Reporter
from pad_ray.problems import take_in
from pad_ray.recipe import REPAIRS, Decode, EngineName, Evaluate, SandboxSettings
from pad_ray.records import Problem
from pad_ray.storage import Storage
from pad_ray.students import local_student, weights_mark


def decoding(decode: str, samples: int, max_tokens: int = 256) -> Decode:
    """What `--decode` and `--samples` say: greedy, vote, beam, or repair, which is greedy with repairs.

    Raises UsageError for anything else.
    """
    kind, repairs = ("greedy", REPAIRS) if decode == "repair" else (decode, 0)
    drawn = samples if kind == "vote" else 1
    try:
        return Decode.model_validate({"kind": kind, "samples": drawn, "repairs": repairs, "max_tokens": max_tokens})
    except ValidationError:
        raise UsageError(
            f"--decode: {decode!r} is not available.",
            hint="Choose greedy, vote, beam or repair; `pad-ray decoders` takes every setting.",
        ) from None


def measuring_engine(engine: str) -> EngineName:
    """What `--engine` says. Raises UsageError; for `auto` too, or figures would depend on the machine."""
    try:
        return Evaluate.model_validate({"engine": engine}).engine
    except ValidationError as error:
        raise UsageError(f"--engine: {engine!r} is not available ({error.errors()[0]['msg']}).") from None


def evaluate_student(
    student: str,
    problems: str,
    out: str | Path,
    *,
    decode: str,
    samples: int,
    max_tokens: int = 256,
    limit: int | None,
    seed: int,
    rounded: bool = False,
    engine: EngineName = "transformers",
    reporter: Reporter,
) -> dict[str, Any]:
    """Write summary.json and answers.jsonl into `out` and return the summary; Ray must be connected.

    The student is a folder, a hub id or a URI, and is fetched if it must be. Raises UsageError, ProblemError or
    StudentError for what the user named, StorageError where there is no room.
    """
    settings = decoding(decode, samples, max_tokens)
    storage = Storage(out)
    intake = take_in(problems, "evaluation")
    job = EvaluateJob(
        root=str(storage),
        problems="problems.parquet",
        student="",
        out=".",
        decode=settings,
        sandbox=SandboxSettings(),
        seed=seed,
        match="rounded" if rounded else "exact",
        engine=engine,
        limit=limit,
        student_name=student,
        weights=weights_mark(student),
        problems_name=problems,
        dropped=dict(intake.dropped),
    )
    if summary := finished(job, intake.problems):
        return summary
    # What is finished needs no student. Only now, too: the problems of another evaluation stay beside its answers.
    job = replace(job, student=str(local_student(student, say=reporter.say, key="student")))
    storage.write_rows(job.problems, Problem, intake.problems)
    with reporter.bar("evaluate", 0, "problems") as bar:

        def show(done: int, total: int) -> None:
            bar.total(total)
            bar.to(done)

        return evaluate(job, show)
