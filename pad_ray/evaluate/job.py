"""What one evaluation depends on, and whether a folder holds it already.

A finished evaluation is its `summary.json`: it is written last, and where it exists nothing is done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pad_ray.errors import ProblemError, UsageError
from pad_ray.evaluate.folder import read_json
from pad_ray.recipe import Decode, EngineName, Match, Prompt, SandboxSettings
from pad_ray.records import Example, Problem
from pad_ray.storage import Storage, to_row
from pad_ray.thoughts import direct


@dataclass(frozen=True, slots=True)
class EvaluateJob:
    """Everything one evaluation depends on."""

    root: str
    """Root of the storage; the other names are relative to it unless said otherwise."""
    problems: str
    """Parquet file of Problem rows."""
    student: str
    """Hugging Face folder: an absolute path, or an s3:// URI."""
    out: str
    """Folder for summary.json and answers.jsonl."""
    decode: Decode
    """How programs are decoded."""
    sandbox: SandboxSettings
    """How programs are executed."""
    prompt: Prompt = "zero_shot"
    """How the student is asked; a trained one in the form it learned, which counts as zero_shot."""
    thought: str = "program"
    """The form of reasoning that an untrained student is asked for; a trained one says itself which one it learned."""
    exemplars: tuple[Example, ...] = ()
    """Solved examples for few_shot."""
    init: Literal["pretrained", "random"] = "pretrained"
    """random: take only shape and tokenizer from the folder and draw the weights under `seed`."""
    seed: int = 0
    """Seed of sampling and of random weights."""
    match: Match = "exact"
    """When a number counts as the gold answer."""
    engine: EngineName = "transformers"
    """What decodes the student."""
    limit: int | None = None
    """Take only this many problems (the first ones)."""
    student_name: str = ""
    """What summary.json calls the student; empty: its folder."""
    weights: str = ""
    """What changes when the student is trained again (`weights_mark`); empty: unknown, or told by the run."""
    probe: bool = False
    """Ask a trained student just as the untrained one is asked, whatever form it has learned."""
    problems_name: str = ""
    """What summary.json calls the problems; empty: their file."""
    dropped: Mapping[str, int] | None = None
    """Problems that were left out before, by reason, for summary.json; None: it says nothing of them."""


def summary_of(job: EvaluateJob) -> dict[str, Any]:
    """The content of the job's summary.json, or {}."""
    return read_json(Storage(job.root), f"{job.out}/summary.json")


def finished(job: EvaluateJob, problems: Sequence[Problem]) -> dict[str, Any]:
    """The summary, if the folder already holds this evaluation of these problems, else {}.

    Raises UsageError if it holds another one.
    """
    summary = summary_of(job)
    differences = [
        f"{key}: {summary.get(key)!r} there, {value!r} now"
        for key, value in facts_of(job, problems[: job.limit]).items()
        if summary and summary.get(key) != value
    ]
    if differences:
        raise UsageError(
            f"{Storage(job.root).where(job.out)} holds another evaluation ({'; '.join(differences)}).",
            hint="Choose another folder, or delete it.",
        )
    return summary


def facts_of(job: EvaluateJob, problems: Sequence[Problem]) -> dict[str, Any]:
    """What summary.json says of the job; two evaluations that differ in it are not the same."""
    programs = job.prompt != "direct"
    decode = job.decode
    voting = programs and decode.kind == "vote"
    return {
        "prompt": job.prompt,
        **({"exemplars": [one.example_id for one in job.exemplars]} if job.prompt == "few_shot" else {}),
        "decode": decode.kind if programs else "greedy",
        "samples": decode.samples if voting else 1,
        **(decode.extras() if programs else {}),
        "student": job.student_name or job.student,
        **({"weights": job.weights} if job.weights else {}),
        "problems": job.problems_name or job.problems,
        "seed": job.seed,
        "max_tokens": decode.max_tokens if programs else direct.MAX_TOKENS,
        "match": job.match,
        **({"engine": job.engine} if job.engine != "transformers" else {}),
        "limit": job.limit,
        "problems_hash": _content_hash(problems),
    }


def _content_hash(problems: Sequence[Problem]) -> str:
    content = [to_row([problem.problem_id, problem.question, problem.answer]) for problem in problems]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def gradable(problems: list[Problem], job: EvaluateJob) -> list[Problem]:
    """The problems that the job asks. Raises ProblemError if there are none, or one has no answer."""
    problems = problems[: job.limit]
    name = job.problems_name or job.problems
    if not problems:
        raise ProblemError(f"{name} holds no problems, so there is nothing to measure.")
    if missing := [problem.problem_id for problem in problems if not problem.answer.strip()]:
        raise ProblemError(
            f"{len(missing)} of the {len(problems)} problems in {name} have no answer (the first is {missing[0]!r}), "
            "so accuracy cannot be measured.",
            hint="Give every evaluation problem an `answer`, or leave these out.",
        )
    return problems
