"""New problems of known ones: what the teacher is told, what its reply holds, and how the new problem is called.

Question rewriting as in MetaMath (Yu et al. 2023, 2309.12284, section 3). What the answer is, nobody says here: several
independent programs must agree on it (`grading.agreement`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from pad_ray.problems.decontamination import normal
from pad_ray.records import Message, Problem
from pad_ray.thoughts.files import prompt_text

REWRITE = "rewrite"
"""What stands for the thought in the ids of these samples."""
MOST_BYTES = 2000
"""Longer replies are no problem text; it also bounds what asking about the new problem can cost."""
REASONS = {
    "no_reply": "without a reply",
    "not_a_problem": "no problem text, or cut at max_tokens",
    "unchanged": "unchanged",
    "repeated": "repeated",
    "in_evaluation": "also in an evaluation suite",
    "shares_13_gram": "sharing 13 words in a row with an evaluation question",
    "no_agreement": "without agreement on an answer",
    "other_answer": "with another answer than the problem they rephrase",
}
"""Why a reply becomes no problem to learn from, as the counts name it and in words that follow a number."""

_MADE = re.compile(r"~(rephrase|change_numbers|harder)(\d*)$")
_LABEL = re.compile(
    r"\A\W{0,4}(?:new |rewritten |harder |rephrased )?(?:problem|question|q)\W{0,3}:\W{0,4}", re.IGNORECASE
)
_SOLUTION = re.compile(
    r"^\W{0,4}(?:answer|solution|explanation)\W{0,4}(?::|$).*", re.IGNORECASE | re.MULTILINE | re.DOTALL
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class Rewritten(NamedTuple):
    """What a reply holds."""

    question: str
    """The text of the new problem, or empty."""
    reason: str
    """Why there is none, by the names of REASONS, or empty."""


def rewriting_messages(kind: str, question: str) -> tuple[Message, ...]:
    """The chat in which a teacher is asked for a new problem; `kind` is rephrase, change_numbers or harder."""
    told = prompt_text(f"rewrite_{kind}").replace("{question}", question)
    return (Message("system", prompt_text("rewrite_system")), Message("user", told))


def read_rewriting(reply: str, finish_reason: str, kind: str, original: str) -> Rewritten:
    """The new problem in a reply: its text without a label before it and without a solution after it."""
    question = _SOLUTION.sub("", _LABEL.sub("", reply.strip())).strip().strip('"').strip()
    if finish_reason != "stop" or len(question.split()) < 3 or len(question.encode()) > MOST_BYTES or "```" in question:
        return Rewritten("", "not_a_problem")
    numbers = _NUMBER.findall(original)  # none where they are words
    kept = kind == "change_numbers" and bool(numbers) and _NUMBER.findall(question) == numbers
    if kept or normal(question) == normal(original):
        return Rewritten("", "unchanged")
    return Rewritten(question, "")


def new_problem(parent: Problem, kind: str, number: int, question: str) -> Problem:
    """The new problem of a parent, whose answer nobody knows yet; its source tells what was done."""
    return replace(
        parent,
        problem_id=new_id(parent.problem_id, kind, number),
        question=question,
        answer="",
        source=f"{parent.source}~{kind}",
        rationale="",
        steps=(),
        facts=(),
    )


def augmented_sentence(kind: str, counts: Mapping[str, int]) -> str:
    """What became of the new problems of one kind, in words."""
    lost = ", ".join(f"{counts[reason]:,} {words}" for reason, words in REASONS.items() if counts.get(reason))
    settled = "labelled" in counts
    found = f"{counts['labelled']:,} with an answer" if settled else f"{counts.get('kept', 0):,} to solve"
    taught = f", {counts['examples']:,} examples" if "examples" in counts else ""
    name = kind.replace("_", " ")
    return f"{name}: {counts.get('asked', 0):,} asked for, {found}{taught}{f' (left out: {lost})' if lost else ''}"


def new_id(parent_id: str, kind: str, number: int) -> str:
    """`<problem_id>~<kind><i>`: what the i-th new problem of this kind is called."""
    return f"{parent_id}~{kind}{number}"


def made_by(name: str) -> tuple[str, str] | None:
    """The parent's id (or source) and the kind, told from the id (or source) of a new problem; None for any other."""
    made = _MADE.search(name)
    return (name[: made.start()], made[1]) if made else None


def root_of(name: str) -> str:
    """The id (or source) that one goes back to through all rewritings; one that nobody made is its own."""
    while made := made_by(name):
        name = made[0]
    return name
