"""The stage `calibrate`: some seconds of real training and real decoding say how large the run can be made.

Only recipes with `budget.minutes` have it. Its sizes are in the manifest, so a resumed run keeps them.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from pad_ray.budget import Shape, Sizes, Speeds, fit
from pad_ray.errors import NothingToTrainOn
from pad_ray.flow.cluster import plain_errors
from pad_ray.flow.placement import here
from pad_ray.flow.progress import Reporter
from pad_ray.flow.students import BASE
from pad_ray.recipe import Recipe
from pad_ray.records import Example, Problem
from pad_ray.run import Run
from pad_ray.storage import Storage
from pad_ray.thoughts import THOUGHTS

if TYPE_CHECKING:
    from pad_ray.train.encode import Encoding

READ = 16
"""Prompts that are read to see how fast reading is."""
DECODED = 24
"""Tokens that every row of a batch decodes to see how fast decoding is."""
FORWARD = 1 / 3
"""What the loss of a token costs, of what training on it costs."""
STEPS = 2
"""Optimizer steps that are timed, after one that warms up."""


def calibrate(run: Run, reporter: Reporter) -> None:
    """Measure this machine with this student and settle the sizes of the run, unless that is done or not wanted."""
    recipe = run.recipe
    if recipe.budget.minutes is None or run.done(-1, "calibrate"):
        return
    run.require(0, "curate")
    spent = sum(stage.seconds for stage in run.manifest.stages)
    with run.stage(-1, "calibrate") as stage:
        started = time.monotonic()
        reporter.say("  calibrating: a few steps of training and decoding…")
        measured = _measure(run)
        speeds = Speeds(*(measured[f"{what}_tokens_per_s"] for what in ("train", "read", "decode")))
        shape = _shape(run, measured)
        left = 60 * recipe.budget.minutes - spent - (time.monotonic() - started)
        sizes = fit(left, speeds, shape)
        stage.counts = {"minutes": recipe.budget.minutes, **asdict(speeds), "sizes": asdict(sizes)}
        for sentence in sentences(left, speeds, shape, sizes):
            reporter.say(f"  {sentence}")


def sentences(left: float, speeds: Speeds, shape: Shape, sizes: Sizes) -> list[str]:
    """What the calibration says to the user; `left` is what the budget leaves, in seconds."""
    said = [
        f"this machine trains {speeds.train_tokens_per_s:,.0f} and decodes {speeds.decode_tokens_per_s:,.0f} tokens a"
        f" second: {sizes.train_tokens:,} training tokens ({sizes.train_tokens / shape.epoch:.1f} passes)"
        + (f", then {sizes.refine_tokens:,} in each refinement round" if shape.rounds else "")
        + f", {sizes.questions} questions a suite"
    ]
    end = datetime.now() + timedelta(seconds=sizes.seconds)
    said.append(f"about {sizes.seconds / 60:.0f} minutes from here, until {end:%H:%M}")
    if sizes.seconds > left + 30:
        said.append(
            f"note: that is more than the {max(0.0, left) / 60:.0f} minutes that budget.minutes leaves; with fewer than"
            f" {sizes.questions} questions a suite and a quarter of a pass a run would say nothing"
        )
    return said


def _shape(run: Run, measured: dict[str, Any]) -> Shape:
    recipe = run.recipe
    plan = run.done(0, "plan")
    counts = plan.counts if plan else {"suites": {}, "problems": 0}
    suites = [suite["problems"] for suite in counts["suites"].values()]
    train = recipe.train
    steps = train.max_steps * train.tokens_per_batch if train.max_steps else None
    limits = [limit for limit in (train.max_tokens, steps) if limit is not None]
    return Shape(
        suites=len(suites),
        longest_suite=max(suites, default=0),
        probes=len(counts.get("probes", {})),
        prompts=tuple(recipe.evaluate.baselines),
        max_tokens=recipe.decode.max_tokens,
        prompt=measured["prompt"],
        completion=measured["completion"],
        epoch=measured["epoch"],
        epochs=recipe.train.epochs,
        most_tokens=min(limits, default=None),
        rounds=recipe.refine.rounds,
        samples=recipe.refine.samples,
        problems=min(counts["problems"], recipe.refine.limit or counts["problems"]),
    )


def _measure(run: Run) -> dict[str, Any]:
    import ray

    cluster = here()
    gpu = run.recipe.train.use_gpu is not False and cluster.gpus() >= 1
    task = ray.remote(num_cpus=1, num_gpus=int(gpu), max_calls=1, **cluster.place("train"))(measure)
    with plain_errors():
        return ray.get(task.remote(str(run.storage), run.recipe))


def measure(root: str, recipe: Recipe) -> dict[str, Any]:
    """Speeds of one training worker and one engine on this machine, and the lengths of the examples of round 0."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from pad_ray.decode.loading import has_encoder
    from pad_ray.train.encode import encode
    from pad_ray.train.held_out import split
    from pad_ray.train.lora import add_adapters
    from pad_ray.train.model import load_model, load_tokenizer, recompute_activations

    torch.set_num_threads(os.cpu_count() or 1)
    storage = Storage(root)
    folder = str(storage.fetch(BASE))
    tokenizer = load_tokenizer(folder)
    learned, others = split(list(storage.scan_rows("round-0/examples", Example)), recipe.train.validation)
    encoding = encode(learned, tokenizer, recipe.train.max_length, has_encoder(folder), recipe.student.chat)
    rows = encoding.rows
    if not rows:
        raise NothingToTrainOn(
            f"there is nothing to train on: no example fits into train.max_length = {recipe.train.max_length} tokens.",
            hint="Raise train.max_length.",
        )
    model = load_model(folder, recipe.student.init, recipe.seed, len(tokenizer))
    with tempfile.TemporaryDirectory(prefix="pad_ray_") as drawn:
        if recipe.student.init == "random":
            model.save_pretrained(drawn)
            tokenizer.save_pretrained(drawn)
        decoding = _decoding(storage, drawn if recipe.student.init == "random" else folder, recipe)
    if recipe.train.gradient_checkpointing:
        recompute_activations(model, folder)
        model.train()  # it computes nothing again otherwise
    if recipe.student.lora:
        add_adapters(model, recipe.student.lora, recipe.seed)
    # Between two looks at the held-out questions the training has less time for itself.
    watching = 1 + FORWARD * len(others) / (len(learned) * recipe.train.validate_every)
    speed = recipe.train.least_workers * _training(model, encoding, tokenizer.pad_token_id, recipe)
    return {
        **decoding,
        "train_tokens_per_s": round(speed / watching, 1),
        "completion": sum(row.completion for row in rows) / max(1, len(rows)),
        "epoch": sum(len(row.ids) for row in rows),
    }


