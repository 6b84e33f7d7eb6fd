"""Training speed and memory: ours against TRL's SFTTrainer and against a bare PyTorch loop, in turns.

The same model, rows, precision and threads. Ours and the bare loop take the same packed micro-batches; TRL draws as
many rows at a time as these hold in the mean and pads them to the longest, as it does by default (its gradient
checkpointing, on by default, is off: it saves memory for time). The bare loop and TRL compute scores at all positions.
Each turn is a process of its own, so its peak memory is its own too.

    python bench/training.py [--rows 600] [--student FOLDER] [--precision auto] [--stage 0] [--json FILE]

Without a student it is a fresh Llama of half a million parameters, where the time between operations shows most.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# Threads that wait must not spin, or whatever else runs on the machine decides the result.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from pad_ray.recipe_train import Train
from pad_ray.train.encode import Encoded, Encoding
from pad_ray.train.held_out import HeldOut
from pad_ray.train.launch import TrainJob
from pad_ray.train.loop import plan_training, prepare_process
from pad_ray.train.packing import MicroBatch, Plan, collate

CONTESTANTS = ("ours", "bare", "trl")
TURNS = 3
PROMPT, PROGRAM = (40, 120), (30, 90)
"""Lengths in tokens, as of short word problems with short programs."""


def student(folder: str) -> Any:
    """A pretrained model, or a fresh one of about half a million parameters."""
    torch.manual_seed(0)
    if folder:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=1024,
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
    """Random tokens: what they are does not change the time."""
    dice = random.Random(0)
    prompts = [dice.randint(*PROMPT) for _ in range(count)]
    return tuple(
        Encoded(tuple(dice.choices(range(3, 1024), k=prompt + dice.randint(*PROGRAM))), prompt) for prompt in prompts
    )


def ours(model: Any, job: TrainJob, encoded: tuple[Encoded, ...], course: Plan) -> float:
    """Seconds of the steps: DeepSpeed engine, logging, the last checkpoint."""
    from pad_ray.storage import Storage
    from pad_ray.train.checkpoint import State, States
    from pad_ray.train.deepspeed_config import deepspeed_config
    from pad_ray.train.loop import run_steps
    from pad_ray.train.model import start_engine
    from pad_ray.train.objectives import Completions

    prepare_process(local_rank=0, local_workers=1)
    settings = job.settings
    engine = start_engine(model, deepspeed_config(settings, 1), job.lr, settings.weight_decay, settings.precision)
    objective, watch = Completions(encoded, 0, None), HeldOut((), (), frozenset(), None, 0, lambda _: None)
    states = States(Storage(job.root), job.checkpoint)
    state = run_steps(job, engine, objective, course.steps, State("bench"), states, watch)
    states.settle()
    return state.seconds


def bare(model: Any, job: TrainJob, encoded: tuple[Encoded, ...], course: Plan) -> float:
    """Seconds of the same steps, in the shortest PyTorch that does them."""
    from pad_ray.train.model import mixed_precision

    optimizer = torch.optim.AdamW(model.parameters(), lr=job.lr, weight_decay=0.0, fused=True)
    model.train()
    mixed = mixed_precision(job.settings.precision, "cpu")
    started = time.monotonic()
    for ((micro,),) in course.steps:
        ids, labels = padded(encoded, micro)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), job.settings.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
    return time.monotonic() - started


def trl(model: Any, job: TrainJob, encoded: tuple[Encoded, ...], course: Plan) -> float:
    """Seconds of one epoch in TRL's SFTTrainer, which counts from its first step to its last."""
    from datasets import Dataset
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from pad_ray.train.model import mixed_precision

    words = Tokenizer(WordLevel({"<pad>": 0, "<eos>": 1, "<unk>": 2}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    mask = [[0] * row.prompt + [1] * row.completion for row in encoded]
    data = Dataset.from_dict({"input_ids": [list(row.ids) for row in encoded], "completion_mask": mask})
    settings = SFTConfig(
        output_dir=f"{job.root}/trl",
        per_device_train_batch_size=round(len(encoded) / len(course.steps)),
        num_train_epochs=1,
        learning_rate=job.lr,
        max_length=None,
        gradient_checkpointing=False,
        bf16=mixed_precision(job.settings.precision, "cpu"),
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(model=model, args=settings, train_dataset=data, processing_class=tokenizer)
    return trainer.train().metrics["train_runtime"]


def padded(encoded: tuple[Encoded, ...], micro: MicroBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids, and labels with -100 outside the completions."""
    batch = collate(encoded, micro, 0)
    labels = np.full(batch.ids.size, -100)
    labels[batch.where + 1] = batch.targets
    return torch.from_numpy(batch.ids), torch.from_numpy(labels.reshape(batch.ids.shape))


def turn(chosen: argparse.Namespace) -> dict[str, float]:
    """One contestant in this process: completion tokens per second, peak memory in MiB, share of padding."""
    torch.set_num_threads(os.cpu_count() or 1)
    settings = Train(
        tokens_per_batch=chosen.tokens,
        micro_tokens=chosen.tokens,
        zero_stage=chosen.stage,
        precision=chosen.precision,
        tracking=[],
        checkpoint_s=1e9,
    )
    encoded = rows(chosen.rows)
    with tempfile.TemporaryDirectory() as root:
        job = TrainJob(root, 0, "", "", "random", "checkpoint", "", settings, epochs=1, tokens=None, lr=1e-3, seed=0)
        course = plan_training(job, Encoding(encoded, 0), workers=1)
        model = student(chosen.student)
        seconds = {"ours": ours, "bare": bare, "trl": trl}[chosen.only](model, job, encoded, course)
    return {
        "speed": sum(row.completion for row in encoded) / seconds,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "steps": len(course.steps),
        "padding": course.padding_share,
    }


def measure(arguments: list[str]) -> dict[str, list[dict[str, float]]]:
    """Turns of all contestants, one after the other, so that whatever else happens hits all of them."""
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    for number in range(TURNS):
        for name in CONTESTANTS:
            line = [sys.executable, __file__, *arguments, "--only", name]
            said = subprocess.run(line, capture_output=True, text=True)
            if said.returncode:
                raise SystemExit(f"{name}: {said.stderr[-2000:]}")
            turns[name].append(json.loads(said.stdout.splitlines()[-1]))
            print(f"  turn {number + 1}: {name} {turns[name][-1]['speed']:,.0f}/s", file=sys.stderr, flush=True)
    return turns


def main() -> None:
    """Print a table; with `--json` a file says the same, every turn of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--tokens", type=int, default=2048, help="tokens of an optimizer step")
    parser.add_argument("--student", default="", help="folder of a causal model")
    parser.add_argument("--precision", choices=["fp32", "auto"], default="fp32")
    parser.add_argument("--stage", type=int, default=0, choices=[0, 1, 2])
    parser.add_argument("--json", default="", help="write all turns into this file")
    parser.add_argument("--only", choices=CONTESTANTS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.only:
        print(json.dumps(turn(chosen)))
        return
    turns = measure(sys.argv[1:])
    speeds = {name: statistics.median(one["speed"] for one in of) for name, of in turns.items()}
    first = turns["ours"][0]
    print(
        f"{chosen.student or 'half a million parameters'}, {chosen.precision}, {chosen.rows} rows,"
        f" {first['steps']} steps of {chosen.tokens} tokens, padding {first['padding']:.1%}, median of {TURNS} turns"
    )
    print(f"{'':6}{'completion tokens/s':>22}{'peak MiB':>10}{'ours is':>10}")
    for name in CONTESTANTS:
        peak = max(one["peak_mib"] for one in turns[name])
        print(f"{name:6}{speeds[name]:>22,.0f}{peak:>10,.0f}{speeds['ours'] / speeds[name]:>9.2f}x")
    if chosen.json:
        facts = {"settings": vars(chosen), "machine": platform.platform(), "cores": os.cpu_count(), "turns": turns}
        Path(chosen.json).write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
