"""From a YAML file and `key.path=value` overrides to a validated Recipe, with errors that name the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pad_ray.errors import RecipeError
from pad_ray.recipe import Recipe


def builtin_recipes() -> list[str]:
    """Names of the recipes that ship with pad_ray."""
    folder = resources.files("pad_ray") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by its built-in name or path, apply `key.path=value` overrides, validate.

    Raises RecipeError naming the key, the value, why, and the nearest valid name.
    """
    path = Path(name_or_path)
    if name_or_path in builtin_recipes():
        text = (resources.files("pad_ray") / "recipes" / f"{name_or_path}.yaml").read_text(encoding="utf-8")
    elif path.suffix in (".yaml", ".yml") or path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"cannot read the recipe {name_or_path}: {error}.") from error
    else:
        raise RecipeError(
            f"there is no recipe {name_or_path!r}{_nearest(name_or_path, builtin_recipes())}.",
            hint=f"Built in: {', '.join(builtin_recipes())}; or give the path of a .yaml file.",
        )
    try:
        tree: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{name_or_path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{name_or_path} holds no keys.", hint="A recipe starts with `name:`, see `pad-ray recipes`.")
    for override in overrides:
        _apply(tree, override)  # pyright: ignore[reportUnknownArgumentType]
    return parse_recipe(tree, name_or_path)


def parse_recipe(tree: Any, origin: str = "recipe") -> Recipe:
    """Validate a recipe tree; see `load_recipe` for the errors."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError("; ".join(_explain(error)) + ".", hint=f"(in {origin})") from None


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted keys in which two recipe trees differ, with both values."""
    for key in sorted(set(ours) | set(theirs)):
        dotted, mine, other = f"{prefix}{key}", ours.get(key), theirs.get(key)
        if isinstance(mine, Mapping) and isinstance(other, Mapping):
            yield from differences(mine, other, f"{dotted}.")  # pyright: ignore[reportUnknownArgumentType]
        elif mine != other:
            yield f"{dotted}: {other!r} in the run, {mine!r} now"


def _apply(tree: dict[str, Any], override: str) -> None:
    dotted, equals, raw = override.partition("=")
    if not equals or not dotted:
        raise RecipeError(f"the override {override!r} is not of the form key.path=value.")
    *parents, last = dotted.split(".")
    node = tree
    for key in parents:
        child = node.setdefault(key, {})
        if not isinstance(child, dict):
            raise RecipeError(f"the override {override!r} goes into {key!r}, which is a value, not a section.")
        node = child  # pyright: ignore[reportUnknownVariableType]
    try:
        node[last] = yaml.safe_load(raw)
    except yaml.YAMLError:
        node[last] = raw


def _explain(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            *parents, key = problem["loc"]
            yield f"unknown key {where!r}{_nearest(str(key), _keys_of(parents))}"
        elif problem["type"] == "missing":
            yield f"the key {where!r} is missing"
        else:
            yield f"{where}: {problem['input']!r} is not allowed ({problem['msg']})"


def _keys_of(parents: Sequence[int | str]) -> list[str]:
    model: Any = Recipe
    for key in parents:
        field = model.model_fields.get(key) if hasattr(model, "model_fields") else None
        model = field.annotation if field else None
    return list(model.model_fields) if hasattr(model, "model_fields") else []


def _nearest(name: str, valid: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""
