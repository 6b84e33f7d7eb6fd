"""One student against files of problems: prompts in, programs out, executed, graded, summed up.

A student is loaded once, in a single Ray task for all its jobs, so that the driver never loads torch and a cluster's
head may have no CPUs. A finished evaluation is its `summary.json`, written last; where it is, nothing is done again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pad_ray.decode.scoring import load_scorer
from pad_ray.errors import ProblemError, StudentError, UsageError
from pad_ray.evaluate.answer import answer_batch, answer_directly
from pad_ray.evaluate.asking import asking
from pad_ray.evaluate.folder import read_json, write_answers
from pad_ray.evaluate.metrics import GradedAnswer, summarise
from pad_ray.flow.cluster import plain_errors
from pad_ray.reasoner import student_thought
from pad_ray.recipe import Decode, Match, Prompt, SandboxSettings
from pad_ray.records import Example, Problem
from pad_ray.sandbox import Sandbox
from pad_ray.storage import Storage, local_copy, to_row
from pad_ray.thoughts import direct
from pad_ray.thoughts.protocol import Thought

if TYPE_CHECKING:
    from pad_ray.decode.transformers_engine import TransformersEngine

ROWS = 512
"""Most texts that are written at once where a question has several: their keys and values fill the memory."""

Progress = Callable[[int, int], None]
"""Called with (problems done, problems in all)."""


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
    """How the student is asked; a trained one for a program in the form it learned, which counts as zero_shot."""
    exemplars: tuple[Example, ...] = ()
    """Solved examples for few_shot."""
    init: Literal["pretrained", "random"] = "pretrained"
    """random: take only shape and tokenizer from the folder and draw the weights under `seed`."""
    seed: int = 0
    """Seed of sampling and of random weights."""
    match: Match = "exact"
    """When a number counts as the gold answer."""
    limit: int | None = None
    """Take only this many problems (the first ones)."""
    student_name: str = ""
    """What summary.json calls the student; empty: its folder."""
    probe: bool = False
    """Ask a trained student just as the untrained one is asked, whatever form it has learned."""
    problems_name: str = ""
    """What summary.json calls the problems; empty: their file."""
    dropped: Mapping[str, int] | None = None
    """Problems that were left out before, by reason, for summary.json; None: it says nothing of them."""


class Step(NamedTuple):
    """How far a job has come."""

    job: EvaluateJob
    """The job."""
    done: int
    """Problems answered."""
    total: int
    """Problems in all."""


def evaluate(job: EvaluateJob, on_progress: Progress | None = None) -> dict[str, Any]:
    """Measure a student and return its summary; Ray must be initialised.

    Raises ProblemError for problems that cannot be graded, StudentError for a folder that is no model, UsageError if
    the folder already holds another evaluation.
    """
    for step in evaluate_all([job]):
        if on_progress:
            on_progress(step.done, step.total)
    return summary_of(job)


def evaluate_all(jobs: Sequence[EvaluateJob]) -> Iterator[Step]:
    """Do the jobs of one student (same folder, `init` and seed), those asked alike together; Ray must be initialised.

    Yields a step when a sitting begins and after each batch; a job with done == total has its summary. Jobs
    that were finished before are passed over. Raises what
    `evaluate` raises, for any of the jobs before the first of them runs.
    """
    if len({(job.student, job.init, job.seed) for job in jobs}) > 1:
        raise ValueError("the jobs are for several students, but one is loaded for all of them")
    pending: list[tuple[EvaluateJob, list[Problem]]] = []
    for job in jobs:
        problems = Storage(job.root).read_rows(job.problems, Problem)
        if not finished(job, problems):
            pending.append((job, _gradable(problems, job)))
    if not pending:
        return

    import ray

    yield Step(pending[0][0], 0, len(pending[0][1]))
    gpus = 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0
    task = ray.remote(num_cpus=1, num_gpus=gpus)(_evaluate_here).options(num_returns="streaming")
    stream: Any = task.remote(pending)
    with plain_errors():
        for item in stream:
            number, done = ray.get(item)
            yield Step(pending[number][0], done, len(pending[number][1]))


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
        for key, value in _facts(job, problems[: job.limit]).items()
        if summary and summary.get(key) != value
    ]
    if differences:
        raise UsageError(
            f"{Storage(job.root).where(job.out)} holds another evaluation ({'; '.join(differences)}).",
            hint="Choose another folder, or delete it.",
        )
    return summary


def _facts(job: EvaluateJob, problems: Sequence[Problem]) -> dict[str, Any]:
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
        "problems": job.problems_name or job.problems,
        "seed": job.seed,
        "max_tokens": decode.max_tokens if programs else direct.MAX_TOKENS,
        "match": job.match,
        "limit": job.limit,
        "problems_hash": _content_hash(problems),
    }


def _content_hash(problems: Sequence[Problem]) -> str:
    content = [to_row([problem.problem_id, problem.question, problem.answer]) for problem in problems]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _gradable(problems: list[Problem], job: EvaluateJob) -> list[Problem]:
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


def _evaluate_here(pending: list[tuple[EvaluateJob, list[Problem]]]) -> Iterator[tuple[int, int]]:
    """The remote task: yields (number of the job, problems done) as each begins and after each of its batches."""
    from pad_ray.decode.loading import load_engine

    first = pending[0][0]
    student = str(local_copy(first.student))
    with tempfile.TemporaryDirectory(prefix="pad_ray_") as drawn:
        if first.init == "random":
            _draw_student(student, drawn, first.seed)
        # All cores: nothing else runs meanwhile, whatever the one logical CPU of this task says.
        engine = load_engine(drawn if first.init == "random" else student, threads=os.cpu_count())
        trained = student_thought(student) if (Path(student) / "pad_ray.json").is_file() else None
        sittings = groupby(enumerate(pending), key=lambda item: _sitting(item[1][0]))
        for _, jobs in sittings:
            yield from _answer(engine, trained, [(number, job, problems) for number, (job, problems) in jobs])


def _sitting(job: EvaluateJob) -> tuple[Any, ...]:
    """Jobs that are alike in this go through the student together: large batches take far less time a row."""
    return job.prompt, job.exemplars, job.decode, job.sandbox, job.match, job.probe


def _answer(
    engine: TransformersEngine, trained: Thought | None, jobs: list[tuple[int, EvaluateJob, list[Problem]]]
) -> Iterator[tuple[int, int]]:
    """Do the jobs of one sitting; yields (number of the job, problems done), at last when its files are written."""
    first = jobs[0][1]
    rows = [(place, problem) for place, (_, _, problems) in enumerate(jobs) for problem in problems]
    # Batches of like size: a last one of a few rows would take nearly as long as a full one.
    size = -(-len(rows) // -(-len(rows) // first.decode.batch_size))
    engine.batch_size = max(size, min(size * first.decode.width, ROWS))
    engine.wraps = engine.learned_chat and not first.probe
    way = asking(engine, first.prompt, first.exemplars, trained=None if first.probe else trained)
    rounded = first.match == "rounded"
    answers: list[list[GradedAnswer]] = [[] for _ in jobs]
    seconds = [0.0] * len(jobs)
    with ExitStack() as stack:
        box = scorer = None
        if first.prompt != "direct":
            settings = first.sandbox
            box = stack.enter_context(Sandbox(level=settings.level, timeout_s=settings.timeout_s, confirm=True))
            scorer = load_scorer(first.decode, engine)
        yield jobs[0][0], 0
        for start in range(0, len(rows), size):
            places, problems = zip(*rows[start : start + size], strict=True)
            started = time.monotonic()
            if box is None:
                graded = answer_directly(engine, problems, way, rounded=rounded)
            else:
                graded = answer_batch(
                    engine, box, problems, first.decode, first.seed, way, scorer=scorer, rounded=rounded
                )
            each = (time.monotonic() - started) / len(places)
            for place, answer in zip(places, graded, strict=True):
                answers[place].append(answer)
                seconds[place] += each
            for place in dict.fromkeys(places):
                number, job, asked = jobs[place]
                if len(answers[place]) == len(asked):
                    asked_with = {"verifier": scorer.card} if scorer and scorer.card else {}
                    _write(job, asked, answers[place], seconds[place], {"sandbox": box and box.level, **asked_with})
                yield number, len(answers[place])


def _write(
    job: EvaluateJob,
    problems: Sequence[Problem],
    answers: Sequence[GradedAnswer],
    seconds: float,
    found: Mapping[str, Any],
) -> None:
    """answers.jsonl, then summary.json with what else was `found`: with that the job is finished."""
    facts: dict[str, Any] = {**_facts(job, problems), **found}
    if job.prompt == "direct":
        facts["executable_rate"] = 0.0  # there were no programs
    if job.dropped is not None:
        facts["dropped"] = dict(job.dropped)
    storage = Storage(job.root)
    write_answers(storage, job.out, answers)
    summary = summarise(answers, seconds=round(seconds, 3), **facts)
    storage.write(f"{job.out}/summary.json", (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())


def _draw_student(shape: str, target: str, seed: int) -> None:
    """Write a student with the folder's shape and tokenizer and fresh weights, the ones that training starts from."""
    import torch
    from transformers import AutoConfig, AutoTokenizer

    from pad_ray.decode.loading import model_class

    try:
        config = AutoConfig.from_pretrained(shape, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(shape, local_files_only=True)
    except (OSError, ValueError) as error:
        raise StudentError(
            f"student: {shape!r} has no shape to draw weights for: {error}",
            hint="Name a Hugging Face folder with config.json and the tokenizer's files.",
        ) from error
    torch.manual_seed(seed)
    model_class(config).from_config(config, dtype=torch.float32).save_pretrained(target)
    tokenizer.save_pretrained(target)
