"""Chains: what counts as the answer of one, what is taught of one, and what doing its arithmetic again shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.grading.verdict import judge
from pad_ray.outcomes import Outcome
from pad_ray.thoughts import chain

STEPS = "He has 3 * 4 = <<3*4=12>>12 eggs.\nOne breaks, so 12 - 1 = <<12-1=11>>11 are left.\n"
lines = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="#<>"), min_size=1, max_size=20)
answers = st.one_of(
    st.integers(-(10**9), 10**9).map(str),
    st.decimals(-1000, 1000, places=2).map(str),
    st.integers(0, 10**9).map("{:,}".format),
    st.sampled_from(["yes", "no", "yajo", "(B)", "1/2", "50%"]),
)


def answered(reply: str, gold: str) -> Outcome:
    parsed = chain.parse(reply)
    if parsed.outcome:
        return parsed.outcome
    [execution] = chain.conclude(lambda _: pytest.fail("a chain is not executed"), [parsed.program])
    return judge(execution, gold).outcome


@pytest.mark.parametrize(
    "reply",
    [
        f"{STEPS}#### 11",
        f"{STEPS}#### 11\n\nQuestion: What is 1 + 1?\nSolution:\n#### 2",
        f"{STEPS}####11.0\n",
        f"{STEPS}#### $11.00",
        f"{STEPS}#### 11 eggs",
        f"{STEPS}#### 11 eggs in 2 boxes.",
        f"{STEPS}#### **11**",
        f"{STEPS}#### $11/day",
        f"{STEPS}#### 11th place",
        f"{STEPS}So that makes #### 11 eggs.",
        f"{STEPS}The first box has #### 12 eggs.\nThen #### 11.",
        f"{STEPS}#### 12 - 1 = 11",
        f"{STEPS}A: 11",
        f"{STEPS}**Answer:** 11 eggs",
        f"{STEPS}The final answer is \\(11\\).",
        f"Question: How many are left?\n{STEPS}#### 11",
        f"{STEPS}Answer: 11 eggs",
        f"{STEPS}The answer is 11.",
        f"{STEPS}The final answer is: \\boxed{{11}}.",
        f"{STEPS}The answer is: \\$11.",
        f"{STEPS}It is \\boxed{{\\$11}}",
        f"{STEPS}It is \\boxed{{\\frac{{22}}{{2}}}}",
        f"{STEPS}#### The answer is 11",
        f"{STEPS}#### Total: 11 eggs",
        f"{STEPS}The answer is therefore 11.",
        "A: Of 12 eggs one breaks, so 11 are left. The answer is 11. Done.",
    ],
)
def test_an_answer_is_read_in_the_ways_in_which_authors_give_one(reply: str) -> None:
    assert answered(reply, "11") is Outcome.CORRECT


@pytest.mark.parametrize(
    "reply",
    [
        *(
            "#### 12",
            "#### 5 or 11",
            "#### 11 or 5",
            "#### 10-11",
            "#### 11:30",
            "#### 11/12/2020",
            "#### 11, 12 or 13",
        ),
        *(
            "#### 11 000 people",
            "#### 11.5 eggs",
            "#### 11 1/2 hours",
            "#### 11½ hours",
            "#### 11^6",
            "#### 11 hours 30 minutes",
            "#### 11 feet and 6 inches",
            "#### therefore 11 or 12",
            "#### 11e3 units",
        ),
        *("#### 11 million", "#### 11 x 10^6 people", "#### −11 degrees", "#### 11,000.5 dollars", "#### 11k eggs"),
    ],
)
def test_no_number_is_picked_out_of_something_else(reply: str) -> None:
    assert answered(reply, "11") in (Outcome.WRONG_ANSWER, Outcome.UNDECIDED)


@pytest.mark.parametrize(
    ("said", "gold"),
    [
        *(("1,234.56 dollars", "1234.56"), ("2 1/2 hours", "2.5"), ("1.5e3 units", "1500"), ("−5 degrees", "-5")),
        *(
            (".5 miles", "0.5"),
            ("7 dozen eggs in 4 weeks", "7"),
            ("20 % of them", "20%"),
            ("20\\% of them", "20%"),
            ("2\\frac{1}{2} hours", "2.5"),
            ("7 days in 2 weeks", "7"),
            ("240 5 dollar bills", "240"),
        ),
    ],
)
def test_a_number_is_read_whole_with_words_behind_it(said: str, gold: str) -> None:
    assert answered(f"#### {said}", gold) is Outcome.CORRECT


@pytest.mark.parametrize("reply", [STEPS, "11", "####", "#### ...", "The answer is", "#### inf", "I cannot say."])
def test_a_chain_that_never_says_its_answer_has_none(reply: str) -> None:
    assert answered(reply, "11") is Outcome.NO_ANSWER


def test_words_and_choices_are_answers_too() -> None:
    assert answered("Two flips cancel out.\n#### Yes.", "yes") is Outcome.CORRECT
    assert answered("a, j, o.\n#### yajo", "yajo") is Outcome.CORRECT
    assert answered("It is red.\nThe answer is (B).", "(B)") is Outcome.CORRECT
    assert answered("Two flips cancel out.\n#### Yes, it is heads up.", "yes") is Outcome.CORRECT
    assert answered("It is called so.\n#### No. 5", "no") is not Outcome.CORRECT


def test_a_reply_cut_at_its_limit_counts_only_with_its_answer_line_whole() -> None:
    assert chain.parse(f"{STEPS}#### 1", "length").outcome is Outcome.TRUNCATED
    assert chain.parse(STEPS, "length").outcome is Outcome.TRUNCATED
    assert chain.parse(f"{STEPS}#### 11\n", "length").outcome is None
    assert chain.parse("").outcome is Outcome.REFUSED


def test_a_target_ends_in_a_line_with_the_answer_alone() -> None:
    steps = ["He has 3 * 4 = 12 eggs.", "One breaks."]
    expected = chain.render(steps, "11")
    assert expected == "He has 3 * 4 = 12 eggs.\nOne breaks.\n#### 11\n"
    for reply in (
        "He has  3 * 4 = 12 eggs.\n\nOne breaks.\n#### 11",
        "He has 3 * 4 = 12 eggs.\nOne breaks.\nA: 11",
    ):
        assert chain.target(chain.parse(reply).program).text == expected
    assert chain.target("Then #### 11 are left.").text == "Then 11 are left.\n#### 11\n"
    assert chain.target("#### 11").reason == "no_steps"
    assert chain.target(STEPS).reason == "no_final_answer"


@given(st.lists(lines, min_size=1, max_size=5), answers)
def test_what_is_rendered_is_read_back_and_is_its_own_target(steps: list[str], gold: str) -> None:
    text = chain.render(steps, gold)
    parsed = chain.parse(text)
    assert parsed.outcome is None and answered(text, gold) is Outcome.CORRECT
    if not any(step.startswith("Question:") for step in steps):
        assert parsed.program == text
    taught = chain.target(parsed.program)
    assert taught.reason == "" and chain.target(taught.text) == taught


@given(
    st.text()
    | st.lists(st.sampled_from(["####", "A:", "answer is", "11", "\n", " ", "<<1+", "=2>>", "."])).map("".join)
)
def test_any_text_is_parsed_judged_and_checked_without_an_error(text: str) -> None:
    for reason in ("stop", "length"):
        parsed = chain.parse(text, reason)
        if parsed.outcome is None:
            [execution] = chain.conclude(lambda _: [], [parsed.program])
            assert execution.outcome is Outcome.OK and execution.value
            chain.target(parsed.program)
    chain.checked(text)
    chain.mark(text)


@pytest.mark.parametrize("piece", [" ", "1 + ", "(", "<<", "####", "the answer is ", "1" * 9, "A:\n", "x", "1,000"])
def test_long_texts_are_parsed_at_once(piece: str) -> None:
    text = f"The answer is {piece * 2_000}!"
    chain.parse(text)
    chain.checked(text)
    chain.target(text)


def test_calculator_marks_are_read_over_and_taken_out() -> None:
    plain = chain.without_marks(STEPS)
    assert plain == "He has 3 * 4 = 12 eggs.\nOne breaks, so 12 - 1 = 11 are left.\n"
    assert chain.mark(plain) == chain.mark(STEPS)
    assert answered(f"{STEPS}#### <<12-1=11>>11", "11") is Outcome.CORRECT


def test_arithmetic_done_again_shows_a_wrong_path() -> None:
    assert chain.checked(STEPS) == chain.Checked(2, ())
    assert chain.checked("<<3*4=13>> and <<13-2=11>>") == chain.Checked(2, ("3*4=13",))
    # Rounded or cut to the digits shown.
    assert chain.checked("<<10/3=3.33>> <<20/3=6.67>> <<20/3=6.66>> <<20/3=6>>").wrong == ()
    assert chain.checked("<<10/3=3.4>>").wrong == ("10/3=3.4",)
    assert chain.checked("<<cats*4=8>> <<1/0=3>>") == chain.Checked(0, ())
    # Of a share no digit is left out, and a percent is a hundredth.
    assert chain.checked("<<10/20=50%>> <<1/3=33%>> <<2/3=66.7%>> <<3/4=3/4>>").wrong == ()
    assert len(chain.checked("<<10/20=90%>> <<1/3=1/2>> <<3/4=1/4>>").wrong) == 3


def test_without_marks_the_sums_in_the_prose_are_done_again() -> None:
    assert chain.checked("She makes 9 * $2 = $18, and 18 + 2 = 21.") == chain.Checked(2, ("18 + 2=21",))
    assert chain.checked("(24 + 66 + 45) / 3 = 135 / 3 = 45") == chain.Checked(1, ())
    assert chain.checked("72 * 1/4 = 18, x * 1/4 = 5, on 1/2 = a day").wrong == ()
    assert chain.checked("5 − 3 = 1, 5 – 3 = 3, 2 · 3 = 7").wrong == ("5 − 3=1", "5 – 3=3", "2 · 3=7")


@pytest.mark.parametrize(
    "prose",
    [
        *("8 x 1 1/2 = 12", "16 1/2 + 24 1/2 = 41", "12 x 1 and 1/4 = 15", "7.5 / 1/2 = 15"),
        *("600 x 30 = 18 000", "100 - 10 = 9B", "100 - 20% = 80", "Mia paid 100 + 5% = 105."),
    ],
)
def test_prose_that_may_mean_something_else_is_not_called_wrong(prose: str) -> None:
    assert chain.checked(prose) == chain.Checked(0, ())


def test_long_sums_without_a_result_are_passed_over_in_time_that_grows_with_them() -> None:
    for spaces in ("  ", "\n", " \n "):
        assert chain.checked(f"1{spaces}+{spaces}" * 50_000 + "x") == chain.Checked(0, ())
    assert chain.checked("1  +  2  =  4") == chain.Checked(1, ("1 + 2=4",))
