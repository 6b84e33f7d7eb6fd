"""What the k-th sample of a problem asks, of whom, and which problems are asked again."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pad_ray.errors import RecipeError
from pad_ray.flow.expanding import TeacherRequests, check_exemplars, drawn
from pad_ray.flow.graph import slices
from pad_ray.flow.waves import next_wave
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Problem, Request, Sample, Verdict
from pad_ray.thoughts.exemplars import packaged_exemplars

PROBLEM = Problem("p", "What is 2 + 2?", "4")


def recipe(**teacher: Any) -> Recipe:
    asked = {"kind": "openai", "model": "m", "samples": 2, "price": "unknown_ok", **teacher}
    return parse_recipe(
        {"name": "t", "problems": {"train": "a.jsonl"}, "teacher": asked, "student": {"model": "none"}, "seed": 5}
    )


def asked(k: int, **teacher: Any) -> list[Request]:
    return TeacherRequests(recipe(**teacher)).requests(PROBLEM, range(k))


def shown(request: Request) -> str:
    return "".join(message.content for message in request.messages[1:-1])


def test_every_context_is_asked_in_turn_and_no_id_changes() -> None:
    requests = asked(16, contexts=8)
    assert [request.sample_id for request in requests] == [f"p#program.r0.k{k}" for k in range(16)]
    assert len({shown(request) for request in requests[:8]}) == 8
    assert len({shown(request) for request in requests[8:]}) == 8
    assert {len(request.messages) for request in requests} == {1 + 2 * 4 + 1}


@pytest.mark.parametrize(("contexts", "temperatures"), [(2, [0.2, 0.9]), (3, [0.2, 0.9]), (4, [0.1, 0.2, 0.3, 0.4])])
def test_contexts_and_temperatures_meet_in_every_pair(contexts: int, temperatures: list[float]) -> None:
    requests = asked(contexts * len(temperatures), contexts=contexts, temperature=temperatures)
    pairs = Counter((shown(request), request.temperature) for request in requests)
    assert len(pairs) == contexts * len(temperatures)
    # And both are in turn, however few samples there are.
    assert [request.temperature for request in requests[: len(temperatures)]] == temperatures
    assert len({shown(request) for request in requests[:contexts]}) == contexts


def test_without_contexts_there_is_one_short_exemplar() -> None:
    assert {len(request.messages) for request in asked(4)} == {4}


def test_own_exemplars_are_shown_and_one_that_gives_an_evaluation_question_away_is_refused(tmp_path: Path) -> None:
    own = [{"question": f"How many legs have {n} cats?", "program": "def solution():\n    return 4"} for n in range(5)]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in own))
    shows = recipe(contexts=1, exemplars=str(path))
    assert "How many legs have 3 cats?" in shown(asked(1, contexts=1, exemplars=str(path))[0])
    check_exemplars(shows, [replace(PROBLEM, split="test")])
    for number in range(5):  # contexts show four of them
        taken = Problem("e", f"How many legs have  {number} CATS?", "8", split="unseen")
        said = rf"own\.jsonl:{number + 1}: .*have {number} cats.* is a question of the suite 'unseen'"
        with pytest.raises(RecipeError, match=said):
            check_exemplars(shows, [replace(PROBLEM, split="test"), taken])
    long = packaged_exemplars("program")[1].question
    with pytest.raises(RecipeError, match="13 words in a row"):
        check_exemplars(recipe(contexts=2), [Problem("e", f"{long} And in six?", "1")])


def test_a_teacher_of_dialogues_is_shown_the_facts_of_a_problem_that_has_some() -> None:
    known = Problem("p", "Do whales breathe air?", "yes", facts=("Whales are mammals.", "Mammals breathe air."))
    for thought, told in (("socratic", True), ("program", False)):
        tree = recipe().model_dump() | {"thought": thought, "evaluate": {"baselines": []}}
        [request] = TeacherRequests(parse_recipe(tree)).requests(known, range(1))
        assert ("- Whales are mammals.\n- Mammals breathe air.\n" in request.messages[-1].content) is told
        assert "yes" not in request.messages[-1].content


MIXTURE = [
    {"weight": 3, "model": "big", "max_tokens": 99},
    {"weight": 1, "model": "small", "temperature": [0.1, 0.3], "base_url": "http://127.0.0.1:9/v1"},
]


def test_a_mixture_is_drawn_by_weight_and_always_the_same() -> None:
    members = recipe(model="", mixture=MIXTURE).teacher.members
    models = Counter(drawn(members, f"p{n}#program.r0.k0").model for n in range(4000))
    assert 2850 < models["big"] < 3150  # over five standard deviations
    assert [drawn(members, "a#b.r0.k0").model for _ in range(3)] == [drawn(members, "a#b.r0.k0").model] * 3


def test_each_request_of_a_mixture_has_what_its_teacher_says_and_otherwise_what_all_have() -> None:
    requests = asked(40, model="", mixture=MIXTURE, temperature=0.5, max_tokens=20)
    big, small = ([one for one in requests if one.model == model] for model in ("big", "small"))
    assert {(one.temperature, one.max_tokens) for one in big} == {(0.5, 99)}
    assert {(one.temperature, one.max_tokens) for one in small} == {(0.1, 20), (0.3, 20)}
    assert len(big) + len(small) == 40


def state(*outcomes: Outcome, **sample: Any) -> tuple[list[Request], dict[str, Sample], dict[str, Verdict]]:
    """A problem that was asked so often, with these outcomes."""
    requests = asked(len(outcomes), until_correct=5)
    samples = {one.sample_id: Sample(one.sample_id, "text", **sample) for one in requests}
    verdicts = {
        one.sample_id: Verdict(one.sample_id, "", outcome) for one, outcome in zip(requests, outcomes, strict=True)
    }
    return requests, samples, verdicts


def again(requests: list[Request], samples: dict[str, Sample], verdicts: dict[str, Verdict]) -> list[Request]:
    waves = next_wave(requests, samples, verdicts, {"p": PROBLEM}, TeacherRequests(recipe(until_correct=5)))
    return [request for wave in waves for request in wave]


WRONG, CORRECT = Outcome.WRONG_ANSWER, Outcome.CORRECT


def test_a_problem_without_a_correct_program_is_asked_again_up_to_the_cap() -> None:
    everything = asked(5, until_correct=5)
    assert again(*state(WRONG, Outcome.TIMEOUT)) == everything[2:4]
    assert again(*state(WRONG, WRONG, WRONG, WRONG)) == everything[4:]
    assert again(*state(WRONG, WRONG, WRONG, WRONG, WRONG)) == []


def test_a_problem_that_is_solved_or_still_in_work_is_not_asked_again() -> None:
    assert again(*state(WRONG, CORRECT)) == []
    requests, samples, verdicts = state(WRONG, WRONG)
    first, second = (request.sample_id for request in requests)
    assert again(requests, {first: samples[first]}, verdicts) == []
    assert again(requests, samples, {first: verdicts[first]}) == []
    assert again(*state(WRONG, Outcome.SANDBOX_ERROR)) == []
    lost = replace(samples[second], error="no connection", transient=True)
    assert again(requests, {**samples, second: lost}, verdicts) == []


def test_a_problem_that_the_teacher_always_refuses_is_not_asked_again() -> None:
    failed = Outcome.TEACHER_ERROR
    assert again(*state(failed, failed, error="context_length_exceeded")) == []
    # One reply among the errors is reason enough.
    requests, samples, verdicts = state(WRONG, failed)
    second = requests[1].sample_id
    assert len(again(requests, {**samples, second: replace(samples[second], error="filtered")}, verdicts)) == 2


def test_slices_hold_every_request_once_and_a_large_plan_is_not_handed_out_one_by_one() -> None:
    planned = {0: 40_000, 1: 7, 2: 60_000}
    for step, starts in [(1, {}), (64, {}), (1, {0: 39_990, 1: 7}), (10**6, {})]:
        found = slices(planned, starts, step)
        ids = [(one["shard"], row) for one in found for row in range(one["start"], one["stop"])]
        assert ids == [(shard, row) for shard, rows in planned.items() for row in range(starts.get(shard, 0), rows)]
        assert len(found) < 5000
    assert len(slices({0: 12}, {}, 1)) == 12
