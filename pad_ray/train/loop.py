"""What every training worker runs: the same loop for one CPU process and for many GPU workers.

Each worker reads the mixture, makes the same plan, and takes its own share of every step. DeepSpeed averages
gradients; the loss is normalised by the amount of the whole step (completion tokens, or pairs), so that neither the
number of workers nor the cut into micro-batches changes what is learned. What the loss is, `objectives` say.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pad_ray.decode.loading import has_encoder
from pad_ray.errors import NothingToTrainOn, StudentError, TrainError
from pad_ray.records import Checkpoint
from pad_ray.storage import Storage, local_copy
from pad_ray.train.deepspeed_config import deepspeed_config, prepare_deepspeed
from pad_ray.train.encode import Encoded, Encoding
from pad_ray.train.held_out import HeldOut, watch_training
from pad_ray.train.material import read_material
from pad_ray.train.packing import Plan, Step, exactly, in_turn, plan
from pad_ray.train.progress import MetricsLog, TrainProgress, read_metrics
from pad_ray.train.schedule import learning_rate
from pad_ray.train.tracking import check_tracking, trackers

if TYPE_CHECKING:
    from pad_ray.train.checkpoint import State, States
    from pad_ray.train.launch import TrainJob
    from pad_ray.train.objectives import Completions


def train_loop(config: dict[str, Any]) -> Checkpoint | TrainError | StudentError | None:
    """The function Ray Train runs on every worker; the first worker returns the Checkpoint, the others None.

    An error that all workers meet alike is returned, not raised: Ray Train would restart them to meet it again.
    """
    try:
        return _train(config["job"])
    except (TrainError, StudentError) as error:
        return error


def _train(job: TrainJob) -> Checkpoint | None:
    import ray.train

    context = ray.train.get_context()
    workers, rank = context.get_world_size(), context.get_world_rank()
    prepare_process(context.get_local_rank(), context.get_local_world_size())
    # Only now: DeepSpeed looks at its surroundings when it is imported.
    from pad_ray.train.beginning import begin
    from pad_ray.train.checkpoint import States
    from pad_ray.train.disk import check_disk, count
    from pad_ray.train.export import add_decomposer, export_student
    from pad_ray.train.lora import add_adapters
    from pad_ray.train.model import load_model, load_tokenizer, recompute_activations, start_engine

    settings = job.settings
    check_tracking(settings)
    storage = Storage(job.root)
    states = States(storage, job.checkpoint)
    base = str(local_copy(job.model))
    tokenizer = load_tokenizer(base)
    material = read_material(job, storage, tokenizer, has_encoder(base))
    encoding = material.learned
    course = plan_training(job, encoding, workers)
    model = load_model(base, job.init, job.seed, len(tokenizer))
    if settings.gradient_checkpointing:
        recompute_activations(model, base)
    if job.lora:
        add_adapters(model, job.lora, job.seed)
    sizes = count(model)
    accumulate = max(len(batches) for step in course.steps for batches in step)
    engine = start_engine(
        model, deepspeed_config(settings, accumulate), job.lr, settings.weight_decay, settings.precision
    )

    def publish(name: str) -> None:
        if job.decomposer and name == job.student:
            add_decomposer(storage.path(name), job.decomposer)
        storage.publish(name)

    def export(name: str) -> None:
        export_student(engine, tokenizer, encoding.rows[0], storage.path(name), job.card)
        if rank == 0:
            publish(name)

    held_out = watch_training(
        material.held_out,
        course.steps,
        settings,
        workers=workers,
        trained=encoding.examples,
        bare=sum(encoding.stages[:-1]),
        pad=tokenizer.pad_token_id,
        keep=lambda state: export(states.best(state)),
    )
    if not storage.remote:
        check_disk(storage.path(job.checkpoint), engine.device, sizes, settings, held_out.wants_best)
    mark = fingerprint(job, encoding, held_out.rows)
    objective = begin(job, engine, encoding, tokenizer, storage, mark)
    state = states.load(engine, mark)
    if held_out.wants_best:
        states.check_best(state, first=rank == 0)
    state = run_steps(job, engine, objective, course.steps, state, states, held_out)
    if not held_out.wants_best:
        export(job.student)
    states.settle()
    if rank:
        return None
    if held_out.wants_best:
        states.take_best(state, job.student)
        publish(job.student)
    facts = {**asdict(sizes), **held_out.facts(state, material.questions)}
    checkpoint = _summarise(job, storage, encoding, course, state, workers, facts)
    states.forget_best()
    return checkpoint


def prepare_process(local_rank: int, local_workers: int) -> None:
    """Threads, process group and environment that DeepSpeed expects; call before it is imported."""
    import torch
    from torch._C._distributed_c10d import HashStore

    os.environ.setdefault("LOCAL_RANK", str(local_rank))
    # Ray limits every process to the CPUs it reserves; training is the only thing that runs now.
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // local_workers))
    prepare_deepspeed(gpu=torch.cuda.is_available())
    if not torch.distributed.is_initialized():
        # One worker in local mode: a group of one, held in memory, without any socket.
        torch.distributed.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)


def plan_training(job: TrainJob, encoding: Encoding, workers: int) -> Plan:
    """The plan of a job. Raises NothingToTrainOn."""
    if not encoding.rows:
        what = "pairs" if encoding.pairs else "examples"
        raise NothingToTrainOn(
            f"there is nothing to train on: {job.mixture} holds {encoding.dropped} {what},"
            f" and none fits into train.max_length = {job.settings.max_length} tokens."
            if encoding.dropped
            else f"there is nothing to train on: {job.mixture} holds no {what}.",
            hint="Look at the outcomes of the samples (pad-ray status), or raise train.max_length.",
        )
    settings = job.settings
    lay_out = partial(
        plan, workers=workers, tokens_per_batch=settings.tokens_per_batch, micro_tokens=settings.micro_tokens
    )
    if job.steps:
        return exactly(job.steps, partial(lay_out, *encoding.sides, seed=job.seed))
    stages = encoding.cut()
    # What cannot be shared evenly the last stages get: they are nearest to what the student will be asked.
    least, rest = divmod(settings.max_steps, len(stages)) if settings.max_steps else (None, 0)
    courses: list[tuple[Plan, tuple[list[int], ...]]] = []
    for number, stage in enumerate(stages):
        tokens = sum(len(row.ids) for row in stage.rows)
        epochs = job.epochs if job.tokens is None else min(job.epochs, job.tokens / tokens)
        seed = job.seed + number
        most = None if least is None else least + (number >= len(stages) - rest)
        course = lay_out(*stage.sides, epochs=epochs / len(stages), seed=seed, max_steps=most)
        courses.append((course, stage.sides))
    return in_turn(courses)


def fingerprint(job: TrainJob, encoding: Encoding, held_out: tuple[Encoded, ...] = ()) -> str:
    """Sixteen hex digits of everything the optimizer steps, and the choice among them, depend on."""
    operational = {
        "workers",
        "offload",
        "max_failures",
        "checkpoint_s",
        "use_gpu",
        "gradient_checkpointing",
        "tracking",
    }
    settings = job.settings.model_dump(mode="json", exclude=operational)
    extra = [one.model_dump(mode="json") if one else None for one in (job.lora, job.preference)]
    course = [*extra, job.parent, job.init, job.epochs, job.tokens, job.steps, job.lr, job.seed]
    digest = hashlib.sha256(json.dumps([settings, *course], sort_keys=True).encode())
    for row in (*encoding.rows, *held_out):
        digest.update(np.array([row.prompt, *row.ids], dtype=np.int64).tobytes())
    return digest.hexdigest()[:16]


def run_steps(
    job: TrainJob,
    engine: Any,
    objective: Completions,
    steps: tuple[Step, ...],
    state: State,
    states: States,
    held_out: HeldOut,
) -> State:
    """Take the steps that are left; returns the state after the last one, which is saved. Raises TrainError."""
    import torch

    first = engine.global_rank == 0
    started, saved = time.monotonic() - state.seconds, time.monotonic()
    engine.train()
    log = MetricsLog(states.metrics(), state.step, trackers(job, state.seconds)) if first else None
    with log or nullcontext():
        for step in range(state.step, len(steps)):
            if held_out.stops(state):
                break
            rate = learning_rate(step, len(steps), job.lr, job.settings)
            for group in engine.optimizer.param_groups:
                group["lr"] = rate
            # Dropout, where a model has some, is the same after a resume.
            torch.manual_seed(job.seed + step * engine.world_size + engine.global_rank)
            due = first and time.monotonic() - saved > job.settings.checkpoint_s
            measured, due = take_step(engine, objective, steps[step], due)
            tokens = state.tokens + objective.tokens(steps[step])
            state = replace(state, step=step + 1, tokens=tokens, seconds=time.monotonic() - started)
            state, watched = held_out.look(engine, state)
            if log:
                seconds = round(state.seconds, 3)
                line = {"lr": rate, "tokens": tokens, "seconds": seconds, "held_out": watched}
                log.append(TrainProgress(step + 1, len(steps), **measured, **line))
            if due or held_out.kept(state) or held_out.stops(state) or step + 1 == len(steps):
                if log:
                    log.flush()  # the file must never be behind the state
                states.save(engine, state)
                saved = time.monotonic()
    return state


def take_step(engine: Any, objective: Completions, step: Step, due: bool) -> tuple[dict[str, float], bool]:
    """One optimizer step: the loss and the objective's figures, and whether any worker's clock says save.

    Raises TrainError for a loss that is not a number.
    """
    import torch

    amount = objective.amount(step)
    mine = step[engine.global_rank]
    total = torch.zeros(2 + len(objective.figures), device=engine.device)
    total[-1] = due
    for number, micro in enumerate(mine, start=1):
        part = objective.sums(engine, micro, engine.device)
        engine.set_gradient_accumulation_boundary(number == len(mine))
        # DeepSpeed averages over workers and would average over micro-batches: the sum over the step is wanted.
        engine.backward(part[0] * (engine.world_size / amount), scale_wrt_gas=False)
        total[:-1] += part.detach()
    if engine.world_size > 1:
        torch.distributed.all_reduce(total)
    *sums, saves = total.tolist()
    means = [value / amount for value in sums]
    if not math.isfinite(means[0]):
        raise TrainError(
            f"the loss became {means[0]} at step {engine.global_steps + 1}: training has diverged.",
            hint="Lower train.lr or train.max_grad_norm, or raise train.warmup.",
        )
    engine.step()
    return dict(zip(("loss", *objective.figures), means, strict=True)), bool(saves)


def _summarise(
    job: TrainJob,
    storage: Storage,
    encoding: Encoding,
    course: Plan,
    state: State,
    workers: int,
    more: dict[str, Any],
) -> Checkpoint:
    """Write `summary.json`, the last thing of a training: where it is, nothing is left to do."""
    losses = [line.loss for line in read_metrics(storage.path(job.checkpoint) / "metrics.jsonl")]
    tail = losses[-max(1, len(losses) // 10) :]
    checkpoint = Checkpoint(
        path=job.checkpoint,
        student=job.student,
        round=job.round,
        parent=job.parent,
        steps=state.step,
        tokens=state.tokens,
        loss=sum(tail) / len(tail),
    )
    facts = {
        "state": "done",
        "pairs" if encoding.pairs else "examples": encoding.examples,
        "dropped_too_long": encoding.dropped,
        "tokens_seen": sum(course.tokens[: state.step]),
        "padding_share": round(course.padding_share, 5),
        "seconds": round(state.seconds, 3),
        "workers": workers,
        "zero_stage": job.settings.zero_stage,
        **more,
    }
    storage.write(f"{job.checkpoint}/summary.json", json.dumps({**asdict(checkpoint), **facts}, indent=2).encode())
    return checkpoint
