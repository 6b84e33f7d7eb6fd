"""A program that failed is mended with the interpreter's own message, within a bound, and never by the gold answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pad_ray.decode.answering import Ask
from pad_ray.decode.engine import Completion
from pad_ray.decode.solving import solve
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Decode
from pad_ray.thoughts import program as thought
from tests.decode.typist import Runner

BROKEN = "def solution():\n    return eggs\n"
WORSE = "def solution():\n    return 1 / 0\n"
RIGHT = "def solution():\n    return 7\n"


class Author:
    """Writes one reply after another, and remembers what it read."""

    def __init__(self, *replies: str) -> None:
        self.replies, self.read = list(replies), list[str]()

    def generate(self, prompts: Sequence[str], **settings: Any) -> list[Completion]:
        self.read += prompts
        replies = [self.replies.pop(0) for _ in prompts]
        return [Completion(reply, "stop", 1, len(reply)) for reply in replies]


def solved(author: Author, repairs: int = 3, count: int = 1) -> Any:
    asks = [Ask(f"question {number}", Decode(repairs=repairs)) for number in range(count)]
    return solve(author, Runner(), thought, asks)


def test_the_author_reads_its_own_program_and_the_real_message() -> None:
    author = Author(BROKEN, RIGHT)
    [choice] = solved(author)
    assert (choice.answer, choice.draft.program, choice.votes) == ("7", RIGHT, {"7": 1})
    assert author.read[1] == thought.repair_prompt("question 0", BROKEN, "NameError: name 'eggs' is not defined")
    assert choice.tokens == len(BROKEN) + len(RIGHT)


def test_it_reads_the_latest_failure_and_stops_at_the_bound() -> None:
    author = Author(BROKEN, WORSE, BROKEN.replace("eggs", "hens"), RIGHT)
    [choice] = solved(author, repairs=2)
    assert (choice.answer, choice.execution.outcome, choice.draft.program) == (None, Outcome.RUNTIME_ERROR, BROKEN)
    assert "ZeroDivisionError" in author.read[2] and author.replies == [RIGHT]


def test_a_program_that_failed_before_ends_it_however_it_is_laid_out() -> None:
    author = Author(BROKEN, "def solution():\n    # again\n    return  eggs\n", RIGHT)
    [choice] = solved(author)
    assert choice.answer is None and author.replies == [RIGHT]


def test_a_value_is_never_mended() -> None:
    author = Author("def solution():\n    return 8\n", RIGHT)
    assert solved(author)[0].answer == "8"


def test_without_repairs_nothing_is_asked_again() -> None:
    author = Author(BROKEN, RIGHT)
    assert solved(author, repairs=0)[0].answer is None and len(author.read) == 1


def test_only_those_that_failed_are_asked_again_together() -> None:
    author = Author(BROKEN, RIGHT, WORSE, RIGHT, RIGHT)
    assert [choice.answer for choice in solved(author, count=3)] == ["7", "7", "7"]
    assert [("question 0" in text, "question 2" in text) for text in author.read[3:]] == [(True, False), (False, True)]
