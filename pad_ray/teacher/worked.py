"""Teacher `worked`: nobody is asked, as the problems bring worked solutions; these are written in the wanted form.

Of the same steps by the same author every form of reasoning can be made, so runs that differ in nothing but the form
can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pad_ray.curate.rendering import drafts
from pad_ray.recipe_teacher import Teacher
from pad_ray.records import Problem, Request, Sample, form_of


class Solution(NamedTuple):
    """The worked solution of one problem."""

    text: str
    """It in the wanted form, or empty."""
    reason: str
    """Why there is none (see `pad_ray.curate.rendering`), or empty."""


class WorkedTeacher:
    """Answers each Request with the worked solution of its problem."""

    def __init__(self, problems: Iterable[Problem], settings: Teacher) -> None:
        """All these problems are kept in memory."""
        self._problems = {problem.problem_id: problem for problem in problems}
        self._settings = settings

    def sample(self, requests: Sequence[Request]) -> Iterator[Sample]:
        """One Sample per Request, in their order; it cost nothing."""
        for request in requests:
            text, reason = solution(self._problems[request.problem_id], form_of(request.sample_id), self._settings)
            finish = "error" if reason else "stop"
            yield Sample(request.sample_id, text, finish_reason=finish, cached=True, error=reason)


def solution(problem: Problem, thought: str, settings: Teacher) -> Solution:
    """The worked solution of a problem in a form of reasoning, before anything was judged."""
    found = drafts(problem)
    if settings.every_form and not found.whole:
        return Solution("", found.reasons.get(thought, "not_in_every_form"))
    plain = {"chain": "plain_chain"} if not settings.marks else {}
    form = {**plain, **({"program": "commented"} if settings.commented else {})}.get(thought, thought)
    return Solution(found.texts.get(form, ""), found.reasons.get(form, ""))
