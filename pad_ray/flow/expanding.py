"""How a problem becomes the requests of a round: the prompt, the teacher and the settings that its k-th sample gets.

All of it follows from the recipe and the ids alone, so requests that are added later are what they would have been.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from pad_ray.errors import RecipeError
from pad_ray.flow.students import student_of
from pad_ray.problems.decontamination import RUN, EvaluationRuns, Sharing, normal
from pad_ray.recipe import Recipe
from pad_ray.recipe_teacher import UNTOLD, Asked
from pad_ray.records import Message, Problem, Request, sample_id
from pad_ray.run import Run
from pad_ray.storage import resolve_uri
from pad_ray.teacher.recorded import RecordedTeacher
from pad_ray.teacher.worked import solution
from pad_ray.thoughts import THOUGHTS, socratic
from pad_ray.thoughts.exemplars import Exemplar, contexts_of, packaged_exemplars, read_exemplars
from pad_ray.thoughts.rewriting import REWRITE, new_id, rewriting_messages


class TeacherRequests:
    """What the recipe's teacher is asked in round 0, in the one form of reasoning of the recipe (see `Recipe.of`)."""

    def __init__(self, recipe: Recipe, recording: RecordedTeacher | None = None) -> None:
        """`recording` of kind recorded. Raises RecipeError for teachers and exemplars that cannot be used."""
        teacher = recipe.teacher
        if teacher.kind == "student" and recipe.student.init == "random":
            raise RecipeError(
                "teacher.kind: a student with random weights (student.init) cannot teach itself.",
                hint="Use another teacher, or student.init: pretrained.",
            )
        self._recipe, self._teacher, self._recording = recipe, teacher, recording
        self._members, self._contexts = teacher.members, contexts(recipe)

    def count(self, problem: Problem) -> int:
        """How many samples a problem gets, at first where `until_correct` may add more."""
        if self._teacher.kind == "worked":
            return int(not self.reason(problem))
        if self._teacher.samples != "all":
            return self._teacher.samples
        if self._recording is None:
            raise RecipeError(
                f"teacher.samples: 'all' has no meaning for the kind {self._teacher.kind}; give a number."
            )
        return self._recording.recorded(problem.problem_id)

    def reason(self, problem: Problem) -> str:
        """Why a problem gets no sample, or empty."""
        if self._teacher.kind == "worked":
            return solution(problem, self._recipe.form, self._teacher).reason
        return "" if self.count(problem) else "not_recorded"

    def requests(self, problem: Problem, ks: Iterable[int]) -> list[Request]:
        """The requests of a problem with these numbers."""
        return [self._request(problem, k) for k in ks]

    def next_wave(self, problem: Problem, asked: int) -> list[Request]:
        """What a problem is asked next after so many requests; nothing at `until_correct`."""
        most = self._teacher.until_correct or asked
        return self.requests(problem, range(asked, min(asked + self.count(problem), most)))

    def _request(self, problem: Problem, k: int) -> Request:
        id_ = sample_id(problem.problem_id, self._recipe.form, 0, k)
        member = drawn(self._members, id_)
        # Both lists go on in turn; after a common round one is shifted, so that every pair of theirs comes.
        temperatures, there = member.temperatures, max(1, len(self._contexts))
        turn = k + k // math.lcm(len(temperatures), there)
        messages = self._messages(problem, self._contexts[turn % there] if self._contexts else ())
        temperature = temperatures[k % len(temperatures)]
        return _request(self._recipe, problem, 0, k, messages, member.model, temperature, member.max_tokens)

    def _messages(self, problem: Problem, context: Sequence[Exemplar]) -> tuple[Message, ...]:
        thought = THOUGHTS[self._recipe.form]
        if self._teacher.kind == "student":
            return (Message("user", thought.student_prompt(problem.question)),)
        if self._teacher.kind in UNTOLD:
            return (Message("user", problem.question),)  # what else a recorded teacher was told is not known
        if thought is socratic:
            return socratic.teacher_messages(problem.question, context, problem.facts)
        return thought.teacher_messages(problem.question, context)


