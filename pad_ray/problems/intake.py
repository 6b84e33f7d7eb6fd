"""From raw rows to Problems: identity, the answer, duplicates. What is left out is counted, never silently lost."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pad_ray.errors import ProblemError
from pad_ray.jsonl import row_id
from pad_ray.problems.decontamination import RUN, EvaluationRuns, Sharing, normal
from pad_ray.problems.sources import rows
from pad_ray.records import Problem, Step

REASONS = {
    "no_answer": "without an answer",
    "duplicate": "repeated",
    "conflicting_answer": "repeated with another answer (the first is kept)",
    "in_evaluation": "also in an evaluation suite",
    "shares_13_gram": f"sharing {RUN} words in a row with an evaluation question",
    "over_limit": "beyond problems.limit",
    "not_asked": "beyond evaluate.limit",
}
"""Why rows are left out, as the counts name it and in words that follow a number."""


@dataclass(frozen=True, slots=True)
class Intake:
    """The problems of one split, and what was left out of it."""

    problems: list[Problem]
    """Unique problems with an answer, in the order of their sources."""
    dropped: Counter[str] = field(default_factory=Counter[str])
    """Rows left out, by reason: the keys of REASONS."""
    overlap: int = 0
    """How many of the problems share 13 words in a row with an evaluation problem of the same task: kept, because
    its templates repeat by design, but worth knowing."""


def take_in(
    uris: str | Sequence[str],
    split: str,
    *,
    limit: int | None = None,
    exclude: Iterable[Problem] = (),
) -> Intake:
    """Read, check and count the problems of a split; those that the evaluation problems in `exclude` give away are left
    out: the same question, or 13 words in a row of one (but for problems of the same templated task).

    Raises ProblemError (with file and line) for unreadable rows, for one id with two different questions, and when
    nothing is left.
    """
    uris = [uris] if isinstance(uris, str) else list(uris)
    problems: list[Problem] = []
    dropped = Counter[str]()
    overlap = 0
    exclude = list(exclude)
    runs = EvaluationRuns(exclude)
    ids: dict[str, str] = {}
    answers: dict[str, str] = {}
    held_out = {normal(problem.question) for problem in exclude}
    read = 0
    for uri in uris:
        for place, row in rows(uri):
            read += 1
            problem = to_problem(row, place, split, uri)
            question = normal(problem.question)
            if not problem.answer:
                dropped["no_answer"] += 1
            elif question in held_out:
                dropped["in_evaluation"] += 1
            elif ids.get(problem.problem_id, question) != question:
                raise ProblemError(
                    f"{place}: the id {problem.problem_id!r} stands for two different questions.",
                    hint="Give each problem its own id, or none: then it is made from the content.",
                )
            elif question in answers:
                same = answers[question] == normal(problem.answer)
                dropped["duplicate" if same else "conflicting_answer"] += 1
            elif (sharing := runs.sharing(problem)) is Sharing.TEXT:
                dropped["shares_13_gram"] += 1
            elif limit is not None and len(problems) >= limit:
                dropped["over_limit"] += 1
            else:
                ids[problem.problem_id] = question
                answers[question] = normal(problem.answer)
                problems.append(problem)
                overlap += sharing is Sharing.TEMPLATE
    if not problems:
        raise _nothing_left(split, uris, read, dropped)
    return Intake(problems, dropped, overlap)


def left_out(dropped: Mapping[str, int]) -> str:
    """Counts by reason in words, like `3 without an answer, 1 repeated`; empty for none."""
    return ", ".join(f"{count:,} {REASONS[reason]}" for reason, count in sorted(dropped.items()))


def to_problem(row: dict[str, Any], place: str, split: str, uri: str = "") -> Problem:
    """One raw row as a Problem; an absent answer becomes empty text. Raises ProblemError."""
    question = row.get("question")
    if not isinstance(question, str) or not question.strip():
        raise ProblemError(
            f"{place}: the key 'question' is missing or empty.", hint="Each row needs question and answer."
        )
    answer, rationale = _answer(row.get("answer"), place)
    return Problem(
        problem_id=row_id(row, "problem_id", "id") or _content_id(question, answer),
        question=question.strip(),
        answer=answer,
        source=str(row.get("source") or Path(uri.partition("?endpoint=")[0]).stem),
        split=split,
        rationale=str(row.get("rationale") or rationale),
        steps=tuple(_step(step, place) for step in _list(row, "steps", place)),
        facts=tuple(str(fact) for fact in _list(row, "facts", place) if fact is not None),
    )


def _answer(value: Any, place: str) -> tuple[str, str]:
    if value is None:
        return "", ""
    if isinstance(value, dict | list):
        raise ProblemError(f"{place}: the answer is a JSON {type(value).__name__}; it must be text or a number.")
    rationale, mark, final = str(value).rpartition("####")  # the form of GSM8K: worked solution, mark, answer
    return (final.strip(), rationale.strip()) if mark else (str(value).strip(), "")


def _list(row: dict[str, Any], key: str, place: str) -> list[Any]:
    value = row.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ProblemError(f"{place}: {key} must be a list, this one is {value!r}.")
    return value  # pyright: ignore[reportUnknownVariableType]


def _step(step: Any, place: str) -> Step:
    try:
        asked = step["question"] if "question" in step else step["subquestion"]
        said = step["answer"] if "answer" in step else step["subanswer"]
        return Step(*("" if part is None else str(part) for part in (asked, said)))
    except (KeyError, TypeError):
        raise ProblemError(f"{place}: a step must hold question and answer, this one is {step!r}.") from None


def _content_id(question: str, answer: str) -> str:
    return hashlib.sha256(json.dumps([question, answer]).encode()).hexdigest()[:16]


def _nothing_left(split: str, uris: list[str], read: int, dropped: Counter[str]) -> ProblemError:
    if not uris:
        return ProblemError("no file is named.", hint="Give a path or URI, or a list of them.")
    where = ", ".join(uris)
    if read == 0:
        return ProblemError(f"the {split} problems ({where}) are empty: no rows.")
    hints = {
        "no_answer": "Each row needs a question and its answer: nothing can be checked without one.",
        "in_evaluation": "Train on other problems than the suites hold.",
        "shares_13_gram": "Train on other problems than the suites hold.",
    }
    return ProblemError(
        f"of {read:,} {split} problems ({where}) none can be used: {left_out(dropped)}.",
        hint=hints.get(dropped.most_common(1)[0][0], ""),
    )
