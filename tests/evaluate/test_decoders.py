"""Decoders are compared on the same questions, each also with the vote that generates about as many tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_student import make_tiny_student

from pad_ray.errors import UsageError
from pad_ray.evaluate.decoders import POOLED, Answers, decoder, label, measure, partner, rows
from pad_ray.evaluate.decoders_table import COLUMNS, cells, markdown
from pad_ray.evaluate.metrics import GradedAnswer
from pad_ray.flow.progress import Reporter
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Decode
from pad_ray.thoughts.program import student_prompt

GREEDY, BEAM, VOTE = Decode(), Decode(kind="beam"), Decode(kind="vote", samples=5)


def answers(suite: str, right: list[bool], tokens: int) -> Answers:
    return {
        (suite, f"{suite}/{number}", f"question {number}"): GradedAnswer(
            problem_id=f"{suite}/{number}",
            question=f"question {number}",
            gold="7",
            answer="7",
            outcome=Outcome.CORRECT if correct else Outcome.WRONG_ANSWER,
            detail="",
            program="",
            tokens=tokens,
            source="",
        )
        for number, correct in enumerate(right)
    }


def test_a_decoder_is_named_like_the_recipes_section() -> None:
    assert decoder("vote:samples=8") == Decode(kind="vote", samples=8)
    assert decoder("beam:scorer=verifier,weight=0.3,beams=2").scorer == "verifier"
    assert decoder("greedy") == GREEDY
    assert decoder("repair") == decoder("greedy:repairs=2") and decoder("repair:repairs=3").repairs == 3
    for spec, said in [
        ("beam:samples=2", "decode.samples does nothing"),
        ("poem", "there is no kind 'poem'. Kinds: greedy, vote, beam, repair"),
        ("vote:samples", "is not KIND"),
        ("vote:sample=2", "there is no key 'sample'"),
        ("vote:samples=[", "no YAML"),
    ]:
        with pytest.raises(UsageError, match=said):
            decoder(spec)


def test_a_label_says_all_that_is_not_usual() -> None:
    for spec, said in [
        ("greedy", "greedy"),
        ("greedy:repairs=2", "greedy + 2 repairs"),
        ("vote:samples=8,temperature=1", "vote@8 + temperature 1"),
        ("vote:samples=8,max_tokens=128", "vote@8 + 128 tokens"),
        ("beam:scorer=verifier,weight=0.3,repairs=1", "beam 4x4 + 0.3 verifier + 1 repair"),
    ]:
        assert label(decoder(spec), 256) == said


def test_the_vote_to_compare_with_has_about_as_many_tokens() -> None:
    given = {GREEDY: answers("s", [True] * 4, 50), BEAM: answers("s", [True] * 4, 260)}
    assert partner(BEAM, GREEDY, given) == VOTE
    # A repair now and then is no second program.
    few = {GREEDY: given[GREEDY], BEAM: answers("s", [True] * 4, 60)}
    assert partner(BEAM, GREEDY, few) == GREEDY


def test_every_row_has_its_pairs_and_all_suites_together_come_first() -> None:
    given = {
        decode: {**answers("one", right, tokens), **answers("two", right, tokens)}
        for decode, right, tokens in [
            (GREEDY, [False, False, True], 50),
            (BEAM, [True, True, True], 260),
            (VOTE, [True, False, True], 251),
        ]
    }
    found = rows(given, {BEAM: VOTE})
    assert [(row["suite"], row["decoder"]) for row in found[:4]] == [
        (POOLED, "greedy"), (POOLED, "beam 4x4"), (POOLED, "vote@5"), ("one", "greedy"),
    ]  # fmt: skip
    greedy, beam, vote = found[:3]
    assert "greedy" not in greedy and "equal" not in greedy and "equal" not in vote
    assert (beam["n"], beam["correct"], beam["tokens"]) == (6, 6, 260)
    assert (beam["greedy"]["gained"], beam["greedy"]["lost"]) == (4, 0)
    assert (beam["equal"]["decoder"], beam["equal"]["tokens"], beam["equal"]["gained"]) == ("vote@5", 251, 2)
    assert beam["greedy"]["verdict"] == "better"
    shown = cells(beam)
    assert len(shown) == len(COLUMNS) and shown[3] == "100.0 %" and "vote@5: 251 tokens" in shown[7]
    page = markdown({"student": "s", "limit": 3, "match": "exact", "seed": 0, "rows": found})
    assert page.count("\n| ") == 1 + len(found) and "the first 3 questions of each suite" in page


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_one_call_measures_all_and_a_second_one_only_reads(tmp_path: Path) -> None:
    pairs = [(f"What is 3 + {number}?", f"def solution():\n    return 3 + {number}\n") for number in range(4)]
    student = make_tiny_student(tmp_path / "student", [(student_prompt(asked), text) for asked, text in pairs])
    lines = [{"id": place, "question": asked, "answer": 3 + place} for place, (asked, _) in enumerate(pairs)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def measured() -> dict:
        return measure(
            str(student),
            {"sums": str(tmp_path / "sums.jsonl")},
            [Decode(kind="beam", beams=2, continuations=2, max_tokens=60, temperature=0.3)],
            tmp_path / "out",
            reporter=Reporter(),
        )

    found = measured()
    by_label = {row["decoder"]: row for row in found["rows"]}
    assert by_label["greedy"]["accuracy"] == 1.0
    beam = by_label["beam 2x2 + temperature 0.3"]
    assert beam["correct"] >= 3 and beam["tokens"] > by_label["greedy"]["tokens"]
    assert beam["equal"]["decoder"] in by_label
    assert json.loads((tmp_path / "out" / "decoders.json").read_text())["rows"] == found["rows"]
    (student / "model.safetensors").unlink()
    assert measured()["rows"] == found["rows"]
