"""`pad-ray init`: what it writes is a recipe, in every line of it, and nothing of the user's is overwritten."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from pad_ray.errors import ProblemError, UsageError
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import builtin_recipes, load_recipe
from pad_ray.starter import look_at, write_starter


def problems(folder: Path, *rows: dict[str, object]) -> str:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_the_starter_is_a_recipe_that_shows_every_section(tmp_path: Path) -> None:
    write_starter(tmp_path / "first try.yaml")
    recipe = load_recipe(str(tmp_path / "first try.yaml"))
    assert recipe.name == "first-try"
    assert set(yaml.safe_load((tmp_path / "first try.yaml").read_text())) == set(Recipe.model_fields)
    assert "my_recipe" not in (tmp_path / "first try.yaml").read_text()


def test_every_line_that_is_commented_out_is_a_key_with_its_default(tmp_path: Path) -> None:
    write_starter(tmp_path / "r.yaml")
    text = (tmp_path / "r.yaml").read_text()
    before = load_recipe(str(tmp_path / "r.yaml"))
    opened, count = re.subn(r"^( +)#(\w)", r"\1\2", text, flags=re.MULTILINE)
    assert count >= 10
    (tmp_path / "r.yaml").write_text(opened)
    assert load_recipe(str(tmp_path / "r.yaml")) == before


@pytest.mark.parametrize("uri", ["data/mine.jsonl", "gym://lcm?size=5&seed=1", "a: b #c.jsonl", "C:\\x.jsonl", "no"])
def test_the_problems_that_were_named_stand_in_the_recipe(tmp_path: Path, uri: str) -> None:
    write_starter(tmp_path / "r.yaml", uri)
    assert load_recipe(str(tmp_path / "r.yaml")).problems.train == uri


@pytest.mark.parametrize("name", ["null", "1e3", "x" * 90, "ü"])
def test_any_file_name_gives_a_valid_recipe_name(tmp_path: Path, name: str) -> None:
    write_starter(tmp_path / f"{name}.yaml")
    assert load_recipe(str(tmp_path / f"{name}.yaml")).name


def test_a_file_that_is_there_is_kept_unless_forced(tmp_path: Path) -> None:
    target = tmp_path / "r.yaml"
    target.write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        write_starter(target)
    assert target.read_text() == "mine"
    write_starter(target, force=True)
    assert load_recipe(str(target)).name == "r"


def test_columns_that_lack_question_or_answer_are_named_with_those_there(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="no column question and no column answer; it has prompt, label"):
        look_at(problems(tmp_path, {"prompt": "1 + 1?", "label": 2}))


def test_rows_without_an_answer_or_an_id_are_counted(tmp_path: Path) -> None:
    said = " ".join(look_at(problems(tmp_path, {"question": "a", "answer": 0}, {"question": "b", "answer": None})))
    assert "1 of them has no answer and will be left out" in said
    assert "get one from their content" in said


def test_the_starter_is_no_recipe_of_its_own() -> None:
    assert not [name for name in builtin_recipes() if "starter" in name or "my_recipe" in name]
