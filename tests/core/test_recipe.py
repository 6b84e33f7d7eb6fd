"""The recipe: what is refused, what is said about it, and what makes two recipes the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pad_ray.errors import RecipeError
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import builtin_recipes, differences, load_recipe, parse_recipe

REPO = Path(__file__).resolve().parents[2]


def tree(**more: Any) -> dict[str, Any]:
    return {"name": "t", "problems": {"train": "a.jsonl"}, "student": {"model": "m"}, **more}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"problms": 1}, ["problms", "did you mean 'problems'"]),
        ({"train": {"lrr": 1}}, ["train.lrr", "did you mean 'lr'"]),
        ({"train": {"lr": -1}}, ["train.lr", "-1", "greater than 0"]),
        ({"thought": "chian"}, ["thought", "chian", "program"]),
        ({"teacher": {"kind": "oracle"}}, ["teacher.kind", "oracle", "recorded"]),
        ({"name": "a/b"}, ["name", "a/b"]),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_mend(broken: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**tree(), **broken})
    assert all(words in str(caught.value) for words in said), str(caught.value)


def test_overrides_reach_into_sections_and_keep_yaml_types(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(tree()))
    recipe = load_recipe(
        str(path), ["train.lr=0.01", "refine.rounds=0", "teacher.path=[a, b]", "evaluate.baselines=[]"]
    )
    assert (recipe.train.lr, recipe.refine.rounds) == (0.01, 0)
    assert recipe.teacher.paths == ["a", "b"]
    assert recipe.evaluate.baselines == []


@pytest.mark.parametrize("override", ["train.lr", "=3", "name.x=3"])
def test_a_malformed_override_is_refused(tmp_path: Path, override: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(tree()))
    with pytest.raises(RecipeError):
        load_recipe(str(path), [override])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.lrr=1", "unknown key 'train.lrr' (did you mean 'lr'?) (in train.lrr=1 on the command line)"),
        ("teacher.samples=0", "teacher.samples: 0 is not allowed"),
        ("problems={}", "the key 'problems.train' is missing (in problems={} on the command line)"),
        ("train.use_gpu=maybe", "(in train.use_gpu=maybe on the command line)"),
    ],
)
def test_a_wrong_override_is_blamed_on_the_command_line(tmp_path: Path, override: str, said: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(tree()))
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path), ["seed=2", override])
    assert said in str(caught.value)
    assert "r.yaml" not in str(caught.value)


def test_what_is_wrong_in_the_file_is_blamed_on_the_file_beside_an_override(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(tree(train={"epoch": 2})))
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path), ["train.lrr=1"])
    assert f"unknown key 'train.epoch' (did you mean 'epochs'?) (in {path})" in str(caught.value)
    assert "(in train.lrr=1 on the command line)" in str(caught.value)


def test_a_key_of_several_kinds_is_named_without_the_validator_s_words() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(tree(teacher={"samples": 0}))
    assert str(caught.value).startswith("teacher.samples: 0 is not allowed (input should be greater than or equal to 1")
    assert "constrained" not in str(caught.value)


def test_an_unknown_recipe_name_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="did you mean 'quick'"):
        load_recipe("quik")


def test_the_hash_ignores_how_fast_and_notices_what_is_made() -> None:
    base = parse_recipe(tree())
    assert parse_recipe(tree(teacher={"workers": 7, "budget_usd": 3}, sandbox={"workers": 9})).hash() == base.hash()
    assert parse_recipe(tree(storage={"run_dir": "x"}, about="other words")).hash() == base.hash()
    assert parse_recipe(tree(seed=1)).hash() != base.hash()
    assert parse_recipe(tree(sandbox={"timeout_s": 2})).hash() != base.hash()


def test_differences_name_the_dotted_keys() -> None:
    one, two = parse_recipe(tree()).identity(), parse_recipe(tree(train={"lr": 0.5})).identity()
    assert list(differences(two, one)) == ["train.lr: 0.0002 in the run, 0.5 now"]


def test_differences_spell_values_as_a_recipe_does() -> None:
    one, two = parse_recipe(tree()).identity(), parse_recipe(tree(train={"max_steps": 3}, name="u")).identity()
    assert list(differences(two, one)) == ["name: 't' in the run, 'u' now", "train.max_steps: null in the run, 3 now"]
    assert list(differences({"new": True}, {})) == ["new: not set in the run, true now"]


def test_the_resolved_yaml_reads_back_as_the_same_recipe() -> None:
    recipe = parse_recipe(tree(problems={"train": ["a", "b"], "eval": {"x": "c"}}))
    assert parse_recipe(yaml.safe_load(recipe.to_yaml())) == recipe


@pytest.mark.parametrize("name", builtin_recipes())
def test_built_in_recipes_are_valid_and_say_what_they_are(name: str) -> None:
    assert load_recipe(name).about.endswith(".")


def test_the_documented_schema_is_the_one_in_force() -> None:
    assert json.loads((REPO / "docs" / "recipe.schema.json").read_text()) == Recipe.model_json_schema()


PAID = {"kind": "openai", "model": "m", "samples": 2}


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ({**PAID, "model": ""}, "teacher.model is missing"),
        ({**PAID, "samples": "all"}, "teacher.samples: 'all' has no meaning for the kind openai"),
        (PAID, "teacher.price is missing"),
        ({**PAID, "price": {"input": 1}}, "must have both input and output"),
        ({**PAID, "price": "unknown_ok", "budget_usd": 3}, "teacher.budget_usd: 3.0 cannot be kept"),
    ],
)
def test_a_teacher_that_may_cost_money_needs_what_limits_it(teacher: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(tree(teacher=teacher))
    assert said in str(caught.value)
    assert "not allowed" not in str(caught.value)


def test_a_missing_price_can_come_from_the_command_line_and_a_run_goes_on_with_another_cap(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(tree(teacher=PAID)))
    price = "teacher.price={input: 1, output: 2}"
    recipes = [load_recipe(str(path), [price, *more]) for more in ([], ["teacher.budget_usd=3"], ["teacher.cache=c"])]
    assert len({recipe.hash() for recipe in recipes}) == 1
    assert recipes[0].ignored() == []
    assert parse_recipe(tree(teacher={"price": "unknown_ok"})).ignored() == ["teacher.price"]


@pytest.mark.parametrize("key", ["student.lora", "train.curriculum", "train.distill", "refine.preference"])
def test_an_optional_section_is_switched_on_by_true_and_a_key_of_it(key: str) -> None:
    section, name = key.split(".")
    more = {"model": "m"} if section == "student" else {}

    def with_value(value: Any) -> Any:
        return getattr(getattr(parse_recipe(tree(**{section: {name: value, **more}})), section), name)

    assert with_value(True) == with_value({}) is not None
    assert with_value(False) is None
    with pytest.raises(RecipeError, match="did you mean"):
        with_value({"rankk": 1, "stagess": 2, "nucleuss": 1, "betaa": 1})


def test_overrides_reach_into_a_section_that_is_switched_on() -> None:
    recipe = load_recipe("quick", ["student.init=pretrained", "student.lora=true", "student.lora.rank=3"])
    assert recipe.student.lora and recipe.student.lora.rank == 3
    assert load_recipe("quick", ["train.curriculum.stages=3"]).train.curriculum
    assert load_recipe("quick", ["train.tracking=mlflow"]).train.tracking == ["mlflow"]


def test_keys_of_rounds_that_learn_nothing_new_are_told_to_be_unused() -> None:
    for refine in ({"rounds": 0}, {"fresh": False}):
        assert "refine.preference" in parse_recipe(tree(refine={"preference": True, **refine})).ignored()
    gkd = {"kind": "gkd", "teacher": "somewhere", "on_policy": 0.2}
    assert "train.distill.on_policy" in parse_recipe(tree(train={"distill": gkd}, refine={"rounds": 0})).ignored()
    assert "train.distill" in parse_recipe(tree(train={"distill": True}, refine={"rounds": 0})).ignored()
    with pytest.raises(RecipeError, match=r"train\.curriculum: with exemplars 0 and knowledge off"):
        parse_recipe(tree(train={"curriculum": {"exemplars": 0, "knowledge": False}}))
