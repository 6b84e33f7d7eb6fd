"""docs/recipe.md is written from the recipe's own keys, so it can neither lack one nor tell of one that is gone."""

from __future__ import annotations

import re
from pathlib import Path

from pad_ray.recipe import Recipe
from pad_ray.recipe_reference import reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recipe.md"


def test_the_page_is_what_the_keys_say_now() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run: make schema"


def test_every_key_of_every_section_has_a_line_with_its_sentence() -> None:
    lines = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.*) \|$", reference(), re.MULTILINE)
    said = {(key, sentence) for key, _, _, sentence in lines}
    schema = Recipe.model_json_schema()
    for section in (schema, *schema["$defs"].values()):
        for key, value in section.get("properties", {}).items():
            if "description" in value and "properties" not in schema["$defs"].get(key.title(), {}):
                assert (key, " ".join(value["description"].split()).replace("|", "\\|")) in said


def test_bounds_choices_and_defaults_are_told_as_a_reader_would() -> None:
    page = reference()
    assert "| `timeout_s` | number > 0 and ≤ 60 | `1` | Limit on one program, in seconds. |" in page
    assert "| `eval` | names, each with: text, or a list of: text | empty |" in page
    assert "| `zero_stage` | `0`, `1`, `2`, `3` | `0` |" in page
    assert "| `train` | text, or a list of: text | **required** |" in page
