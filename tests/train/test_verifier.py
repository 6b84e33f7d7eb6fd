"""A verifier learns from the student's own judged programs which ones are right, and says so while they are written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_student import make_tiny_encoder_decoder, make_tiny_student

from pad_ray.decode.loading import load_engine
from pad_ray.decode.scorers import Written
from pad_ray.decode.transformers_engine import TransformersEngine
from pad_ray.decode.verifier import Verifier, states
from pad_ray.errors import NothingToTrainOn, StudentError
from pad_ray.flow.progress import Reporter
from pad_ray.flow.verifying import train_verifier
from pad_ray.records import Problem
from pad_ray.storage import Storage
from pad_ray.thoughts import program as thought
from pad_ray.thoughts.program import student_prompt
from pad_ray.train.verifier import Judged, Sampling, area, fit, judged_programs, save, train_head
from tests.decode.typist import Runner, Typist


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def engine(student: Path) -> TransformersEngine:
    return load_engine(student)


def judged(engine: TransformersEngine, count: int = 60) -> list[Judged]:
    """Programs that are right where they hold an `x`: any state of a token behind it can know."""
    texts = [f"a = {number}{'x' if number % 2 else 'o'} + 1\n" for number in range(count)]
    return [
        Judged(f"p{number}", f"Q: {number}\n", tuple(engine.ids(text)), "x" in text)
        for number, text in enumerate(texts)
    ]


def test_the_head_tells_right_from_wrong_on_questions_it_has_not_seen(
    engine: TransformersEngine, student: Path
) -> None:
    trained = train_head(engine, judged(engine))
    assert trained.programs + trained.held_out == 60 and trained.held_out > 0
    assert trained.right == 0.5 and trained.auc is not None and trained.auc > 0.9
    card = save(trained, Storage(student), {"problems": "sums.jsonl"})
    assert card["auc"] == trained.auc and card["problems"] == "sums.jsonl"
    verifier = Verifier.load(engine, student)
    right, wrong = verifier.score(
        [Written("q", "Q: 7\n", tuple(engine.ids(text)), text) for text in ("a = 71x + 1\n", "a = 71o + 1\n")]
    )
    assert wrong < right <= 0


@pytest.mark.parametrize("make", [make_tiny_student, make_tiny_encoder_decoder], ids=["causal", "encoder-decoder"])
def test_a_state_knows_what_was_written_up_to_it_and_nothing_of_what_stands_beside_it(make, tmp_path: Path) -> None:
    engine = load_engine(make(tmp_path))
    prompts = ["Q: 1\n", "Q: a longer one\n", "Q\n"]
    written = [engine.ids(text)[:length] for text, length in (("abcdef", 6), ("xyz", 3), ("abcdefghij", 10))]
    together = states(engine, prompts, written)
    for prompt, tokens, found in zip(prompts, written, together, strict=True):
        assert len(found) == len(tokens)
        [alone] = states(engine, [prompt], [tokens])
        assert found == pytest.approx(alone, abs=1e-4)
        [shorter] = states(engine, [prompt], [tokens[:2]])
        assert found[:2] == pytest.approx(shorter, abs=1e-4)
        [last] = states(engine, [prompt], [tokens], last=True)
        assert last == pytest.approx(found[-1:], abs=1e-4)


def test_a_student_without_a_verifier_or_with_a_foreign_one_is_named(
    engine: TransformersEngine, student: Path, tmp_path: Path
) -> None:
    with pytest.raises(StudentError, match=r"holds none.*pad-ray verifier"):
        Verifier.load(engine, tmp_path)
    save(train_head(engine, judged(engine, 20)), Storage(tmp_path), {})
    card = tmp_path / "verifier" / "verifier.json"
    card.write_text(card.read_text().replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(StudentError, match="format_version 9"):
        Verifier.load(engine, tmp_path)


def test_programs_that_are_all_wrong_teach_nothing(engine: TransformersEngine) -> None:
    wrong = [Judged(f"p{number}", "Q\n", (1, 2), False) for number in range(5)]
    with pytest.raises(NothingToTrainOn, match="none is right"):
        train_head(engine, wrong)


def test_what_it_learns_from_is_executed_and_judged_and_what_has_no_program_is_wrong() -> None:
    typist = Typist({"": [("def solution():\n    return 7\n", -0.1), ("I will not.", -0.1), ("x = missing\n", -0.1)]})
    problems = [Problem("one", "3 + 4?", "7"), Problem("two", "1 + 1?", "2")]
    batches = judged_programs(typist, Runner(), thought, problems, Sampling(samples=12), at_once=1)
    found = [row for rows in batches for row in rows]
    assert [row.problem_id for row in found] == ["one"] * 12 + ["two"] * 12
    texts = ["".join(map(chr, row.tokens)) for row in found]
    assert [row.right for row in found] == [
        row.problem_id == "one" and "7" in text for row, text in zip(found, texts, strict=True)
    ]
    assert {row.right for row in found[:12]} == {True, False}


def test_the_regression_is_that_of_the_weighted_rows() -> None:
    import torch

    inputs = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
    labels = torch.tensor([0.0, 1.0, 1.0, 0.0])
    even = fit(inputs, labels, torch.full((4,), 0.25))
    assert float(even[0]) == pytest.approx(0.0, abs=1e-3)
    weight, bias = fit(inputs, labels, torch.tensor([0.4, 0.1, 0.4, 0.1]))
    low, high = torch.sigmoid(bias), torch.sigmoid(weight[0] + bias)
    assert float(low) == pytest.approx(0.2, abs=0.02) and float(high) == pytest.approx(0.8, abs=0.02)


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    assert area([0.1, 0.9, 0.5, 0.4], [False, True, False, True]) == 0.75
    assert area([0.1, 0.2], [True, True]) is None


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_one_call_leaves_a_verifier_in_the_students_folder(tmp_path: Path) -> None:
    asked = [f"What is 3 + {number}?" for number in range(24)]
    folder = make_tiny_student(tmp_path / "student", [(student_prompt(asked[0]), "def solution():\n    return 3\n")])
    lines = [{"id": place, "question": text, "answer": 3 + place % 2} for place, text in enumerate(asked)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sampling = Sampling(samples=2, max_tokens=60, temperature=0.5)
    card = train_verifier(str(folder), str(tmp_path / "sums.jsonl"), sampling, limit=None, reporter=Reporter())
    assert card["programs"] + card["held_out"] == 48 and 0 < card["right"] < 1
    assert json.loads((folder / "verifier" / "verifier.json").read_text()) == card
    assert Verifier.load(load_engine(folder), folder).score([Written("q", "Q\n", (1, 2), "a")])[0] < 0
