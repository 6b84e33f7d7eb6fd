"""A training set of sums, and the type of the fixture that makes jobs over it."""

from __future__ import annotations

import random
from collections.abc import Callable

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
