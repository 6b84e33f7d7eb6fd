"""A recipe says which form of reasoning it teaches, and is told at once what that form cannot be used for."""

from __future__ import annotations

from typing import Any

import pytest

from pad_ray.errors import RecipeError
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe


def recipe(thought: str, **sections: Any) -> Recipe:
    tree: dict[str, Any] = {"name": "t", "problems": {"train": "a.jsonl"}, "student": {"model": "m"}}
    return parse_recipe({**tree, "thought": thought, "teacher": {"kind": "worked"}, **sections})


@pytest.mark.parametrize("thought", ["chain", "equation", "socratic"])
@pytest.mark.parametrize(
    ("section", "keys", "said"),
    [
        ("decode", {"kind": "beam"}, r"decode\.kind: beams execute .* use greedy or vote"),
        ("decode", {"repairs": 1}, r"decode\.repairs: .* leave it out"),
        ("refine", {"injected": 0.5}, r"refine\.injected: .* programs only"),
    ],
)
def test_what_only_programs_can_be_used_for_is_refused(thought: str, section: str, keys: Any, said: str) -> None:
    plain = {"evaluate": {"baselines": ["zero_shot"]}}
    assert recipe("program", **plain, **{section: keys})
    with pytest.raises(RecipeError, match=said):
        recipe(thought, **plain, **{section: keys})
    assert recipe(thought, **plain).thought == thought


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({}, r"evaluate\.baselines"),
        ({"refine": {"preference": True}}, r"refine\.preference"),
        ({"train": {"curriculum": {}}}, r"train\.curriculum"),
        ({"train": {"distill": {"kind": "gkd", "teacher": "t"}}}, r"train\.distill\.kind"),
    ],
)
def test_what_takes_a_text_whole_is_refused_for_one_that_is_taught_in_parts(sections: Any, key: str) -> None:
    asked = {"evaluate": {"baselines": ["direct"]}} if sections else {}
    assert recipe("chain", **asked, **sections)
    with pytest.raises(RecipeError, match=key):
        recipe("socratic", **asked, **sections)


def test_a_second_student_is_for_dialogues_only_and_not_for_a_budget_of_time() -> None:
    own: dict[str, Any] = {"student": {"model": "m", "decomposer": "own"}, "evaluate": {"baselines": ["direct"]}}
    assert recipe("socratic", **own).student.decomposer == "own"
    for thought in ("program", "chain", "equation"):
        with pytest.raises(RecipeError, match=rf"student\.decomposer: .* thought: {thought}; leave it out"):
            recipe(thought, **own)
    with pytest.raises(RecipeError, match=r"student\.decomposer: .* budget\.minutes sizes one training"):
        recipe("socratic", **own, budget={"minutes": 5})


def test_sub_questions_become_comments_of_programs_only() -> None:
    assert recipe("program", teacher={"kind": "worked", "sub_questions": True}).teacher.commented
    with pytest.raises(RecipeError, match=r"teacher\.sub_questions: .* thought: chain there are none"):
        recipe("chain", teacher={"kind": "worked", "sub_questions": True})
    other = recipe("program", teacher={"kind": "student", "sub_questions": True})
    assert other.ignored() == ["teacher.sub_questions"] and not other.teacher.commented


@pytest.mark.parametrize(
    ("keys", "said"),
    [({"samples": 2}, "one worked solution, not 2"), ({"until_correct": 3}, "a worked solution cannot be asked again")],
)
def test_a_worked_solution_is_there_once(keys: Any, said: str) -> None:
    assert recipe("chain", teacher={"kind": "worked", "samples": 1})
    with pytest.raises(RecipeError, match=said):
        recipe("chain", teacher={"kind": "worked", **keys})


def test_keys_that_worked_solutions_have_no_use_for_are_named_and_their_own_elsewhere() -> None:
    worked = recipe("chain", teacher={"kind": "worked", "marks": False, "temperature": 0.2})
    assert worked.ignored() == ["teacher.temperature"]
    assert recipe("chain", teacher={"kind": "student", "marks": False}).ignored() == ["teacher.marks"]