def _training(model: Any, encoding: Encoding, pad: int, recipe: Recipe) -> float:
    """Tokens a second through forward, backward and optimizer of one worker; the weights stay as they are."""
    import torch

    from pad_ray.train.model import CompletionScores, mixed_precision
    from pad_ray.train.objectives import Completions
    from pad_ray.train.packing import plan

    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Half-precision weights cost about what half-precision products of fp32 weights cost.
    mixed = recipe.train.precision == "bf16" or mixed_precision(recipe.train.precision, device)
    student = CompletionScores(model.to(device), mixed)
    objective = Completions(encoding.rows, pad, student.start)
    # A learning rate of 0 costs what another costs.
    trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, fused=True)
    size = min(recipe.train.tokens_per_batch, recipe.train.micro_tokens)
    course = plan(*encoding.sides, workers=1, tokens_per_batch=size, micro_tokens=size, epochs=1, seed=0)
    micros = [micro for step in course.steps for micro in step[0]][: STEPS + 1]
    tokens, started = 0, time.monotonic()
    for number, micro in enumerate(micros):
        if number == 1:  # the first one warmed up
            tokens, started = 0, time.monotonic()
        objective.sums(student, micro, device)[0].backward()
        optimizer.step()
        optimizer.zero_grad()
        tokens += sum(len(encoding.rows[i].ids) for i in micro)
        if device == "cuda":
            torch.cuda.synchronize()
    return round(tokens / (time.monotonic() - started), 1)


def _decoding(storage: Storage, folder: str, recipe: Recipe) -> dict[str, float]:
    """Prompt tokens read and tokens generated a second, and the mean length of a prompt."""
    from pad_ray.decode.loading import load_engine

    thought = THOUGHTS[recipe.form]
    problems = islice(storage.scan_rows("problems/train", Problem), READ)
    prompts = [thought.student_prompt(problem.question) for problem in problems]
    engine = load_engine(folder, batch_size=recipe.decode.batch_size, threads=os.cpu_count())
    engine.generate(prompts[:4], max_tokens=4, temperature=0.0, seed=0)  # warms up
    started = time.monotonic()
    read = engine.generate(prompts, max_tokens=1, temperature=0.0, seed=0)
    reading = time.monotonic() - started
    started = time.monotonic()
    # With hardly anything to read, in a batch of the size that evaluations have.
    short = [thought.student_prompt("?")] * recipe.decode.batch_size
    decoded = engine.generate(short, max_tokens=DECODED, temperature=1.0, seed=0)
    decoding = time.monotonic() - started
    prompt_tokens = sum(one.prompt_tokens for one in read)
    return {
        "read_tokens_per_s": round(prompt_tokens / reading, 1),
        "decode_tokens_per_s": round(sum(one.completion_tokens for one in decoded) / decoding, 1),
        "prompt": prompt_tokens / len(read),
    }
