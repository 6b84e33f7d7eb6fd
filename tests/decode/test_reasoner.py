"""A question goes in, a program is written and run in the sandbox, its value comes out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_student import make_tiny_student

from pad_ray import Reasoner
from pad_ray.errors import StudentError, UsageError
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Decode
from pad_ray.students import wheel
from pad_ray.thoughts.program import student_prompt

PROGRAMS = {
    "What is 3 + 4?": "def solution():\n    return 3 + 4\n",
    "Divide by none.": "def solution():\n    return 1 / 0\n",
    "Say nothing.": "I will not.\n",
}


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pairs = [(student_prompt(question), program) for question, program in PROGRAMS.items()]
    return make_tiny_student(tmp_path_factory.mktemp("student"), pairs)


@pytest.fixture(scope="module")
def reasoner(student: Path) -> Iterator[Reasoner]:
    with Reasoner.load(student) as reasoner:
        yield reasoner


def test_the_answer_is_the_value_of_the_program_that_is_shown(reasoner: Reasoner) -> None:
    answer = reasoner.solve("What is 3 + 4?")
    assert (answer.answer, answer.outcome) == ("7", Outcome.OK)
    assert answer.program == PROGRAMS["What is 3 + 4?"]
    assert [step["code"] for step in answer.steps] == ["def solution():", "    return 3 + 4"]
    assert answer.votes == {"7": 1}
    assert answer.tokens == len(answer.program) + 1
    assert answer.seconds > 0


def test_questions_together_are_answered_as_alone(reasoner: Reasoner) -> None:
    together = reasoner.solve_batch(list(PROGRAMS))
    assert [(one.answer, one.outcome) for one in together] == [
        ("7", Outcome.OK),
        (None, Outcome.RUNTIME_ERROR),
        (None, Outcome.REFUSED),
    ]
    assert [one.program for one in together] == [reasoner.solve(question).program for question in PROGRAMS]
    assert reasoner.solve_batch([]) == []


def test_a_vote_counts_every_sampled_program_that_gave_a_value(reasoner: Reasoner) -> None:
    answer = reasoner.solve("What is 3 + 4?", decode="vote", samples=5, temperature=0.2)
    assert answer.answer == "7"
    assert 1 <= sum(answer.votes.values()) <= 5
    again = reasoner.solve("What is 3 + 4?", decode="vote", samples=5, temperature=0.2)
    assert (again.votes, again.program) == (answer.votes, answer.program)


def test_beams_end_with_a_program_that_ran_and_count_all_their_tokens(reasoner: Reasoner) -> None:
    decode = Decode(kind="beam", beams=2, continuations=2, temperature=0.2)
    answer = reasoner.solve("What is 3 + 4?", decode)
    assert (answer.answer, answer.program) == ("7", PROGRAMS["What is 3 + 4?"])
    assert answer.tokens >= 2 * len(answer.program)
    # The student knows one program for this, so every beam of it is dropped.
    failed = reasoner.solve("Divide by none.", Decode(kind="beam", beams=1, continuations=2, temperature=0.01))
    assert (failed.answer, failed.outcome) == (None, Outcome.RUNTIME_ERROR)


def test_a_program_cut_at_its_limit_is_never_run(reasoner: Reasoner) -> None:
    answer = reasoner.solve("What is 3 + 4?", max_tokens=20)
    assert (answer.answer, answer.outcome) == (None, Outcome.TRUNCATED)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"decode": "magic"}, "decode is 'magic'"),
        ({"decode": "beam", "samples": 3}, "samples does nothing with decode.kind beam"),
        ({"decode": "vote", "samples": 0}, "samples is 0"),
        ({"samples": 3}, "samples is 3, but greedy"),
        ({"max_tokens": 0}, "max_tokens is 0"),
    ],
)
def test_settings_that_cannot_be_are_named(reasoner: Reasoner, settings: dict, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        reasoner.solve("What is 3 + 4?", **settings)


def test_an_empty_question_is_refused(reasoner: Reasoner) -> None:
    with pytest.raises(UsageError, match="question"):
        reasoner.solve("  \n")


@pytest.mark.parametrize(
    "card",
    [{"format_version": 2, "thought": "program"}, {"format_version": 1, "thought": "poem"}, {"thought": "program"}, []],
)
def test_a_student_of_another_kind_is_refused_before_anything_starts(
    student: Path, tmp_path: Path, card: object
) -> None:
    other = shutil.copytree(student, tmp_path / "other")
    (other / "pad_ray.json").write_text(json.dumps(card))
    with pytest.raises(StudentError, match=r"pad_ray\.json"):
        Reasoner.load(other)


def test_a_card_of_this_version_is_read(student: Path, tmp_path: Path) -> None:
    own = shutil.copytree(student, tmp_path / "own")
    (own / "pad_ray.json").write_text(json.dumps({"format_version": 1, "thought": "program", "round": 0}))
    with Reasoner.load(own) as reasoner:
        assert reasoner.solve("What is 3 + 4?").answer == "7"


def test_a_student_is_fetched_by_its_uri_and_only_stderr_hears_of_it(
    student: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(name: str, cache: Path, say: Callable[[str], None]) -> Path:
        say(f"fetching {name}")
        return student

    monkeypatch.setattr(wheel, "student", fetch)
    with Reasoner.load("wheel://llm-small") as reasoner:
        assert reasoner.solve("What is 3 + 4?").answer == "7"
    said = capsys.readouterr()
    assert said.out == "" and "fetching llm-small" in said.err


def test_a_folder_that_is_no_student_is_not_blamed_on_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    (tmp_path / "tokenizer.json").touch()
    with pytest.raises(StudentError, match=r"^student: .* no weights") as caught:
        Reasoner.load(tmp_path)
    assert "student." not in str(caught.value).removeprefix("student:")


def test_closing_ends_the_sandbox(student: Path) -> None:
    reasoner = Reasoner.load(student)
    reasoner.close()
    with pytest.raises(UsageError, match="not open"):
        reasoner.solve("What is 3 + 4?")
