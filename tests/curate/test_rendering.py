"""One worked solution becomes every form of reasoning, and a form that does not come to the answer is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.curate.naming import step_name
from pad_ray.curate.rendering import FORMS, Rendering, counted, rendered
from pad_ray.outcomes import Outcome
from pad_ray.problems import take_in
from pad_ray.records import Problem, Step
from pad_ray.sandbox import Execution, Sandbox
from pad_ray.thoughts import THOUGHTS, arithmetic, chain, socratic

EGGS = Problem(
    "eggs",
    "Six rows of 4 eggs stand in a box. Half of them are sold, and 4 of the rest break. How many are left?",
    "8",
    steps=(
        Step("How many eggs were in the box?", "There were 6*4 = <<6*4=24>>24 eggs."),
        Step("How many eggs were sold?", "Half of them, 24/2 = <<24/2=12>>12, were sold."),
        Step("How many eggs are left?", "So 12-4 = <<12-4=8>>8 are left."),
    ),
)


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(level="unsafe", timeout_s=10.0) as opened:
        yield opened


def test_all_forms_of_one_solution_say_the_same_steps(box: Sandbox) -> None:
    [found] = rendered([EGGS], box.run)
    assert found.whole
    assert found.texts["program"] == (
        "def solution():\n"
        "    eggs_box = 6 * 4\n"
        "    eggs_sold = eggs_box / 2\n"
        "    eggs_left = eggs_sold - 4\n"
        "    return eggs_left\n"
    )
    assert found.texts["equation"] == (
        "eggs_box = 6 * 4\neggs_sold = eggs_box / 2\neggs_left = eggs_sold - 4\nans = eggs_left\n"
    )
    assert found.texts["chain"] == (
        "There were 6*4 = <<6*4=24>>24 eggs.\n"
        "Half of them, 24/2 = <<24/2=12>>12, were sold.\n"
        "So 12-4 = <<12-4=8>>8 are left.\n"
        "#### 8\n"
    )
    assert found.texts["plain_chain"] == chain.without_marks(found.texts["chain"])
    assert found.texts["socratic"].splitlines()[2:4] == [
        "2) How many eggs were sold?",
        "Half of them, 24/2 = 12, were sold. ## 12",
    ]


def test_a_worked_solution_without_sub_questions_numbers_its_steps(box: Sandbox) -> None:
    lines = "\n".join(step.answer for step in EGGS.steps)
    [found] = rendered([replace(EGGS, steps=(), rationale=lines)], box.run)
    assert "    step_2 = step_1 / 2\n" in found.texts["program"]
    assert found.reasons == dict.fromkeys(("commented", "socratic"), "no_sub_question")


def reasons(*answers: str, gold: str = "8", question: str = "How many?") -> dict[str, str]:
    def execute(programs: Sequence[str]) -> list[Execution]:
        return [Execution(Outcome.OK, gold) for _ in programs]

    problem = Problem("p", "What?", gold, steps=tuple(Step(question, answer) for answer in answers))
    [found] = rendered([problem], execute)
    return found.reasons


def test_what_cannot_be_rendered_is_left_out_with_its_reason() -> None:
    assert reasons("There are <<4+4=8>>8.") == {}
    assert reasons("There are 8.")["chain"] == "no_marks" and reasons("There are 8.")["program"] == "no_calculation"
    assert reasons("There are <<4+5=8>>8.")["chain"] == "wrong_arithmetic"
    assert reasons("There are <<4+4=8>>8.", gold="9")["program"] == "ends_elsewhere"
    assert reasons("There are <<x+4=8>>8.")["equation"] == "unreadable_mark"
    assert reasons("There are <<4+4=8>>8.", question="") == dict.fromkeys(("commented", "socratic"), "no_sub_question")
    assert reasons("Of 3 and 5 <<4+4=8>>8.", "So 8 or 9.")["socratic"] == "step_without_value"


pieces = st.sampled_from(
    ["<<", ">>", "=", "2", "3.5", "+", "(", "x", "9" * 5000, "1" * 20, "/0", " ", "\n", "#### ", "é"]
)
words = st.text() | st.lists(pieces).map("".join)


@given(words, words, st.lists(st.tuples(words, words), max_size=3))
def test_whatever_a_worked_solution_holds_each_form_is_there_or_has_a_reason(
    question: str, gold: str, told: list[tuple[str, str]]
) -> None:
    problem = Problem("p", question, gold, steps=tuple(Step(*one) for one in told))
    [found] = rendered([problem], lambda programs: [Execution(Outcome.OK, "2") for _ in programs])
    assert {*found.texts} == {*FORMS} - found.reasons.keys()


def test_a_sum_that_its_author_did_not_mark_is_a_line_too(box: Sandbox) -> None:
    first, second, third = EGGS.steps
    [marked] = rendered([EGGS], box.run)
    for said, left_out in (
        # It is no line, but no dialogue may teach it either.
        ("Half of them, 24/2 = 12, were sold, and not 24/3 = 9.", {"socratic": "wrong_arithmetic"}),
        ("Half of them, 24/2 = <<12=12>>12, were sold.", {}),
    ):
        [found] = rendered([replace(EGGS, steps=(first, replace(second, answer=said), third))], box.run)
        assert found.reasons == left_out and found.texts["program"] == marked.texts["program"]
    assert socratic.pairs(found.texts["socratic"])[1].answer.endswith("## 12")


def test_a_program_may_say_above_each_line_which_sub_question_it_answers(box: Sandbox) -> None:
    twice = Step("How many\n eggs were sold?", "24/4 = <<24/4=6>>6 and again, 6*2 = <<6*2=12>>12, were sold.")
    [found] = rendered([replace(EGGS, steps=(EGGS.steps[0], twice, EGGS.steps[2]))], box.run)
    assert found.texts["commented"] == (
        "def solution():\n"
        "    # How many eggs were in the box?\n"
        "    eggs_box = 6 * 4\n"
        "    # How many eggs were sold?\n"
        "    eggs_sold = eggs_box / 4\n"
        "    step_3 = eggs_sold * 2\n"
        "    # How many eggs are left?\n"
        "    eggs_left = step_3 - 4\n"
        "    return eggs_left\n"
    )
    plain = "".join(line for line in found.texts["commented"].splitlines(True) if "#" not in line)
    assert found.texts["program"] == plain


def test_marks_that_do_not_hold_make_no_dialogue() -> None:
    assert reasons("There are some, <<4+5=8>>8.")["socratic"] == "wrong_arithmetic"


def test_a_rendering_that_executes_to_something_else_is_left_out() -> None:
    [found] = rendered([EGGS], lambda programs: [Execution(Outcome.OK, "7") for _ in programs])
    assert found.reasons == dict.fromkeys(("program", "commented", "equation"), "wrong_answer")
    assert "program" not in found.texts and "chain" in found.texts and not found.whole


def test_every_problem_is_counted_once_in_every_form() -> None:
    counts = counted([Rendering(EGGS, {}, {"chain": "no_marks"}), Rendering(EGGS)])
    assert counts["chain"] == {"no_marks": 1, "kept": 1} and counts["program"] == {"kept": 2}
    assert counts["whole"] == {"some_form_missing": 1, "kept": 1}


@pytest.mark.parametrize("task", ["coin_flip", "last_letters"])
def test_items_of_a_template_have_a_chain_and_a_program(task: str, box: Sandbox) -> None:
    problems = take_in(f"task://{task}?size=40&seed=3", "train").problems
    found = list(rendered(problems, box.run))
    counts = counted(found)
    assert all(THOUGHTS["program"].target(one.texts["program"]).text == one.texts["program"] for one in found)
    assert {form: counts[form]["kept"] for form in counts if counts[form]["kept"]} == dict.fromkeys(
        ("chain", "plain_chain", "program"), 40
    )


def test_a_number_of_the_question_stands_for_a_result_only_once() -> None:
    problem = Problem(
        "p",
        "5 boys and 3 girls take 5 nuts each.",
        "20",
        steps=(
            Step("How many more nuts does a boy take?", "<<2+3=5>>5"),
            Step("How many nuts do the boys take?", "<<5*5=25>>25"),
            Step("How many nuts are left of them?", "<<25-5=20>>20"),
        ),
    )
    [found] = rendered([problem], lambda programs: [Execution(Outcome.OK, "20") for _ in programs])
    assert "    nuts_boys_take = more_nuts_boy_take * 5\n" in found.texts["program"]
    assert "    nuts_left = nuts_boys_take - 5\n" in found.texts["program"]


def test_names_come_from_the_sub_question_and_never_clash() -> None:
    assert step_name("How many clips did Natalia sell in May?", 1, ()) == "clips_natalia_sell_may"
    assert step_name("What is Zoë's share per day?", 1, ()) == "zoe_share_per_day"
    assert step_name("How many?", 3, ()) == "step_3"
    assert step_name("What is the sum?", 2, ()) == "step_2"
    assert step_name("What is the total?", 2, {"total"}) == "step_2"


@given(st.text(), st.integers(1, 99))
def test_every_name_is_one_that_programs_and_equations_can_use(question: str, number: int) -> None:
    name = step_name(question, number, ())
    tree = arithmetic.read(name)
    assert name.isidentifier() and tree is not None and arithmetic.names(tree) == [name]
