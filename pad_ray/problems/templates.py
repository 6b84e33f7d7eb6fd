"""Coin flips and last letters, made on the spot: symbolic tasks of chain-of-thought prompting (Wei et al., 2201.11903).

task://coin_flip?size=300&seed=7 and task://last_letters?size=300&seed=7

size     how many items (100)
seed     which ones (0); items of different seeds are drawn independently
people   people in a coin flip, or words of a name (4)
names    all (usual), or of them train or heldout: heldout is every fifth name, train the others; or invented
The names are 6,900 first names from many places (names.txt; most come with the package Faker, MIT). There are so many
because a student that meets a few names again and again learns them by heart, not how to copy one.
Whatever a test set holds is left out at the intake like any repeated question.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources
from random import Random
from typing import Any

from pad_ray.errors import ProblemError
from pad_ray.records import Problem

SIZE, SEED, PEOPLE = 100, 0, 4
_ACT = re.compile(r"(\w+) (flips|does not flip) the coin\.")
_QUOTED = re.compile(r'"([^"\n]+)"')
_LIMITS = {"size": (1, 1_000_000), "seed": (-(2**31), 2**31), "people": (1, 32)}
_HELD_OUT = 5
"""Every so manieth name is held out."""
_PARTS = ("all", "train", "heldout", "invented")
_ONSETS = (*"bcdfghjklmnprstvwxyz", "br", "ch", "dr", "gl", "kh", "ph", "qu", "sh", "st", "th", "tr", "")
_VOWELS = (*"aeiouy", "ai", "ee", "ia", "ou")
_CODAS = (*"bcdfgklmnprstvwxz", "ck", "ll", "nd", "rt", "ss", "", "", "", "", "", "")
_SHORT = 0.1
"""Share of the invented names that are two consonants, such as Tj."""


def coin_flips(uri: str, options: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Whether a coin is still heads up after some people flipped it and others did not. Raises ProblemError."""
    for place, id_, names, generator in _drawn("coin_flip", uri, options):
        flips = [generator.random() < 0.5 for _ in names]
        acts = [
            f"{name} {'flips' if flip else 'does not flip'} the coin." for name, flip in zip(names, flips, strict=True)
        ]
        told = [
            f"{act.removesuffix('.')}, so it is {'tails' if sum(flips[: count + 1]) % 2 else 'heads'} up."
            for count, act in enumerate(acts)
        ]
        yield (
            place,
            {
                "problem_id": id_,
                "question": f"A coin is heads up. {' '.join(acts)} Is the coin still heads up?"
                ' Note that "flip" here means "reverse".',
                "answer": "no" if sum(flips) % 2 else "yes",
                "rationale": "\n".join(told),
                "source": "coin_flip",
            },
        )


def last_letters(uri: str, options: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The last letters of some names, put together. Raises ProblemError."""
    for place, id_, names, _ in _drawn("last_letters", uri, options):
        told = [f"The last letter of {name} is {name[-1]}." for name in names]
        yield (
            place,
            {
                "problem_id": id_,
                "question": f'Take the last letters of each words in "{" ".join(names)}" and concatenate them.',
                "answer": "".join(name[-1] for name in names),
                "rationale": "\n".join(told),
                "source": "last_letters",
            },
        )


TEMPLATES: dict[str, Callable[[str, dict[str, str]], Iterator[tuple[str, dict[str, Any]]]]] = {
    "coin_flip": coin_flips,
    "last_letters": last_letters,
}
"""Tasks all of whose questions share one template, by name."""


def worked_program(problem: Problem) -> str:
    """The program that solves an item of a template, made of its question; empty for any other problem."""
    acts: list[tuple[str, str]] = _ACT.findall(problem.question)
    words = _QUOTED.search(problem.question)
    if problem.source == "coin_flip" and acts:
        # Pairs, not a dict: who flips twice stands there twice, and so does a name that the student copies wrongly.
        people = ", ".join(f"({name!r}, {act == 'flips'})" for name, act in acts)
        return (
            "def solution():\n    heads_up = True\n"
            f"    people = [{people}]\n"
            "    for name, flips in people:\n        if flips:\n            heads_up = not heads_up\n"
            "    return 'yes' if heads_up else 'no'\n"
        )
    if problem.source == "last_letters" and words:
        # One string, as the question has it: cut into a list, most names are other tokens than in the question, and
        # small students copy tokens.
        return f"def solution():\n    words = {words[1]!r}.split()\n    return ''.join([word[-1] for word in words])\n"
    return ""


@cache
def names() -> tuple[str, ...]:
    """The first names that people have here."""
    return tuple((resources.files("pad_ray.problems") / "names.txt").read_text(encoding="utf-8").split())


@cache
def _taken() -> frozenset[str]:
    return frozenset(names())


def _drawn(task: str, uri: str, options: dict[str, str]) -> Iterator[tuple[str, str, list[str], Random]]:
    """Place, id, names and source of chance of every item."""
    size, seed, people = (
        _number(uri, options, key, usual) for key, usual in zip(_LIMITS, (SIZE, SEED, PEOPLE), strict=True)
    )
    known = ("names", *_LIMITS)
    if unknown := [key for key in options if key not in known]:
        raise ProblemError(f"{uri}: there is no option {unknown[0]!r}.", hint=f"There are path, {', '.join(known)}.")
    part = options.get("names", "all")
    if part not in _PARTS:
        raise ProblemError(f"{uri}: names is {part!r}.", hint=f"It is one of {', '.join(_PARTS)}.")
    chosen = [
        name for place, name in enumerate(names()) if part == "all" or (place % _HELD_OUT == 0) == (part == "heldout")
    ]
    # Items of different names or lengths are different items, even of one seed; the usual ones keep their old ids.
    own = "".join(f"-{key}{options[key]}" for key in ("people", "names") if key in options)
    for index in range(size):
        generator = Random(f"{task} {seed} {index}{own}")
        drawn = _invented(generator, people) if part == "invented" else generator.sample(chosen, people)
        yield f"{uri} item {index}", f"{task}/{seed}{own}/{index}", drawn, generator


def _invented(generator: Random, count: int) -> list[str]:
    """So many different names that nobody has."""
    found: dict[str, None] = {}
    while len(found) < count:
        if generator.random() < _SHORT:
            name = "".join(generator.sample("bcdfgjkmprtvz", 2))
        else:
            syllables = range(generator.randint(1, 3))
            name = "".join(generator.choice(part) for _ in syllables for part in (_ONSETS, _VOWELS, _CODAS))
        if len(name) > 1 and name.capitalize() not in _taken():
            found[name.capitalize()] = None
    return list(found)


def _number(uri: str, options: dict[str, str], key: str, usual: int) -> int:
    least, most = _LIMITS[key]
    try:
        number = int(options.get(key, usual))
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise ProblemError(f"{uri}: {key} is {options[key]!r}; it must be a whole number from {least} to {most}.")
    return number
