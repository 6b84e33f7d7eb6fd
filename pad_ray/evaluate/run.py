"""One student against one file of problems: prompts in, programs out, executed, graded, summed up.

All of it is a single Ray task, so that the driver never loads torch and a cluster's head may have no CPUs. A finished
evaluation is its `summary.json`: it is written last, and where it exists nothing is done again.
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
from typing import TYPE_CHECKING, Any, Literal

from pad_ray.decode.voting import vote
from pad_ray.errors import ProblemError, StudentError, UsageError
from pad_ray.evaluate.folder import read_json, write_answers
from pad_ray.evaluate.metrics import GradedAnswer, summarise
from pad_ray.flow.cluster import plain_errors
from pad_ray.grading.verdict import judge
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Decode, SandboxSettings
from pad_ray.records import Problem
from pad_ray.sandbox import Sandbox
from pad_ray.storage import Storage, to_row
from pad_ray.thoughts.program import parse, student_prompt

if TYPE_CHECKING:
    from pad_ray.decode.engine import Engine

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
    """Hugging Face folder, absolute."""
    out: str
    """Folder for summary.json and answers.jsonl."""
    decode: Decode
    """How each question is answered."""
    sandbox: SandboxSettings
    """How programs are executed."""
    init: Literal["pretrained", "random"] = "pretrained"
    """random: take only shape and tokenizer from the folder and draw the weights under `seed`."""
    seed: int = 0
    """Seed of sampling and of random weights."""
    limit: int | None = None
    """Take only this many problems (the first ones)."""
    student_name: str = ""
    """What summary.json calls the student; empty: its folder."""
    problems_name: str = ""
    """What summary.json calls the problems; empty: their file."""
    dropped: Mapping[str, int] | None = None
    """Problems that were left out before, by reason, for summary.json; None: it says nothing of them."""


def evaluate(job: EvaluateJob, on_progress: Progress | None = None) -> dict[str, Any]:
    """Measure a student and return its summary; Ray must be initialised.

    Raises ProblemError for problems that cannot be graded, StudentError for a folder that is no model, UsageError if
    the folder already holds another evaluation.
    """
    storage = Storage(job.root)
    problems = storage.read_rows(job.problems, Problem)
    if summary := finished(job, problems):
        return summary
    problems = _gradable(problems, job)

    import ray

    gpus = 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0
    task = ray.remote(num_cpus=1, num_gpus=gpus)(_evaluate_here).options(num_returns="streaming")
    steps: Any = task.remote(job, problems)
    with plain_errors():
        for step in steps:
            done: int = ray.get(step)
            if on_progress:
                on_progress(done, len(problems))
    return read_json(storage, f"{job.out}/summary.json")


def finished(job: EvaluateJob, problems: Sequence[Problem]) -> dict[str, Any]:
    """The summary, if the folder already holds this evaluation of these problems, else {}.

    Raises UsageError if it holds another one.
    """
    storage = Storage(job.root)
    summary = read_json(storage, f"{job.out}/summary.json")
    differences = [
        f"{key}: {summary.get(key)!r} there, {value!r} now"
        for key, value in _facts(job, problems[: job.limit]).items()
        if summary and summary.get(key) != value
    ]
    if differences:
        raise UsageError(
            f"{storage.path(job.out)} holds another evaluation ({'; '.join(differences)}).",
            hint="Choose another folder, or delete it.",
        )
    return summary


def _facts(job: EvaluateJob, problems: Sequence[Problem]) -> dict[str, Any]:
    """What summary.json says of the job; two evaluations that differ in it are not the same."""
    return {
        "decode": job.decode.kind,
        "samples": _samples(job.decode),
        "student": job.student_name or job.student,
        "problems": job.problems_name or job.problems,
        "seed": job.seed,
        "max_tokens": job.decode.max_tokens,
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


def _evaluate_here(job: EvaluateJob, problems: list[Problem]) -> Iterator[int]:
    """The remote task: yields the number of problems done after each batch, and writes the two files at the end."""
    from pad_ray.decode.transformers_engine import TransformersEngine

    storage, settings, answers = Storage(job.root), job.sandbox, list[GradedAnswer]()
    with ExitStack() as stack:
        student = job.student
        if job.init == "random":
            student = stack.enter_context(tempfile.TemporaryDirectory(prefix="pad_ray_"))
            _draw_student(job.student, student, job.seed)
        # All cores: nothing else runs meanwhile, whatever the one logical CPU of this task says.
        engine = TransformersEngine(student, batch_size=job.decode.batch_size, threads=os.cpu_count())
        box = stack.enter_context(Sandbox(level=settings.level, timeout_s=settings.timeout_s, confirm=True))
        started = time.monotonic()
        for first in range(0, len(problems), job.decode.batch_size):
            batch = problems[first : first + job.decode.batch_size]
            answers += answer_batch(engine, box, batch, job.decode, job.seed)
            yield len(answers)
        seconds = time.monotonic() - started
        level = box.level
    write_answers(storage, job.out, answers)
    dropped = {} if job.dropped is None else {"dropped": dict(job.dropped)}
    summary = summarise(answers, seconds=seconds, sandbox=level, **_facts(job, problems), **dropped)
    storage.write(f"{job.out}/summary.json", (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())


def answer_batch(
    engine: Engine, box: Sandbox, problems: Sequence[Problem], decode: Decode, seed: int
) -> list[GradedAnswer]:
    """Answer problems together: `samples` programs each, run at once, one graded answer per problem in order."""
    samples = _samples(decode)
    # A sample's seed depends on its problem, so that neither batch size nor limit changes any answer.
    seeds = [_seed(seed, problem.problem_id, k) for problem in problems for k in range(samples)]
    completions = engine.generate(
        [student_prompt(problem.question) for problem in problems for _ in range(samples)],
        max_tokens=decode.max_tokens,
        temperature=0.0 if decode.kind == "greedy" else decode.temperature,
        seed=seeds,
    )
    parsed = [parse(one.text, one.finish_reason) for one in completions]
    runnable = [index for index, one in enumerate(parsed) if one.outcome is None]
    executions = dict(zip(runnable, box.run([parsed[i].program for i in runnable], lane="batch"), strict=True))
    # The value is read without the gold answer: it may decide what is right, never which program is chosen.
    values = [judge(executions[i], None)[1] if i in executions else None for i in range(len(parsed))]

    answers: list[GradedAnswer] = []
    for number, problem in enumerate(problems):
        own = range(number * samples, (number + 1) * samples)
        winner, _ = vote([values[i] for i in own])
        chosen = next((i for i in own if winner is not None and values[i] == winner), own[0])
        if chosen in executions:
            outcome, value, detail = judge(executions[chosen], problem.answer)
        else:
            outcome, value, detail = parsed[chosen].outcome or Outcome.REFUSED, "", ""
        answers.append(
            GradedAnswer(
                problem_id=problem.problem_id,
                question=problem.question,
                gold=problem.answer,
                answer=value or None,
                outcome=outcome,
                detail=detail,
                program=parsed[chosen].program,
                tokens=sum(completions[i].completion_tokens for i in own),
                source=problem.source,
            )
        )
    return answers


def _samples(decode: Decode) -> int:
    return 1 if decode.kind == "greedy" else decode.samples


def _seed(seed: int, problem_id: str, k: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{problem_id}/{k}".encode()).digest()[:4], "big")


def _draw_student(shape: str, target: str, seed: int) -> None:
    """Write a student with the folder's shape and tokenizer and fresh weights, the ones that training starts from."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(shape, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(shape, local_files_only=True)
    except (OSError, ValueError) as error:
        raise StudentError(
            f"student: {shape!r} has no shape to draw weights for: {error}",
            hint="Name a Hugging Face folder with config.json and the tokenizer's files.",
        ) from error
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(target)
    tokenizer.save_pretrained(target)
