"""Made-up rows for `scale.py`, as long as those of the recipe `cluster`."""

from __future__ import annotations

import random

from pad_ray.outcomes import Outcome
from pad_ray.records import Example, Problem, Request, Sample, Verdict
from pad_ray.thoughts.program import student_prompt

VOTES, SHARDS = 5, 800
"""Programs of a new problem, and shards of round 0: those of the recipe `cluster`."""
PEOPLE = ("Amira", "Bo", "Chen", "Dora", "Emeka", "Farid", "Greta", "Hana", "Ivan", "Jun")
THINGS = ("apples", "books", "candles", "drums", "eggs", "flowers", "gloves", "hats", "jars", "kites")


def problem(number: int) -> Problem:
    """A word problem of some fifty words, with an answer."""
    draw = random.Random(number)
    (one, two), thing, (a, b, c) = draw.sample(PEOPLE, 2), draw.choice(THINGS), (draw.randint(2, 90) for _ in range(3))
    question = (
        f"{one} sells {a + number} {thing} in the morning and {b} more {thing} in the afternoon of the same day. {two}"
        f" sells {c} times as many {thing} as {one} sold on that day, and then gives {a} of them away to a friend."
        f" How many {thing} did {one} and {two} sell or give away in all?"
    )
    return Problem(
        f"gsm8k-{number % 7473}~harder{number}", question, str((a + number + b) * (c + 1) + a), "gsm8k~harder"
    )


def other_question(number: int) -> str:
    """A question of an evaluation suite, which shares no words in a row with those."""
    return " ".join(f"w{random.Random(-number - 1).randrange(5000)}{place}" for place in range(45))


def program(number: int, vote: int = 0) -> str:
    """What a teacher would write for it, in one of five ways."""
    name = ("first", "sold", "morning_sales", "n", "total_of_one")[vote]
    return (
        "def solution():\n"
        f"    {name} = {number % 97} + {number % 89}\n"
        f"    afternoon = {name} * {number % 7 + 2}\n"
        f"    given_away = {number % 90 + vote}\n"
        f"    other_seller = afternoon - given_away\n"
        f"    answer_of_all = {name} + other_seller + given_away\n"
        "    return answer_of_all\n"
    )


def value(number: int) -> str:
    """What every one of these programs gives."""
    first = number % 97 + number % 89
    return str(first + first * (number % 7 + 2))


def sample(request: Request, number: int, vote: int) -> Sample:
    text = f"Here is the program.\n```python\n{program(number, vote)}```"
    return Sample(
        request.sample_id, text, "stop", 900, 110, 0.0001, 2.5, worker=f"samples-{vote:012d}", model=request.model
    )


def verdict(request: Request, number: int, vote: int) -> Verdict:
    return Verdict(
        request.sample_id,
        program(number, vote),
        Outcome.CORRECT,
        value(number),
        "",
        0.002,
        "strict",
        f"verdicts-{vote:012d}",
    )


def example(number: int, vote: int) -> Example:
    made = problem(number)
    return Example(
        f"{made.problem_id}#program.r0.k{vote}",
        "solve",
        "program",
        student_prompt(made.question),
        program(number, vote),
        made.problem_id,
        "teacher",
        0,
        made.source,
    )
