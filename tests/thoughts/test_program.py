"""The program thought: what counts as a program in a reply, and what the student reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.outcomes import Outcome
from pad_ray.thoughts.program import parse, repair_prompt, student_prompt, teacher_messages

CODE = "def solution():\n    return 1\n"


@pytest.mark.parametrize(
    "reply",
    [
        f"```python\n{CODE}```",
        f"```\n{CODE}```",
        f"```py\n{CODE}\n```\nThis returns one.",
        f"Here it is:\n\n```python\n{CODE}```\n\nExample:\n```python\nprint(solution())\n```",
        f"First try:\n```python\nx = 2\n```\nBetter:\n```python\n{CODE}```",
        f"```python\n{CODE}",
        CODE,
        f"Sure, here you go:\n\n{CODE}",
        f"```text\nsome words\n```\n```python\r\n{CODE}```",
    ],
)
def test_the_program_is_found_in_the_ways_teachers_write(reply: str) -> None:
    assert parse(reply).program == CODE
    assert parse(reply).outcome is None


@pytest.mark.parametrize("reply", ["", "I cannot help with that.", "The answer is 42.", "`nutrow`", "```\n```"])
def test_a_reply_without_code_is_a_refusal(reply: str) -> None:
    assert parse(reply).outcome is Outcome.REFUSED


def test_code_too_broken_to_recognise_is_kept_for_the_interpreter() -> None:
    broken = "dfe solution(:\n    result = 3\n    return result\n"
    assert parse(broken).program == broken


def test_a_reply_cut_at_its_limit_is_truncated_not_judged() -> None:
    assert parse("```python\ndef solution():\n    x = ", "length").outcome is Outcome.TRUNCATED
    assert parse("Let me think", "length").outcome is Outcome.TRUNCATED


@given(st.text())
def test_any_text_is_parsed_without_an_error(text: str) -> None:
    parsed = parse(text)
    assert (parsed.outcome is Outcome.REFUSED) == (parsed.program == "")


@given(st.text(), st.text(), st.text())
def test_prompts_hold_question_program_and_error_whatever_these_contain(
    question: str, program: str, error: str
) -> None:
    assert student_prompt(question) == f"Question: {question}\nProgram:\n"
    expected = f"Question: {question}\nProgram:\n{program.rstrip()}\nError: {error}\nFix:\n"
    assert repair_prompt(question, program, error) == expected


def test_the_teacher_sees_an_exemplar_that_really_solves_its_question() -> None:
    system, question, program, asked = teacher_messages("How many?")
    assert [message.role for message in (system, question, program, asked)] == ["system", "user", "assistant", "user"]
    assert asked.content == "Q: How many?"
    names: dict[str, object] = {}
    exec(parse(program.content).program, names)
    assert names["solution"]() == 10  # type: ignore[operator]
