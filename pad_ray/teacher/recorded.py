"""Teacher `recorded`: replies that were paid for earlier, from files.

A row names its problem in `problem_id`, `gsm8k_id` or `question_id` and holds the reply in `text`, `raw` or
`program` (bare code), the first that is not blank. k is the running number of a row within its problem, in file order.
With a `question_hash` it is bound to the very question: problems that only share its ids are refused.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pad_ray.errors import ProblemError, RecordingError
from pad_ray.jsonl import json_lines, row_id
from pad_ray.records import Problem, Request, Sample
from pad_ray.storage import local_copy, resolve_uri

_IDS = ("problem_id", "gsm8k_id", "question_id")
_TEXTS = ("text", "raw", "program")


class Reply(NamedTuple):
    """One recorded reply."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    entry: str
    question_hash: str
    place: str


class RecordedTeacher:
    """Answers each Request with the k-th recorded reply of its problem."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Raises RecordingError for files that cannot be read or are no recordings (file and line)."""
        if not paths:
            raise RecordingError("teacher.path is empty.", hint="Kind recorded needs one or more .jsonl files.")
        self._replies: dict[str, list[Reply]] = defaultdict(list)
        for path in paths:
            try:
                for place, row in json_lines(local_copy(resolve_uri(path))):
                    problem_id, reply = _reply(row, place)
                    self._replies[problem_id].append(reply)
            except ProblemError as error:
                raise RecordingError(f"teacher.path: {error.message}", hint=error.hint) from None
        if not self._replies:
            raise RecordingError(f"teacher.path: no replies in {', '.join(paths)}.")

    def recorded(self, problem_id: str) -> int:
        """How many replies there are for a problem."""
        return len(self._replies.get(problem_id, ()))

    @property
    def problem_ids(self) -> list[str]:
        """The problems that replies were recorded for, in file order."""
        return list(self._replies)

    def unmatched(self, problem_ids: set[str]) -> int:
        """How many replies are about none of these problems."""
        return sum(len(replies) for problem_id, replies in self._replies.items() if problem_id not in problem_ids)

    def check(self, problem: Problem) -> None:
        """Raises RecordingError if a reply to this problem was recorded for another question."""
        for reply in self._replies.get(problem.problem_id, ()):
            if reply.question_hash and reply.question_hash != question_hash(problem.question):
                raise RecordingError(
                    f"teacher.path: {reply.place} was recorded for another question than the one that"
                    f" {problem.problem_id!r} names now ({problem.question[:60]!r}…).",
                    hint="The problems have changed since, or come from another version of their generator: record the"
                    " replies again, or use the problems they were recorded for.",
                )

    def sample(self, requests: Sequence[Request]) -> Iterator[Sample]:
        """One Sample per Request, in their order; a reply that was never recorded is a permanent error."""
        for request in requests:
            replies = self._replies.get(request.problem_id, [])
            if request.k >= len(replies):
                missing = f"not recorded: {request.problem_id} has {len(replies)} replies, k={request.k} was asked"
                yield Sample(request.sample_id, "", finish_reason="error", error=missing)
                continue
            reply = replies[request.k]
            yield Sample(
                request.sample_id,
                reply.text,
                finish_reason=reply.finish_reason,
                prompt_tokens=reply.prompt_tokens,
                completion_tokens=reply.completion_tokens,
                cached=True,
                entry=reply.entry,
            )


def question_hash(question: str) -> str:
    """Sixteen hex digits that name a question, however it is spaced."""
    return hashlib.sha256(" ".join(question.split()).encode(errors="backslashreplace")).hexdigest()[:16]


def _reply(row: dict[str, Any], place: str) -> tuple[str, Reply]:
    problem_id = row_id(row, *_IDS)
    if problem_id is None:
        raise RecordingError(f"{place}: a recorded reply must name its problem in one of {', '.join(_IDS)}.")
    texts = [key for key in _TEXTS if isinstance(row.get(key), str)]
    if not texts:
        raise RecordingError(f"{place}: a recorded reply must hold its text in one of {', '.join(_TEXTS)}.")
    field = next((key for key in texts if row[key].strip()), texts[0])
    text = row[field]
    reply = Reply(
        # A bare program is fenced, so that every reply is parsed alike.
        text=f"```python\n{text}\n```" if field == "program" and text.strip() else text,
        finish_reason=str(row.get("finish_reason") or "stop"),
        prompt_tokens=_count(row, "prompt_tokens", place),
        completion_tokens=_count(row, "completion_tokens", place),
        entry=str(row.get("entry") or ""),
        question_hash=str(row.get("question_hash") or ""),
        place=place,
    )
    return problem_id, reply


def _count(row: dict[str, Any], key: str, place: str) -> int:
    try:
        return int(row.get(key) or 0)
    except (TypeError, ValueError, OverflowError):
        raise RecordingError(f"{place}: {key} is {row[key]!r}; it must be a whole number, or absent.") from None
