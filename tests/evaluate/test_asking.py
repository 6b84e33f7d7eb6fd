"""The untrained student is asked as well as it can be: in a chat if it is a chat model, with exemplars that cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pad_ray.evaluate.answer import answer_directly
from pad_ray.evaluate.asking import EXEMPLARS, NEXT_QUESTION, Asking, asking, draw_exemplars
from pad_ray.outcomes import Outcome
from pad_ray.records import Example, Message, Problem
from pad_ray.thoughts import THOUGHTS
from pad_ray.thoughts.program import student_prompt


class Chatter:
    """As much of an engine as it takes to ask."""

    def __init__(self, chats: bool) -> None:
        self.chats = chats

    def chat(self, messages: Sequence[Message]) -> str:
        return "|".join(f"{message.role}: {message.content}" for message in messages)


def ask(kind: Any, *, chats: bool, trained: bool = False) -> Asking:
    return asking(Chatter(chats), kind, examples("a", "b"), trained=trained)  # type: ignore[arg-type]


def example(number: int, source: str, task: str = "solve", problem: int | None = None) -> Example:
    name = f"{source}{number if problem is None else problem}"
    question = f"What is {name}?"
    program = f"def solution():\n    return {number}\n"
    kind = "program"
    return Example(
        f"{source}{number}#program.r0.k0", task, kind, student_prompt(question), program, name, "teacher", 0, source
    )


def examples(*sources: str) -> list[Example]:
    return [example(number, source) for source in sources for number in range(10)]


def test_an_untrained_chat_model_is_asked_in_a_chat_and_any_other_in_plain_text() -> None:
    program = ask("zero_shot", chats=True).prompt("2 + 3?")
    assert program.startswith("system: ") and "solution()" in program and program.endswith("|user: 2 + 3?")
    direct = ask("direct", chats=True).prompt("2 + 3?")
    assert "final answer" in direct and "solution()" not in direct
    assert ask("zero_shot", chats=False).prompt("2 + 3?") == student_prompt("2 + 3?")
    assert ask("direct", chats=False).prompt("2 + 3?") == "Question: 2 + 3?\nAnswer:"
    assert ask("direct", chats=False).stop == NEXT_QUESTION


def test_a_trained_student_is_asked_in_the_form_it_learned_even_if_it_was_a_chat_model() -> None:
    assert ask("zero_shot", chats=True, trained=True).prompt("2 + 3?") == student_prompt("2 + 3?")


def test_a_few_shot_prompt_is_the_students_form_repeated_and_ends_where_the_program_begins() -> None:
    shots = [example(1, "a"), example(2, "b")]
    way = asking(Chatter(True), "few_shot", shots)  # type: ignore[arg-type]
    assert way.prompt("2 + 3?") == (
        "Question: What is a1?\nProgram:\ndef solution():\n    return 1\n\n"
        "Question: What is b2?\nProgram:\ndef solution():\n    return 2\n\n"
        "Question: 2 + 3?\nProgram:\n"
    )
    assert way.stop == NEXT_QUESTION


def test_an_untrained_student_is_asked_for_the_form_that_the_trained_one_writes() -> None:
    for name, thought in THOUGHTS.items():
        for kind in ("zero_shot", "few_shot"):
            way = asking(Chatter(False), kind, thoughts=thought)  # type: ignore[arg-type]
            assert way.prompt("2 + 3?") == thought.student_prompt("2 + 3?") and way.thoughts is thought
        chat = asking(Chatter(True), "zero_shot", thoughts=thought)  # type: ignore[arg-type]
        assert chat.prompt("2 + 3?").startswith(f"system: {thought.chat_messages('2 + 3?')[0].content}")
        assert (chat.repair is None) == (thought.repair_prompt is None), name


def test_exemplars_cover_the_sources_in_turn_and_depend_on_the_seed_alone() -> None:
    pool = examples("a", "b", "c")
    drawn = draw_exemplars(pool, seed=1)
    assert len(drawn) == EXEMPLARS and {one.source for one in drawn[:3]} == {"a", "b", "c"}
    assert draw_exemplars(reversed(pool), seed=1) == drawn
    assert draw_exemplars(pool, seed=2) != drawn
    assert {one.source for one in draw_exemplars(examples(*"abcdef"), seed=1)} < set("abcdef")
    assert draw_exemplars(pool[:2], seed=1) in (tuple(pool[:2]), (pool[1], pool[0]))


def test_exemplars_are_solutions_of_different_problems() -> None:
    same = [example(number, "a", problem=7) for number in range(8)]
    repairs = [example(number, "b", task="repair") for number in range(8)]
    [only] = draw_exemplars([*same, *repairs], seed=0)
    assert (only.task, only.problem_id) == ("solve", "a7")


def test_direct_answers_are_right_wrong_or_missing() -> None:
    class Speaker:
        def generate(self, prompts: Sequence[str], **settings: Any) -> list[Any]:
            from pad_ray.decode.engine import Completion

            assert settings["temperature"] == 0 and settings["max_tokens"] <= 64
            return [Completion(reply, "length", 5, 3) for reply in ("It is 7.", "8", "seven", "")]

    problems = [Problem(f"p{number}", "3 + 4?", "7", source="sums") for number in range(4)]
    answers = answer_directly(Speaker(), problems, Asking(student_prompt))
    assert [one.outcome for one in answers] == [
        Outcome.CORRECT,
        Outcome.WRONG_ANSWER,
        Outcome.NO_ANSWER,
        Outcome.NO_ANSWER,
    ]
    assert [one.answer for one in answers] == ["7", "8", None, None]
    assert (answers[0].detail, answers[0].program, answers[0].tokens) == ("It is 7.", "", 3)
