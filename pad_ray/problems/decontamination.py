"""Does a training question share a run of thirteen words with an evaluation question?

Word 13-grams are how GPT-3 was kept apart from its test sets (Brown et al. 2020, appendix C). Case and punctuation do
not count, numbers do. A question of fewer words has no run: such ones are only compared whole, at the intake.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from enum import Enum, auto

from pad_ray.problems.templates import TEMPLATES
from pad_ray.records import Problem

RUN = 13
"""Words in a run."""

_PLAIN = str.maketrans("‘’‚ʼ`“”„«»‐‑‒–—―−", "'''''\"\"\"\"\"-------")
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")


class Sharing(Enum):
    """What a training question has in common with the evaluation questions."""

    NOTHING = auto()
    """No run of words."""
    TEMPLATE = auto()
    """Runs of words, but only with problems of the same task, whose templates repeat by design."""
    TEXT = auto()
    """A run of words with a problem that comes from elsewhere."""


class EvaluationRuns:
    """The runs of words of the evaluation problems, kept as hashes."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self._runs = defaultdict[str, set[int]](set)  # by templated task; under "" those of none
        for problem in problems:
            self._runs[templated_task(problem)].update(runs(problem.question))

    def sharing(self, problem: Problem) -> Sharing:
        """What a training problem shares with them."""
        mine, task = runs(problem.question), templated_task(problem)
        tasks = {theirs for theirs, held in self._runs.items() if not held.isdisjoint(mine)}
        if tasks - {task} or "" in tasks:
            return Sharing.TEXT
        return Sharing.TEMPLATE if tasks else Sharing.NOTHING


def normal(question: str) -> str:
    """A question as two are compared whole: case, spaces, width and the shapes of quotes and dashes do not count."""
    return " ".join(unicodedata.normalize("NFKC", question).translate(_PLAIN).split()).casefold()


def runs(question: str) -> set[int]:
    """A hash of every run of words in a question; valid within this process only."""
    words = _WORD.findall(question.casefold())
    return {hash(tuple(words[start : start + RUN])) for start in range(len(words) - RUN + 1)}


def templated_task(problem: Problem) -> str:
    """The task whose template made a problem: a gym task, told from the id (task/seed/index), or one whose questions
    are all made of one template, whoever made them. Empty for any other problem."""
    if problem.source in TEMPLATES:
        return problem.source
    made = re.fullmatch(re.escape(problem.source) + r"/-?\d+/\d+", problem.problem_id)
    return problem.source if made and problem.source else ""
