"""Why a judged sample became no example, found by curating its problem once more on paper.

Curation counts its reasons for a whole round and keeps no list. What it decides depends on the samples of one problem
only (balance excepted), so its pure functions, given the samples up to this one, tell this one's reason. Nothing is
executed here; where only an execution could tell two reasons apart, both are named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pad_ray.curate.select import Candidate, candidates
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Recipe
from pad_ray.records import Example, Problem, Verdict
from pad_ray.refine.on_policy import repairs
from pad_ray.thoughts import THOUGHTS

Made = TypeVar("Made")

_NOT_CORRECT = frozenset(outcome.value for outcome in Outcome) - {Outcome.CORRECT.value}
_SENTENCES = {
    "unparseable": "its {text} cannot be parsed, so it has no canonical form",
    "needs_arguments": "its function needs arguments, and nobody says which",
    "no_entry": "it has no function or variable that holds the answer",
    "no_final_answer": "it does not end by saying its answer",
    "step_without_value": "not every one of its sub-questions has an answer with a value",
    "several_answers": "one of its sub-questions has more than one answer",
    "wrong_arithmetic": "one of its calculations comes to something else when it is done again",
    "no_steps": "it says its answer and nothing else",
    "nondeterministic": "it uses chance or the clock, so it need not be right the next time",
    "too_long": "it is longer than curate.max_chars={max_chars} characters in canonical form",
    "changed_by_rewrite": "rewritten into the canonical form it was executed again and was no longer correct",
    "over_cap": "its problem already had curate.max_per_problem={max_per_problem} of its kind",
    "over_balance": "its source {source!r} was thinned to curate.max_ratio={max_ratio} times the smallest source",
    "successes_not_wanted": "refine.successes is off, so the student's own correct {texts} are not taught",
    "failure_without_program": "a repair starts from a {text} that failed, and {outcome} leaves none to start from",
    "failure_without_verified_program": "no {text} for its problem was ever verified, so it cannot be repaired",
    "duplicate_failure": "the same failing {text} of this problem became a repair before",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A judged sample with all that its curation looked at."""

    problem: Problem
    round: int
    judged: Sequence[tuple[Verdict, str]]
    """Verdicts on its problem with the entry names of their samples, in the order of the plan, this one's last."""
    known: Sequence[str]
    """Programs of its problem that earlier rounds teach."""
    examples: Sequence[Example]
    """What this round teaches of its problem."""
    dropped: Mapping[str, int]
    """How often each reason occurred in the whole round."""

    @property
    def verdict(self) -> Verdict:
        """The verdict on the sample itself."""
        return self.judged[-1][0]


def reasons(case: Case, recipe: Recipe) -> list[str]:
    """Why the sample became no example: one reason, or all that are possible where this cannot be told."""
    if case.verdict.outcome is Outcome.CORRECT:
        return _of_success(case, recipe)
    if case.round and recipe.refine.repairs and THOUGHTS[recipe.form].repair_prompt:
        return _of_failure(case, recipe)
    return [case.verdict.outcome.value]


def sentence(case: Case, recipe: Recipe, found: Sequence[str]) -> str:
    """The reasons in words."""
    facts = {
        "text": THOUGHTS[recipe.form].NAMES[0],
        "texts": THOUGHTS[recipe.form].NAMES[1],
        "outcome": case.verdict.outcome.value,
        "source": case.problem.source,
        "max_chars": recipe.curate.max_chars,
        "max_per_problem": recipe.curate.max_per_problem,
        "max_ratio": recipe.curate.max_ratio,
    }
    said: list[str] = []
    for reason in found:
        if reason in _NOT_CORRECT:
            said.append(f"only {facts['texts']} that are judged correct are taught")
        elif reason == "duplicate_program":
            said.append(_duplicate(case, recipe))
        else:
            said.append(_SENTENCES.get(reason, reason.replace("_", " ")).format(**facts))
    return "; or ".join(said)


def _of_success(case: Case, recipe: Recipe) -> list[str]:
    found, reason = _last(lambda rows, dropped: _candidates(case, recipe, rows, dropped), _correct(case))
    if reason:
        return [reason]
    curate, earlier = recipe.curate, len(found) - 1
    if case.round and not recipe.refine.successes:
        possible = ["changed_by_rewrite", "over_cap", "successes_not_wanted"]
    else:
        possible = ["changed_by_rewrite", "over_cap", "over_balance"]
    if earlier < curate.max_per_problem:
        possible.remove("over_cap")
    elif sum(example.task in ("solve", "decompose") for example in case.examples) >= curate.max_per_problem:
        return ["over_cap"]
    # A reason that did not occur in the whole round is not this one's.
    return [reason for reason in possible if case.dropped.get(reason)]


def _of_failure(case: Case, recipe: Recipe) -> list[str]:
    solved = [example.completion for example in case.examples if example.task == "solve"]
    verified = {case.problem.problem_id: [*case.known, *solved]}

    def repaired(rows: Sequence[tuple[Verdict, str]], dropped: Counter[str]) -> list[Example]:
        return repairs(
            [(case.problem, verdict) for verdict, _ in rows],
            verified,
            thought=recipe.form,
            round_=case.round,
            max_per_problem=recipe.curate.max_per_problem,
            max_chars=recipe.curate.max_chars,
            dropped=dropped,
        )

    failures = [row for row in case.judged if row[0].outcome is not Outcome.CORRECT]
    _, reason = _last(repaired, failures)
    return [reason] if reason else ["over_balance"]


def _last(
    make: Callable[[Sequence[tuple[Verdict, str]], Counter[str]], list[Made]], rows: Sequence[tuple[Verdict, str]]
) -> tuple[list[Made], str]:
    """What is made of the rows, and the reason that the last of them adds to those before it, or empty."""
    before, after = Counter[str](), Counter[str]()
    make(rows[:-1], before)
    made = make(rows, after)
    return made, next(iter(after - before), "")


def _candidates(
    case: Case, recipe: Recipe, rows: Sequence[tuple[Verdict, str]], dropped: Counter[str]
) -> list[Candidate]:
    judged = [(case.problem, verdict, entry) for verdict, entry in rows]
    known = {case.problem.problem_id: case.known}
    comments = recipe.teacher.commented and recipe.form == "program"
    return candidates(THOUGHTS[recipe.form], judged, known, recipe.curate.max_chars, dropped, comments=comments)


def _correct(case: Case) -> list[tuple[Verdict, str]]:
    return [row for row in case.judged if row[0].outcome is Outcome.CORRECT]


def _duplicate(case: Case, recipe: Recipe) -> str:
    """Which earlier program of the problem this one repeats."""
    rows = _correct(case)
    alone = _candidates(Case(case.problem, case.round, rows[-1:], (), (), {}), recipe, rows[-1:], Counter())
    mark, what = THOUGHTS[recipe.form].mark, THOUGHTS[recipe.form].NAMES[0]
    taught = mark(alone[0].program)
    for earlier in _candidates(case, recipe, rows[:-1], Counter()):
        if mark(earlier.program) == taught:
            return f"it is the same {what} as {earlier.sample_id}, apart from names of functions and layout"
    return f"an earlier round already teaches the same {what}"
