"""Does a training question share a run of thirteen words with an evaluation question?

Word 13-grams are how GPT-3 was kept apart from its test sets (Brown et al. 2020, appendix C). Case and punctuation do
not count, numbers do. A question of fewer words has no run: such ones are only compared whole, at the intake.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from enum import Enum, auto

from pad_ray.records import Problem

RUN = 13
"""Words in a run."""

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")


class Sharing(Enum):
    """What a training question has in common with the evaluation questions."""

    NOTHING = auto()
    """No run of words."""
    TEMPLATE = auto()
    """Runs of words, but only with problems of the same gym task, whose templates repeat by design."""
    TEXT = auto()
    """A run of words with a problem that comes from elsewhere."""


class EvaluationRuns:
    """The runs of words of the evaluation problems, kept as hashes."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self._runs = defaultdict[str, set[int]](set)  # by gym task; under "" those of no task
        for problem in problems:
            self._runs[gym_task(problem)].update(runs(problem.question))

    def sharing(self, problem: Problem) -> Sharing:
        """What a training problem shares with them."""
        mine, task = runs(problem.question), gym_task(problem)
        tasks = {theirs for theirs, held in self._runs.items() if not held.isdisjoint(mine)}
        if tasks - {task} or "" in tasks:
            return Sharing.TEXT
        return Sharing.TEMPLATE if tasks else Sharing.NOTHING


def normal(question: str) -> str:
    """A question as two are compared whole: case and spaces do not count."""
    return " ".join(question.split()).casefold()


def runs(question: str) -> set[int]:
    """A hash of every run of words in a question; valid within this process only."""
    words = _WORD.findall(question.casefold())
    return {hash(tuple(words[start : start + RUN])) for start in range(len(words) - RUN + 1)}


def gym_task(problem: Problem) -> str:
    """The gym task that made a problem, told from its id (task/seed/index); empty for any other problem."""
    made = re.fullmatch(re.escape(problem.source) + r"/-?\d+/\d+", problem.problem_id)
    return problem.source if made and problem.source else ""
