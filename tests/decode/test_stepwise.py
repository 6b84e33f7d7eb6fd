"""Beams follow only lines that run, count equal programs once, and end with the best value; no model, no sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from pad_ray.decode.answering import Ask, Choice
from pad_ray.decode.scorers import Written
from pad_ray.decode.stepwise import search
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Decode
from pad_ray.thoughts import program as thought
from tests.decode.typist import Runner, Typist

HEAD = "def solution():\n"
BEAM = Decode(kind="beam", beams=3, continuations=12, max_tokens=120)


def answered(
    lines: Mapping[str, Sequence[tuple[str, float]]], decode: Decode = BEAM, runner: Runner | None = None
) -> Choice:
    [choice] = search(Typist(lines), runner or Runner(), thought, [Ask("q", decode)], form=str)
    return choice


def test_a_likely_line_that_raises_gives_way_to_one_that_runs() -> None:
    runner = Runner()
    choice = answered(
        {
            "": [(HEAD, -0.1)],
            HEAD: [("    a = missing\n", -0.01), ("    a = 3\n", -0.5)],
            HEAD + "    a = 3\n": [("    return a + 4\n", -0.1)],
        },
        runner=runner,
    )
    assert (choice.answer, choice.draft.program) == ("7", HEAD + "    a = 3\n    return a + 4\n")
    assert not any("missing" in program and "return" in program for program in runner.programs)


def test_the_end_is_a_return_that_gave_a_value_and_nothing_is_written_behind_it() -> None:
    # The Typist has no line behind the return and would fail if it were asked for one.
    lines = {"": [(HEAD, -0.1)], HEAD: [("    return 5\n", -0.1)]}
    assert answered(lines).answer == "5"


def test_a_branch_that_was_taken_is_an_end_once_it_is_whole() -> None:
    branch = HEAD + "    if True:\n        return 5\n"
    lines = {
        "": [(HEAD, -0.1)],
        HEAD: [("    if True:\n", -0.1)],
        HEAD + "    if True:\n": [("        return 5\n", -0.1)],
        branch: [("    x = 1\n", -0.1)],
    }
    assert answered(lines).answer == "5"


def test_programs_that_differ_in_layout_only_are_one_and_its_likeliest_spelling_stays() -> None:
    runner = Runner()
    lines = {
        "": [(HEAD, -0.1)],
        HEAD: [("    a=3\n", -0.9), ("    a = 3\n", -0.2), ("    a = 3  # three\n", -0.5)],
        HEAD + "    a = 3\n": [("    return a\n", -0.1)],
    }
    choice = answered(lines, runner=runner)
    assert choice.draft.program == HEAD + "    a = 3\n    return a\n"
    assert [program for program in runner.programs if "return" not in program] == [HEAD + "    a = 3\n"]
    assert choice.votes == {"3": 1}


def test_the_likelihood_is_per_token_so_a_long_program_is_not_worse_for_its_length() -> None:
    long = "    a = 1000000 + 1000000 + 1000000\n"
    lines = {
        "": [(HEAD, -0.3)],
        HEAD: [("    return 2\n", -0.4), (long, -0.2)],
        HEAD + long: [("    return a\n", -0.2)],
    }
    assert answered(lines).answer == "3000000"


class PrefersFour:
    """A scorer that likes programs with a 4 in them."""

    card: ClassVar[dict[str, Any]] = {}

    def score(self, paths: Sequence[Written]) -> list[float]:
        assert all(path.prompt == "q" and path.question == "q" and path.tokens for path in paths)
        return [0.0 if "4" in path.program else -1.0 for path in paths]


@pytest.mark.parametrize(("weight", "answer"), [(0.1, "5"), (2.0, "4")])
def test_the_scorer_counts_by_its_weight(weight: float, answer: str) -> None:
    lines = {"": [(HEAD, -0.1)], HEAD: [("    return 5\n", -0.1), ("    return 4\n", -0.9)]}
    decode = Decode(kind="beam", beams=2, continuations=12, scorer="verifier", weight=weight)
    [choice] = search(Typist(lines), Runner(), thought, [Ask("q", decode)], form=str, scorer=PrefersFour())
    assert choice.answer == answer
    assert choice.votes == {"5": 1, "4": 1}


def test_a_question_that_is_done_does_not_wait_and_all_others_go_in_one_call() -> None:
    typist = Typist(
        {
            "": [(HEAD, -0.1), ("ans = 1", -0.1)],
            HEAD: [("    a = 1\n", -0.1)],
            HEAD + "    a = 1\n": [("    return a\n", -0.1)],
        }
    )
    asks = [Ask(name, BEAM) for name in ("one", "two")]
    choices = search(typist, Runner(), thought, asks, form=str)
    assert [choice.answer for choice in choices] == ["1", "1"]
    assert [len(call) for call in typist.calls] == [2 * 12, 2 * 12, 2 * 12]


def test_a_question_gets_the_same_programs_whoever_is_asked_beside_it() -> None:
    lines = {
        "": [(HEAD, -0.1)],
        HEAD: [(f"    a = {number}\n", -0.1 * number) for number in range(1, 8)],
        **{HEAD + f"    a = {number}\n": [("    return a\n", -0.1)] for number in range(1, 8)},
    }
    decode = Decode(kind="beam", beams=2, continuations=2)
    alone = search(Typist(lines), Runner(), thought, [Ask("one", decode, seed=3)], form=str)
    asks = [Ask("two", decode), Ask("one", decode, seed=3)]
    assert search(Typist(lines), Runner(), thought, asks, form=str)[1] == alone[0]


def test_where_nothing_runs_the_answer_is_none_and_the_program_shows_why() -> None:
    lines = {"": [(HEAD, -0.1)], HEAD: [("    a = missing\n", -0.1)]}
    choice = answered(lines)
    assert (choice.answer, choice.execution.outcome, choice.votes) == (None, Outcome.RUNTIME_ERROR, {})
    assert "missing" in choice.execution.detail and choice.draft.program == HEAD + "    a = missing\n"


def test_a_watcher_is_told_after_every_step_where_the_search_stands() -> None:
    lines = {
        "": [(HEAD, -0.1)],
        HEAD: [("    a = 1\n", -0.1)],
        HEAD + "    a = 1\n": [("    return a\n", -0.1)],
    }
    told: list[tuple[str, str, int, int]] = []
    search(
        Typist(lines),
        Runner(),
        thought,
        [Ask("q", BEAM)],
        form=str,
        watch=lambda ask, one: told.append((ask.question, one.program, one.alive, one.finished)),
    )
    started = HEAD + "    a = 1\n"
    assert told == [("q", "", 1, 0), ("q", started, 1, 0), ("q", started + "    return a\n", 0, 1)]


def test_every_generated_token_counts_also_of_what_was_dropped() -> None:
    lines = {"": [(HEAD, -0.1)], HEAD: [("    return 5\n", -0.1)]}
    assert answered(lines).tokens == 12 * len(HEAD) + 12 * len("    return 5\n")


def test_a_program_without_an_end_is_cut_at_the_limit() -> None:
    lines = {HEAD + "    a = 1\n" * number: [("    a = 1\n", -0.1)] for number in range(20)}
    choice = answered({"": [(HEAD, -0.1)], **lines}, BEAM.model_copy(update={"max_tokens": 50}))
    assert (choice.answer, choice.draft.flaw) == (None, Outcome.TRUNCATED)


def test_a_reply_that_the_model_ends_itself_is_run_whole() -> None:
    lines = {"": [("a = 3\n", -0.1)], "a = 3\n": [("ans = a", -0.1)]}
    choice = answered(lines)
    assert (choice.draft.program, choice.draft.flaw) == ("a = 3\nans = a\n", None)


def test_text_that_ends_a_reply_ends_it_within_a_line_too() -> None:
    lines = {"": [(HEAD, -0.1)], HEAD: [("    return 2 Question: next\n", -0.1)]}
    [choice] = search(Typist(lines), Runner(), thought, [Ask("q", BEAM)], form=str, stop=" Question:")
    assert (choice.answer, choice.draft.program) == ("2", HEAD + "    return 2\n")
