"""Training speed: our loop (plan, DeepSpeed engine, logging) against a bare PyTorch loop, in one process, in turns.

Both train the same small Llama on the same micro-batches and take the loss on completions; the bare loop computes it
the usual way, from the scores of all positions. Run: `python bench/training.py [--rows 1500] [--stage 0]`.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

# Threads that wait must not spin, or whatever else runs on the machine decides the result.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pad_ray.recipe import Train
from pad_ray.storage import Storage
from pad_ray.train.checkpoint import State, States
from pad_ray.train.deepspeed_config import deepspeed_config
from pad_ray.train.encode import Encoded, Encoding
from pad_ray.train.held_out import HeldOut
from pad_ray.train.launch import TrainJob
from pad_ray.train.loop import plan_training, prepare_process, run_steps
from pad_ray.train.packing import MicroBatch, Plan, collate

VOCABULARY, TURNS = 1024, 3


def student() -> Any:
    """About half a million parameters."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=512,
            tie_word_embeddings=True,
        )
    )


def rows(count: int) -> tuple[Encoded, ...]:
    """Random tokens; lengths as of short word problems (40 to 120) with short programs (30 to 90)."""
    dice = random.Random(0)
    prompts = [dice.randint(40, 120) for _ in range(count)]
    return tuple(
        Encoded(tuple(dice.choices(range(VOCABULARY), k=prompt + dice.randint(30, 90))), prompt) for prompt in prompts
    )


def ours(job: TrainJob, encoded: tuple[Encoded, ...], course: Plan, folder: Path) -> float:
    """Seconds of the steps."""
    from pad_ray.train.model import start_engine
    from pad_ray.train.objectives import Completions

    settings = job.settings
    engine = start_engine(student(), deepspeed_config(settings, 1), job.lr, settings.weight_decay, settings.precision)
    objective, watch = Completions(encoded, 0, None), HeldOut((), (), frozenset(), None, 0, lambda _: None)
    state = run_steps(job, engine, objective, course.steps, State("bench"), States(Storage(folder), "."), watch)
    engine.destroy()
    return state.seconds


def bare(job: TrainJob, encoded: tuple[Encoded, ...], course: Plan) -> float:
    """Seconds of the same steps, in the shortest PyTorch that does them."""
    model = student()
    optimizer = torch.optim.AdamW(model.parameters(), lr=job.lr, weight_decay=0.0)
    started = time.monotonic()
    for ((micro,),) in course.steps:
        ids, labels = padded(encoded, micro)
        model(input_ids=ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), job.settings.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
    return time.monotonic() - started


def padded(encoded: tuple[Encoded, ...], micro: MicroBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids, and labels with -100 outside the completions."""
    batch = collate(encoded, micro, 0)
    labels = np.full(batch.ids.size, -100)
    labels[batch.where + 1] = batch.targets
    return torch.from_numpy(batch.ids), torch.from_numpy(labels.reshape(batch.ids.shape))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=600)
    arguments.add_argument("--stage", type=int, default=0, choices=[0, 1, 2])
    chosen = arguments.parse_args()
    prepare_process(local_rank=0, local_workers=1)
    with tempfile.TemporaryDirectory() as root:
        encoded = rows(chosen.rows)
        for tokens in (512, 2048):
            settings = Train(
                tokens_per_batch=tokens,
                micro_tokens=tokens,
                zero_stage=chosen.stage,
                precision="fp32",  # what the bare loop does
                checkpoint_s=1e9,
            )
            job = TrainJob(root, 0, "", "", "random", "", "", settings, epochs=1, lr=1e-3, seed=0)
            course = plan_training(job, Encoding(encoded, 0), workers=1)
            measure(job, encoded, course, Path(root))


def measure(job: TrainJob, encoded: tuple[Encoded, ...], course: Plan, folder: Path) -> None:
    """Print completion tokens per second of both, best of some turns, and their ratio."""
    completions = sum(row.completion for row in encoded)
    mine, plain = (
        completions / min(seconds)
        for seconds in zip(
            *[(ours(job, encoded, course, folder), bare(job, encoded, course)) for _ in range(TURNS)], strict=True
        )
    )
    print(
        f"{job.settings.tokens_per_batch} tokens per step, {len(course.steps)} steps, ZeRO {job.settings.zero_stage},"
        f" padding {course.padding_share:.1%}: ours {mine:,.0f} completion tokens/s, bare {plain:,.0f},"
        f" ratio {mine / plain:.2f}"
    )


if __name__ == "__main__":
    main()
