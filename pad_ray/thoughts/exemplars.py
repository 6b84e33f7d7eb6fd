"""Solved questions that a teacher is shown, and contexts of four of them: several contexts make its programs differ.

The PaD paper (2305.13888, section 3.1) asks every question once in each of eight contexts. The packaged exemplars are
written for pad_ray, from no data set, eight for each form of reasoning; a user's own may only come from training
problems.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from pad_ray.errors import ProblemError, RecipeError
from pad_ray.jsonl import json_lines

SHOWN = 4
"""Exemplars of a context."""


class Exemplar(NamedTuple):
    """A question with a text of the wanted form that was verified."""

    question: str
    program: str
    place: str = ""
    """File and line of a user's own."""


@cache
def packaged_exemplars(thought: str) -> tuple[Exemplar, ...]:
    """Those of `prompts/exemplars/THOUGHT`, by name: the first line of a file is the question, the rest the text."""
    folder = resources.files("pad_ray.thoughts") / "prompts" / "exemplars" / thought
    texts = [file.read_text(encoding="utf-8") for file in sorted(folder.iterdir(), key=lambda file: file.name)]
    parts = [text.partition("\n") for text in texts]
    return tuple(Exemplar(question, program.strip("\n")) for question, _, program in parts)


def read_exemplars(path: str | Path, thought: str, unfit: Callable[[str], str]) -> tuple[Exemplar, ...]:
    """The rows {question, program} of a .jsonl file, or {question, chain}…: the text is called as the thought is.

    `unfit` says of a text why it cannot be shown, or nothing. Raises RecipeError naming file and line.
    """
    found: list[Exemplar] = []
    try:
        for place, row in json_lines(Path(path)):
            question, text = row.get("question"), row.get(thought)
            if not isinstance(question, str) or not question.strip() or not isinstance(text, str):
                raise RecipeError(f"teacher.exemplars: {place}: a row needs the texts 'question' and {thought!r}.")
            if why := unfit(text):
                raise RecipeError(
                    f"teacher.exemplars: {place}: {why}.",
                    hint="The teacher imitates what it is shown; exemplars must have the form that is wanted of it.",
                )
            found.append(Exemplar(question.strip(), text.strip("\n"), place))
    except ProblemError as error:
        raise RecipeError(f"teacher.exemplars: {error.message}", hint=error.hint) from None
    return tuple(found)


def contexts_of(exemplars: Sequence[Exemplar], count: int) -> list[tuple[Exemplar, ...]]:
    """So many different contexts, in which all exemplars are used about equally often. Raises RecipeError."""
    there = len(exemplars)
    most = there if there > SHOWN else there // SHOWN
    if count > most:
        raise RecipeError(
            f"teacher.contexts: {there} exemplars make {most} different contexts of {SHOWN}, not {count}.",
            hint=f"Lower teacher.contexts, or give more exemplars in teacher.exemplars (at least {SHOWN}).",
        )
    # Windows of a ring. A step that shares no divisor with its length comes to every beginning once.
    step = next(step for step in range(SHOWN, SHOWN + there) if math.gcd(step, there) == 1)
    return [tuple(exemplars[(number * step + place) % there] for place in range(SHOWN)) for number in range(count)]
