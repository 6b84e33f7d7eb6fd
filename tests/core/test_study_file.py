"""A study file: arms differ in nothing but what follows the shared part, and what would be unfair is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pad_ray.errors import RecipeError
from pad_ray.study_file import builtin_studies, load_study, parse_study, shares_sampling


def tree(arms: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": "t", "recipe": "quick", "reference": "all", "arms": arms or {"all": {}, "other": {}}, **more}


def test_the_studies_that_ship_are_whole_and_equally_long_in_every_arm() -> None:
    assert "ingredients" in builtin_studies()
    for name in builtin_studies():
        study = load_study(name)
        base = study.base(name)
        arms = [study.recipe_of(base, arm, 0, name) for arm in study.arms]
        bound = {one.refine.steps if study.share == "round_0" else one.train.max_tokens for one in arms}
        assert len(bound) == 1
        assert None not in bound


def test_arms_that_share_nothing_may_differ_in_anything_but_what_they_are_measured_by() -> None:
    arms = {"all": {}, "b": {"overrides": {"train.lr": 0.5, "refine.rounds": 0, "sandbox.timeout_s": 2}}}
    study = parse_study(tree(arms, share="nothing", seeds=[4]), "my.yaml", ["train.epochs=2", "sandbox.workers=1"])
    recipe = study.recipe_of(study.base("my.yaml"), "b", 4, "my.yaml")
    assert (recipe.train.lr, recipe.refine.rounds, recipe.sandbox.timeout_s) == (0.5, 0, 2)
    assert (recipe.seed, recipe.refine.seed) == (4, 4)
    assert (recipe.train.epochs, recipe.sandbox.workers) == (2, 1), "the keys of the command line are for all arms"


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ({"overrides": {"seed": 3}}, ["'b'", "'seed'", "seeds"]),
        ({"overrides": {"problems.eval": {"x": "y.jsonl"}}}, ["'b'", "problems.eval", "same questions"]),
        ({"overrides": {"budget.minutes": 5}}, ["'b'", "budget.minutes"]),
        ({"overrides": {"evaluate.match": "rounded"}}, ["'b'", "evaluate.match", "same rule"]),
        ({"same_steps_as": "all"}, ["'b'", "same_steps_as", "train.max_tokens"]),
        ({"overrides": {"thought": "prose"}}, ["'b'", "thought", "prose"]),
    ],
)
def test_a_whole_run_that_cannot_be_compared_is_refused_by_name(arm: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_study(tree({"all": {}, "b": arm}, share="nothing"), "my.yaml")
    for part in [*said, "my.yaml"]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ({"all": {}, "b": {"overrides": {"refine.sucesses": False}}}, ["'b'", "refine.sucesses", "'successes'"]),
        ({"all": {}, "b": {"overrides": {"refine.samples": 0}}}, ["'b'", "refine.samples", "0"]),
        ({"all": {}, "b": {"overrides": {"train.lr": 1e-3}}}, ["'b'", "train.lr", "share"]),
        ({"all": {}, "b": {"overrides": {"student.model": "m"}}}, ["'b'", "student.model", "share"]),
        ({"all": {}, "b": {"overrides": {"refine.seed": 3}}}, ["'b'", "seeds"]),
        ({"all": {}, "b": {"overrides": {"refine.rounds": 0}}}, ["'b'", "refine.rounds"]),
        ({"all": {}, "b": {"same_steps_as": "c"}}, ["'b'", "'c'", "all"]),
        ({"all": {}, "b": {"same_steps_as": "b"}}, ["'b'", "all"]),
        ({"all": {}, "b": {"same_steps_as": "all", "overrides": {"refine.steps": 3}}}, ["'b'", "twice"]),
        ({"all": {}, "b": {"same_steps_as": "all", "overrides": {"refine.rounds": 2}}}, ["'b'", "refine.rounds"]),
        ({"all": {}, "b": {"same_steps_as": "all", "overrides": {"refine.preference": {}}}}, ["'b' has", "pairs"]),
        ({"all": {"overrides": {"refine.preference": {}}}, "b": {"same_steps_as": "all"}}, ["'all' has", "pairs"]),
        ({"b": {}}, ["'all'", "no arm"]),
    ],
)
def test_an_arm_that_cannot_be_compared_is_refused_by_name(arms: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_study(tree(arms), "my.yaml")
    for part in [*said, "my.yaml"]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"overrides": {"budget.minutes": 10}}, ["budget.minutes", "10", "train.max_tokens"]),
        ({"overrides": {"problems.eval": {}}}, ["problems.eval"]),
        ({"overrides": {"train.lrr": 1}}, ["train.lrr", "'lr'", "overrides of my.yaml"]),
        ({"recipe": "quik"}, ["quik", "quick"]),
        ({"seeds": [1, 1]}, ["seeds"]),
        ({"refrence": "all"}, ["refrence", "'reference'"]),
    ],
)
def test_a_wrong_study_is_named_with_its_mend(more: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_study(tree(**more), "my.yaml")
    for part in said:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "shared"),
    [
        ({"refine.injected": 0.5}, True),
        ({"refine.successes": False, "refine.steps": 5}, True),
        ({"refine.samples": 3}, False),
        ({"refine.temperature": 0.1}, False),
        ({"refine.max_tokens": 20}, False),
        ({"refine.limit": 7}, False),
        ({"refine.fresh": False}, False),
    ],
)
def test_an_arm_takes_the_programs_of_the_shared_student_unless_it_wants_others_or_none(
    overrides: dict[str, Any], shared: bool
) -> None:
    study = parse_study(tree({"all": {}, "b": {"overrides": overrides}}), "my.yaml")
    base = study.base("my.yaml")
    mine, others = (study.recipe_of(base, arm, 0, "") for arm in study.arms)
    assert shares_sampling(mine, others) is shared


def test_every_seed_is_a_recipe_of_its_own_that_differs_in_nothing_else() -> None:
    study = parse_study(tree(seeds=[0, 5]), "my.yaml")
    first, second = (study.recipe_of(study.base(""), "all", seed, "") for seed in study.seeds)
    assert (first.refine.seed, second.refine.seed) == (0, 5)
    assert first.hash() != second.hash()
    same = {"name": "x", "refine": first.refine}
    assert first.model_copy(update=same).hash() == second.model_copy(update=same).hash()
