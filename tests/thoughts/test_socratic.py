"""Dialogues are read whole, taught in parts, and nothing that a model writes breaks the reading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.outcomes import Outcome
from pad_ray.records import Step
from pad_ray.thoughts import socratic

EGGS = "1) How many eggs?\n3 * 4 = 12 eggs. ## 12\n2) How many are left?\n12 - 2 = 10 are left. ## 10\n"
WORDS = st.text(st.sampled_from("ab 12)#.:\nQA{}"), max_size=60)


def value(text: str) -> str:
    [end] = socratic.conclude(lambda _: [], [text])
    return end.value


def test_the_last_value_is_the_answer() -> None:
    assert socratic.parse(EGGS).outcome is None and value(EGGS) == "10"
    assert value(EGGS.replace("## 10", "## $1,234.50.")) == "$1,234.50"


@pytest.mark.parametrize(
    ("reply", "finish", "outcome"),
    [
        ("Sure!\n" + EGGS, "stop", None),
        (EGGS + "Problem: another one\nQuestions:\n1) no?\n", "stop", None),
        ("I do not know.", "stop", Outcome.REFUSED),
        ("", "stop", Outcome.REFUSED),
        (EGGS + "3) And then?\n", "stop", Outcome.NO_ANSWER),
        (EGGS, "length", Outcome.TRUNCATED),
        ("1) How many?\nNobody knows.\n", "stop", Outcome.NO_ANSWER),
    ],
)
def test_what_is_no_dialogue_is_told_apart(reply: str, finish: str, outcome: Outcome | None) -> None:
    assert socratic.parse(reply, finish).outcome is outcome


def test_a_reply_may_begin_with_the_problem() -> None:
    dialogue = "1) How many rows?\nThere are 3. ## 3\n"
    assert socratic.parse(f"Problem: 3 rows of 4?\n{dialogue}").program == dialogue
    assert socratic.parse(f"{dialogue}Problem: Another?\n1) So?\nIt is ## 1\n").program == dialogue


def test_it_is_taught_as_one_lesson_for_all_sub_questions_and_one_for_each_answer() -> None:
    asking, first, second = socratic.lessons("Box {asked}?", socratic.target(EGGS).text)
    assert (asking.task, first.task, second.task) == ("decompose", "answer", "answer")
    assert asking.prompt == "Problem: Box {asked}?\nQuestions:\n"
    assert asking.completion == "1) How many eggs?\n2) How many are left?\n"
    assert second.prompt == (
        "Problem: Box {asked}?\nQ1: How many eggs?\nA1: 3 * 4 = 12 eggs. ## 12\nQ2: How many are left?\nA2:\n"
    )
    assert second.completion == "12 - 2 = 10 are left. ## 10\n"


@pytest.mark.parametrize(
    ("dialogue", "reason"),
    [
        (EGGS, ""),
        (EGGS.replace("12 - 2 = 10", "12 - 2 = 9"), "wrong_arithmetic"),
        (EGGS.replace("3 * 4 = 12", "3 * 4 = <<3*4=13>>12"), "wrong_arithmetic"),
        (EGGS.replace("3 * 4 = 12 eggs. ## 12", "They are many."), "step_without_value"),
        (EGGS.replace("## 12\n", "## 12\nA2: 12 - 2 = 10 ## 10\n"), "several_answers"),
        (EGGS.replace("## 10", "#### 10"), ""),
    ],
)
def test_only_one_sound_answer_to_each_sub_question_is_taught(dialogue: str, reason: str) -> None:
    assert socratic.parse(dialogue).outcome in (None, Outcome.NO_ANSWER)
    found = socratic.target(dialogue)
    assert found.reason == reason and bool(found.text) == (not reason)
    assert bool(socratic.unfit(dialogue)) == bool(reason)


def test_a_teacher_is_shown_the_facts_and_a_student_never() -> None:
    told = socratic.teacher_messages("Is {facts} so?", facts=["A whale  breathes air.", "Fish have\ngills."])
    assert told[-1].content.startswith("Facts:\n- A whale breathes air.\n- Fish have gills.\n\n")
    assert told[-1].content.endswith("\n\nQ: Is {facts} so?")
    assert told[:-1] == socratic.teacher_messages("Is {facts} so?")[:-1]
    assert socratic.teacher_messages("So?")[-1].content == "Q: So?"


def test_dialogues_of_the_same_sub_questions_teach_the_same() -> None:
    assert socratic.mark(EGGS) == socratic.mark(EGGS.replace("12 - 2 = 10 are left.", "So"))
    assert socratic.mark(EGGS) == socratic.mark("1) How many  EGGS?\n2) how many are left?\n")
    assert socratic.mark(EGGS) != socratic.mark(EGGS.replace("left", "sold"))


def test_the_question_is_found_in_the_prompt_that_asks_for_sub_questions_and_in_no_other() -> None:
    assert socratic.question_of(socratic.student_prompt("A\nB?")) == "A\nB?"
    assert socratic.question_of(socratic.answer_prompt("A?", [], "B?")) is None


@given(WORDS)
def test_whatever_is_written_is_read(text: str) -> None:
    parsed = socratic.parse(text)
    if parsed.outcome is None:
        assert value(parsed.program)
        target, reason = socratic.target(parsed.program)
        assert (reason == "") == bool(target)
        # The form that is taught is itself read so, and taught as it is.
        assert reason or (socratic.target(target).text == target and value(target) == value(parsed.program))
        assert reason or socratic.mark(target) == socratic.mark(parsed.program)
    else:
        socratic.target(text), socratic.mark(text), socratic.unfit(text)


asked_and_answered = st.tuples(
    st.sampled_from(["How many?", "And then?"]),
    st.sampled_from(["It is ", "", "2.5 * 2 = ", "2: ", "2) ", "2. "]),
    st.integers(0, 10**6),
)


@given(st.lists(asked_and_answered, min_size=1, max_size=6))
def test_a_dialogue_gives_back_the_pairs_it_is_made_of(made: list[tuple[str, str, int]]) -> None:
    steps = [Step(asked, f"{begin}{number}. ## {number}") for asked, begin, number in made]
    assert socratic.pairs(socratic.render(steps)) == steps


def test_an_answer_that_begins_with_a_decimal_or_a_time_is_no_sub_question() -> None:
    for answer in ("2.5 * 4 = 10 ## 10", "2:30 is 150 minutes ## 150"):
        text = f"1) How much do the pens take?\n{answer}\n2) And twice that?\nMore. ## 5\n"
        assert [one.answer for one in socratic.pairs(text)] == [answer, "More. ## 5"]