class RewriteRequests:
    """What the recipe's teacher is asked before round 0: to make new problems of the training problems."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe, self._settings, self._members = recipe, recipe.augment, recipe.teacher.members

    def requests(self, problem: Problem) -> list[Request]:
        """The requests of a problem; they carry its id, and in their own that of the new problem."""
        return [
            self._request(problem, kind, number)
            for kind in self._settings.kinds
            for number in range(self._settings.per_problem)
        ]

    def _request(self, problem: Problem, kind: str, number: int) -> Request:
        id_ = sample_id(new_id(problem.problem_id, kind, number), REWRITE, 0, 0)
        return Request(
            sample_id=id_,
            problem_id=problem.problem_id,
            k=number,
            messages=rewriting_messages(kind, problem.question),
            model=drawn(self._members, id_).model,
            temperature=self._settings.temperature,
            max_tokens=self._settings.max_tokens,
            seed=digest(f"{self._recipe.seed}/{id_}") >> 33,
        )


class StudentRequests:
    """What the student is asked in a refinement round, in the one form of `recipe`."""

    def __init__(self, run: Run, round_: int, recipe: Recipe) -> None:
        self._recipe, self._round, self._student = recipe, round_, student_of(run, round_ - 1)

    def count(self, problem: Problem) -> int:
        """As many samples for every problem."""
        return self._recipe.refine.samples

    def requests(self, problem: Problem, ks: Iterable[int]) -> list[Request]:
        """The requests of a problem with these numbers."""
        recipe, refine = self._recipe, self._recipe.refine
        prompt = (Message("user", THOUGHTS[recipe.form].student_prompt(problem.question)),)
        return [
            _request(recipe, problem, self._round, k, prompt, self._student, refine.temperature, refine.max_tokens)
            for k in ks
        ]


def contexts(recipe: Recipe) -> list[tuple[Exemplar, ...]]:
    """The exemplar contexts of a teacher that is told what to do; none where it gets the one short exemplar."""
    teacher = recipe.teacher
    if teacher.contexts is None or teacher.kind in UNTOLD:
        return []
    return contexts_of(_exemplars(recipe), teacher.contexts)


def check_exemplars(recipe: Recipe, held_out: Iterable[Problem]) -> None:
    """Raises RecipeError if an exemplar gives an evaluation question away, whether it falls into a context or not.

    `held_out` are the problems of all suites; which one a problem belongs to, its `split` says.
    """
    shown = [one for form in map(recipe.of, recipe.forms) if contexts(form) for one in _exemplars(form)]
    if not shown:
        return
    suites = defaultdict[str, list[Problem]](list)
    for problem in held_out:
        suites[problem.split].append(problem)
    for suite, problems in suites.items():
        runs, questions = EvaluationRuns(problems), {normal(one.question) for one in problems}
        for one in shown:
            same = normal(one.question) in questions
            if same or runs.sharing(Problem("", one.question, "")) is Sharing.TEXT:
                what = "is" if same else f"shares {RUN} words in a row with"
                where = f"{one.place}: " if one.place else ""
                raise RecipeError(
                    f"teacher.exemplars: {where}the exemplar {one.question[:60]!r}… {what} a question of the suite"
                    f" {suite!r}.",
                    hint="Take exemplars from training problems only: what a teacher is shown comes back in its"
                    " replies, and so in what the student learns before it is asked that suite.",
                )


def _exemplars(recipe: Recipe) -> tuple[Exemplar, ...]:
    """The recipe's own exemplars, or those that come along."""
    path, thought = recipe.teacher.exemplars, recipe.form
    if path:
        return read_exemplars(resolve_uri(path), thought, THOUGHTS[thought].unfit)
    return packaged_exemplars(thought)


def drawn(members: Sequence[Asked], id_: str) -> Asked:
    """The teacher of a mixture that a sample id falls to; the same one at all times."""
    point = digest(id_) / 2**64 * sum(member.weight for member in members)
    for member in members[:-1]:
        point -= member.weight
        if point < 0:
            return member
    return members[-1]


def digest(text: str) -> int:
    """64 bits that say the same of a text at all times."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="backslashreplace"), digest_size=8).digest())


def _request(
    recipe: Recipe,
    problem: Problem,
    round_: int,
    k: int,
    messages: tuple[Message, ...],
    model: str,
    temperature: float,
    max_tokens: int,
) -> Request:
    return Request(
        sample_id=sample_id(problem.problem_id, recipe.form, round_, k),
        problem_id=problem.problem_id,
        k=k,
        messages=messages,
        model=model,
        temperature=temperature,
        max_tokens=max_tokens,
        # 31 bits, what every seed accepts.
        seed=digest(f"{recipe.seed}/{problem.problem_id}/{round_}/{k}") >> 33,
    )
