"""Solved questions that a teacher is shown, and contexts of four of them: several contexts make its programs differ.

The PaD paper (2305.13888, section 3.1) asks every question once in each of eight contexts. The packaged exemplars are
written for pad_ray, from no data set; a user's own may only come from training problems.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from pad_ray.errors import ProblemError, RecipeError
from pad_ray.jsonl import json_lines

SHOWN = 4
"""Exemplars of a context."""


class Exemplar(NamedTuple):
    """A question with a program that was verified."""

    question: str
    program: str


@cache
def packaged_exemplars() -> tuple[Exemplar, ...]:
    """Those of `prompts/exemplars`, by name: the first line of a file is the question, the rest the program."""
    folder = resources.files("pad_ray.thoughts") / "prompts" / "exemplars"
    texts = [file.read_text(encoding="utf-8") for file in sorted(folder.iterdir(), key=lambda file: file.name)]
    parts = [text.partition("\n") for text in texts]
    return tuple(Exemplar(question, program.strip("\n")) for question, _, program in parts)


def read_exemplars(path: str | Path) -> tuple[Exemplar, ...]:
    """The rows {question, program} of a .jsonl file. Raises RecipeError naming file and line."""
    found: list[Exemplar] = []
    try:
        for place, row in json_lines(Path(path)):
            found.append(_exemplar(row.get("question"), row.get("program"), place))
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


def _exemplar(question: object, program: object, place: str) -> Exemplar:
    if not isinstance(question, str) or not question.strip() or not isinstance(program, str):
        raise RecipeError(f"teacher.exemplars: {place}: a row needs the texts 'question' and 'program'.")
    try:
        body = ast.parse(program).body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise RecipeError(f"teacher.exemplars: {place}: the program is not Python ({error}).") from None
    if not any(isinstance(node, ast.FunctionDef) and node.name == "solution" for node in body):
        raise RecipeError(
            f"teacher.exemplars: {place}: the program defines no function solution().",
            hint="The teacher imitates what it is shown; programs must have the form that is wanted of it.",
        )
    return Exemplar(question.strip(), program.strip("\n"))
