"""Sampling plans in the recipe: what cannot be meant is refused with a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from pad_ray.errors import RecipeError
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe

PRICE = {"input": 1, "output": 2}
PAID = {"kind": "openai", "samples": 2, "price": PRICE}


def recipe(**teacher: Any) -> Recipe:
    return parse_recipe(
        {"name": "t", "problems": {"train": "a.jsonl"}, "student": {"model": "m"}, "teacher": {**PAID, **teacher}}
    )


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ({"kind": "recorded", "until_correct": 4}, "teacher.until_correct: a recording cannot be asked again"),
        ({"model": "m", "until_correct": 1}, "teacher.until_correct: 1 replies in all must be at least"),
        ({"model": "m", "until_correct": 4, "temperature": 0}, "the same question gets the same reply again"),
        ({"model": "m", "exemplars": "a.jsonl"}, "teacher.exemplars: they are shown in contexts of four"),
        ({"model": "m", "mixture": [{"model": "a"}]}, "teacher.model: 'm' is not asked beside teacher.mixture"),
        ({"mixture": [{"model": "a"}, {"model": "a"}]}, "teacher.mixture: 'a' is there twice"),
        ({"mixture": [{"model": "a"}], "price": None}, "teacher.price of 'a' is missing"),
        ({"mixture": [{"model": "a", "price": {"input": 1}}]}, "teacher.price of 'a': {'input': 1.0} must have both"),
        (
            {"mixture": [{"model": "a"}, {"model": "b", "price": "unknown_ok"}], "budget_usd": 1},
            "cannot be kept while teacher.price of 'b' is unknown_ok",
        ),
    ],
)
def test_a_sampling_plan_that_cannot_be_meant_is_refused(teacher: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(**teacher)
    assert said in str(caught.value)


def test_what_a_teacher_of_a_mixture_leaves_out_is_as_in_the_section() -> None:
    own = {"model": "b", "base_url": "http://127.0.0.1:9/v1", "price": {"input": 3, "output": 4}, "max_tokens": 7}
    first, second = recipe(
        base_url="http://127.0.0.1:8/v1", max_tokens=5, temperature=[0.0, 1.0], mixture=[{"model": "a"}, own]
    ).teacher.members
    assert (first.base_url, first.price, first.max_tokens) == ("http://127.0.0.1:8/v1", PRICE, 5)
    assert (second.base_url, second.price, second.max_tokens) == (own["base_url"], own["price"], 7)
    assert first.temperatures == second.temperatures == [0.0, 1.0]


def test_keys_of_sampling_plans_that_a_kind_has_no_use_for_are_told() -> None:
    set_ = {"kind": "recorded", "mixture": [{"model": "a"}], "contexts": 2}
    assert {"teacher.mixture", "teacher.contexts"} <= set(recipe(**set_).ignored())
