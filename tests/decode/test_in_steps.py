"""A student with two tasks answers as an engine does: its sub-questions first, then one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pad_ray.decode.answering import Ask
from pad_ray.decode.engine import Completion
from pad_ray.decode.socratic import InSteps
from pad_ray.decode.solving import solve
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Decode
from pad_ray.thoughts import socratic

REPLIES = {
    "Problem: Eggs?\nQuestions:\n": "1) Rows?\n2) Left?\n",
    "Problem: Eggs?\nQ1: Rows?\nA1:\n": "3 * 4 = 12 ## 12\n",
    "Problem: Eggs?\nQ1: Rows?\nA1: 3 * 4 = 12 ## 12\nQ2: Left?\nA2:\n": "12 - 2 = 10 ## 10\n",
    "Problem: Short?\nQuestions:\n": "1) So?\n",
    "Problem: Short?\nQ1: So?\nA1:\n": "It is ## 1\n",
    "Problem: Lost?\nQuestions:\n": "1) Why?\n2) What?\n",
    "Problem: Lost?\nQ1: Why?\nA1:\n": "Nobody knows.\n",
    "Problem: Mute?\nQuestions:\n": "hm",
    "Problem: Dizzy?\nQuestions:\n": "1) So?\n2) Left?\n3) So?\n4) Left?\n",
    "Problem: Dizzy?\nQ1: So?\nA1:\n": "It is ## 1\n",
    "Problem: Dizzy?\nQ1: So?\nA1: It is ## 1\nQ2: Left?\nA2:\n": "It is ## 2\n",
    "Problem: Eggs?\nQ1: Boxes?\nA1:\n": "They are ## 5\n",
}


class Student:
    """Writes what it knows; a token is a word."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.seeds: list[Any] = []

    def generate(self, prompts: Sequence[str], **settings: Any) -> list[Completion]:
        self.calls.append(list(prompts))
        self.seeds.append(settings["seed"])
        replies = [REPLIES.get(prompt, "as it is") for prompt in prompts]
        limit = settings["max_tokens"]
        return [
            Completion(text, "length" if len(text.split()) > limit else "stop", 1, len(text.split()))
            for text in replies
        ]


def generate(student: Student, *questions: str, max_tokens: int = 99, **given: Any) -> list[Completion]:
    prompts = [socratic.student_prompt(question) for question in questions]
    return InSteps(student, **given).generate(prompts, max_tokens=max_tokens, temperature=0.0, seed=0)


def test_every_answer_is_fed_back_and_problems_go_on_together() -> None:
    student = Student()
    eggs, short = generate(student, "Eggs?", "Short?")
    assert eggs.text == "1) Rows?\n3 * 4 = 12 ## 12\n2) Left?\n12 - 2 = 10 ## 10\n"
    assert short.text == "1) So?\nIt is ## 1\n"
    assert [len(call) for call in student.calls] == [2, 2, 1]
    assert (eggs.finish_reason, eggs.prompt_tokens, eggs.completion_tokens) == ("stop", 3, 18)


def test_a_dialogue_ends_at_a_sub_question_without_a_value_at_its_limit_or_where_nothing_is_asked() -> None:
    lost, mute = generate(Student(), "Lost?", "Mute?")
    assert socratic.parse(lost.text).outcome is Outcome.NO_ANSWER and "What?" not in lost.text
    assert socratic.parse(mute.text).outcome is Outcome.REFUSED
    [cut] = generate(Student(), "Eggs?", max_tokens=8)
    assert (cut.finish_reason, socratic.parse(cut.text, cut.finish_reason).outcome) == ("length", Outcome.TRUNCATED)


def test_a_sub_question_that_is_asked_again_is_not_answered_again() -> None:
    student = Student()
    [dizzy] = generate(student, "Dizzy?")
    assert dizzy.text == "1) So?\nIt is ## 1\n2) Left?\nIt is ## 2\n" and len(student.calls) == 3


def test_given_sub_questions_are_answered_in_place_of_its_own() -> None:
    student = Student()
    eggs, short = generate(student, "Eggs?", "Short?", given={"Eggs?": ["Boxes?"]})
    assert eggs.text == "1) Boxes?\nThey are ## 5\n" and short.text == "1) So?\nIt is ## 1\n"
    assert student.calls[0] == [socratic.student_prompt("Short?")]


def test_other_prompts_pass_as_they_are_and_a_drawing_depends_on_nothing_beside_it() -> None:
    student = Student()
    [chat] = InSteps(student).generate(["[user] Eggs?"], max_tokens=9, temperature=0.0, seed=3)
    assert (chat.text, student.seeds) == ("as it is", [3])
    alone, beside = Student(), Student()
    prompts = [socratic.student_prompt(question) for question in ("Eggs?", "Short?")]
    InSteps(alone).generate(prompts[:1], max_tokens=99, temperature=1.0, seed=[7])
    InSteps(beside).generate(prompts, max_tokens=99, temperature=1.0, seed=[7, 8])
    assert [seeds[0] for seeds in beside.seeds] == [seeds[0] for seeds in alone.seeds]


def test_a_student_of_dialogues_is_decoded_as_any_other() -> None:
    [choice] = solve(Student(), lambda _: [], socratic, [Ask("Eggs?", Decode())])
    assert (choice.answer, choice.tokens) == ("10", 18)
