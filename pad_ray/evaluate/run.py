"""One student against files of problems: prompts in, programs out, executed, graded, summed up.

A student is loaded once, in a single Ray task that goes through all its jobs, so that the driver never loads torch and
a cluster's head may have no CPUs.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pad_ray.decode.scoring import load_scorer
from pad_ray.errors import StudentError
from pad_ray.evaluate.answer import answer_batch, answer_directly, answer_given
from pad_ray.evaluate.asking import asking
from pad_ray.evaluate.folder import write_answers
from pad_ray.evaluate.job import EvaluateJob, facts_of, finished, gradable, summary_of
from pad_ray.evaluate.metrics import GradedAnswer, arithmetic_of, by_form, summarise
from pad_ray.flow.cluster import plain_errors
from pad_ray.flow.placement import here
from pad_ray.reasoner import student_thoughts
from pad_ray.records import Problem
from pad_ray.sandbox import Sandbox
from pad_ray.storage import Storage, local_copy
from pad_ray.thoughts import THOUGHTS, program, socratic
from pad_ray.thoughts.several import Forms, names_of, words

if TYPE_CHECKING:
    from pad_ray.decode.student_engine import StudentEngine

ROWS = 512
"""Most texts that are written at once where a question has several: their keys and values fill the memory."""

Progress = Callable[[int, int], None]
"""Called with (problems done, problems in all)."""


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
    """Do the jobs of one student (same folder, `init`, seed, engine), those asked alike together; Ray is initialised.

    Yields a step when a sitting begins and after each batch; a job with done == total has its summary. Jobs
    that were finished before are passed over. Raises what
    `evaluate` raises, for any of the jobs before the first of them runs.
    """
    if len({(job.student, job.init, job.seed, job.engine) for job in jobs}) > 1:
        raise ValueError("the jobs are for several students, but one is loaded for all of them")
    pending: list[tuple[EvaluateJob, list[Problem]]] = []
    for job in jobs:
        problems = Storage(job.root).read_rows(job.problems, Problem)
        if not finished(job, problems):
            pending.append((job, gradable(problems, job)))
    if not pending:
        return

    import ray

    yield Step(pending[0][0], 0, len(pending[0][1]))
    cluster = here()
    # vLLM has an actor of its own on the GPU.
    gpus = min(cluster.gpus(), 1) if pending[0][0].engine == "transformers" else 0
    task = ray.remote(num_cpus=1, num_gpus=gpus, **cluster.place_model(gpus))(_evaluate_here).options(
        num_returns="streaming"
    )
    stream: Any = task.remote(pending)
    with plain_errors():
        for item in stream:
            number, done = ray.get(item)
            yield Step(pending[number][0], done, len(pending[number][1]))


def _evaluate_here(pending: list[tuple[EvaluateJob, list[Problem]]]) -> Iterator[tuple[int, int]]:
    """The remote task: yields (number of the job, problems done) as each begins and after each of its batches."""
    from pad_ray.decode.loading import load_engine

    first = pending[0][0]
    student = str(local_copy(first.student))
    with tempfile.TemporaryDirectory(prefix="pad_ray_") as drawn:
        if first.init == "random":
            _draw_student(student, drawn, first.seed)
        # All cores: nothing else runs meanwhile, whatever the one logical CPU of this task says.
        folder = drawn if first.init == "random" else student
        engine = load_engine(folder, first.engine, threads=os.cpu_count())
        trained = student_thoughts(student) if (Path(student) / "pad_ray.json").is_file() else None
        sittings = groupby(enumerate(pending), key=lambda item: _sitting(item[1][0]))
        for _, jobs in sittings:
            yield from _answer(engine, trained, [(number, job, problems) for number, (job, problems) in jobs])


def _sitting(job: EvaluateJob) -> tuple[Any, ...]:
    """Jobs that are alike in this go through the student together: large batches take far less time a row."""
    return job.prompt, job.thought, job.exemplars, job.decode, job.sandbox, job.match, job.probe


def _answer(
    engine: StudentEngine, trained: Forms | None, jobs: list[tuple[int, EvaluateJob, list[Problem]]]
) -> Iterator[tuple[int, int]]:
    """Do the jobs of one sitting; yields (number of the job, problems done), at last when its files are written."""
    first = jobs[0][1]
    rows = [(place, problem) for place, (_, _, problems) in enumerate(jobs) for problem in problems]
    # Batches of like size: a last one of a few rows would take nearly as long as a full one.
    size = -(-len(rows) // -(-len(rows) // first.decode.batch_size))
    engine.batch_size = max(size, min(size * first.decode.width, ROWS))
    engine.wraps = engine.learned_chat and not first.probe
    learned = None if first.probe else trained
    thoughts = learned or THOUGHTS[first.thought]
    way = asking(engine, first.prompt, first.exemplars, thoughts=thoughts, trained=learned is not None)
    rounded = first.match == "rounded"
    asked_for = {} if thoughts is program else {"thought": names_of(thoughts)}
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
                    found: dict[str, Any] = {"sandbox": box and box.level, **asked_for}
                    if scorer and scorer.card:
                        found["verifier"] = scorer.card
                    if box and isinstance(thoughts, tuple):
                        found["by_form"] = by_form(answers[place])
                    if box and words(thoughts).CONCLUDED == "read":
                        found["arithmetic"] = arithmetic_of(answers[place])
                    if box and learned is socratic:
                        found |= answer_given(engine, box, asked, first.decode, first.seed, way, rounded=rounded)
                    _write(job, asked, answers[place], seconds[place], found)
                yield number, len(answers[place])


def _write(
    job: EvaluateJob,
    problems: Sequence[Problem],
    answers: Sequence[GradedAnswer],
    seconds: float,
    found: Mapping[str, Any],
) -> None:
    """answers.jsonl, then summary.json with what else was `found`: with that the job is finished."""
    facts: dict[str, Any] = {**facts_of(job, problems), **found}
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
