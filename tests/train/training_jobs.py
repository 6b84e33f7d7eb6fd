"""Training sets that generalise and that do not, the type of the fixture that makes jobs, a student's plain loss."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pad_ray.records import Example
from pad_ray.train.launch import TrainJob

MakeJob = Callable[..., TrainJob]


def sums(count: int, seed: int = 0) -> list[Example]:
    """Examples of different lengths: `Q: 3+4+5` with the program that adds them up."""
    dice = random.Random(seed)
    examples: list[Example] = []
    for number in range(count):
        terms = [str(dice.randint(0, 99)) for _ in range(dice.randint(2, 7))]
        examples.append(
            Example(
                example_id=f"sum/{number}",
                task="solve",
                thought="program",
                prompt=f"Q: {'+'.join(terms)}\n",
                completion=f"def solution():\n    return {' + '.join(terms)}\n",
                problem_id=f"sum/{number}",
                origin="teacher",
                round=0,
            )
        )
    return examples


def by_heart(count: int) -> list[Example]:
    """Examples with nothing in common: whoever learns them by heart does worse on any other."""
    dice = random.Random(5)
    letters = string.ascii_letters + string.digits
    return [
        replace(example, prompt=f"Q: {number}\n", completion="".join(dice.choices(letters, k=30)))
        for number, example in enumerate(sums(count))
    ]


def plain_loss(folder: Path, examples: list[Example]) -> float:
    """Mean loss of a student per completion token, the plain way: one example after the other."""
    import torch
    from torch.nn import functional
    from transformers import AutoModelForCausalLM

    from pad_ray.train.encode import encode
    from pad_ray.train.model import load_tokenizer

    rows = encode(examples, load_tokenizer(str(folder)), 512).rows
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    total = 0.0
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor([row.ids])
            scores = model(input_ids=ids).logits[0, row.prompt - 1 : -1]
            total += functional.cross_entropy(scores, ids[0, row.prompt :], reduction="sum").item()
    return total / sum(row.completion for row in rows)
