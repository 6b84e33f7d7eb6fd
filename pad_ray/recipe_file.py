"""From a YAML file and `key.path=value` overrides to a validated Recipe, with errors that name the mend."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pad_ray.errors import RecipeError
from pad_ray.recipe import Recipe

_ABSENT = object()
_KINDS = frozenset({"str", "int", "float", "bool", "constrained-int", "constrained-float"})
"""What pydantic calls the kinds of a key that may be of several."""


def builtin_recipes() -> list[str]:
    """Names of the recipes that ship with pad_ray."""
    return builtin_names("recipes")


def builtin_names(folder: str) -> list[str]:
    """Names of what ships with pad_ray in a folder of YAML files: `recipes` or `studies`."""
    entries = (resources.files("pad_ray") / folder).iterdir()
    return sorted(entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml"))


def read_tree(text: Callable[[], str], name: str, what: str) -> dict[str, Any]:
    """The keys of a YAML file, `what` by its `name`, read by `text`. Raises RecipeError."""
    try:
        tree: Any = yaml.safe_load(text())
    except FileNotFoundError:
        raise RecipeError(
            f"there is no file {name}.", hint="Check the path; relative ones start at the working folder."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read the {what} {name}: {getattr(error, 'strerror', None) or error}.") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{name} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{name} holds no keys.", hint=f"A {what} starts with `name:`, see `pad-ray recipes`.")
    return tree  # pyright: ignore[reportUnknownVariableType]


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by its built-in name or path, apply `key.path=value` overrides, validate.

    Raises RecipeError naming the key, the value, why, and the nearest valid name.
    """
    path = Path(name_or_path)
    builtin = name_or_path in builtin_recipes()
    if not builtin and path.suffix not in (".yaml", ".yml") and not path.is_file():
        raise _unknown(name_or_path)
    source = partial(recipe_source, name_or_path) if builtin else partial(path.read_text, encoding="utf-8")
    tree = read_tree(source, name_or_path, "recipe")
    if "arms" in tree:
        raise _is_a_study(name_or_path)
    # What is already wrong in the file is the file's; the overrides answer for the rest.
    of_file = set(_sentences(tree)) if overrides else set[str]()
    for override in overrides:
        _apply(tree, override)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        blamed: dict[str, list[str]] = {}
        for where, sentence in explain(error):
            ours = sentence in of_file or not overrides
            blamed.setdefault(name_or_path if ours else _culprit(where, overrides), []).append(sentence)
        said = (f"{'; '.join(sentences)} (in {origin})" for origin, sentences in blamed.items())
        raise RecipeError("; ".join(said) + ".") from None


def parse_recipe(tree: Any, origin: str = "recipe") -> Recipe:
    """Validate a recipe tree; see `load_recipe` for the errors."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        said = "; ".join(sentence for _, sentence in explain(error))
        raise RecipeError(f"{said} (in {origin}).") from None


def with_keys(recipe: Recipe, keys: Mapping[str, Any], origin: str) -> Recipe:
    """The recipe with other values of some dotted keys, validated; `origin` says in an error where they come from."""
    tree = recipe.model_dump(mode="json", exclude_unset=True)
    for dotted, value in keys.items():
        # JSON is YAML, so every value can be spelled as an override.
        _apply(tree, f"{dotted}={json.dumps(value)}")
    return parse_recipe(tree, origin)


def recipe_source(name: str) -> str:
    """The commented YAML of a built-in recipe. Raises RecipeError for a name that is none."""
    if name not in builtin_recipes():
        raise _unknown(name)
    return (resources.files("pad_ray") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Dotted keys in which a recipe tree differs from that of a run, with both values."""
    return [f"{key}: {_spelled(other)} in the run, {_spelled(mine)} now" for key, mine, other in unlike(ours, theirs)]


def unlike(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys in which two recipe trees differ, with both values."""
    for key in sorted(set(ours) | set(theirs)):
        dotted, mine, other = f"{prefix}{key}", ours.get(key, _ABSENT), theirs.get(key, _ABSENT)
        if isinstance(mine, Mapping) and isinstance(other, Mapping):
            yield from unlike(mine, other, f"{dotted}.")  # pyright: ignore[reportUnknownArgumentType]
        elif mine != other:
            yield dotted, mine, other


def parsed_override(override: str) -> tuple[str, Any]:
    """The dotted key and the value of `key.path=value`; what is no YAML is text. Raises RecipeError."""
    dotted, equals, raw = override.partition("=")
    if not equals or not dotted:
        raise RecipeError(f"the override {override!r} is not of the form key.path=value.")
    try:
        return dotted, yaml.safe_load(raw)
    except yaml.YAMLError:
        return dotted, raw


def _apply(tree: dict[str, Any], override: str) -> None:
    dotted, value = parsed_override(override)
    *parents, last = dotted.split(".")
    node = tree
    for key in parents:
        child = node.setdefault(key, {})
        if child is True or child is None:
            child = node[key] = {}  # a section that was switched on, or is not there yet
        if not isinstance(child, dict):
            raise RecipeError(f"the override {override!r} goes into {key!r}, which is a value, not a section.")
        node = child  # pyright: ignore[reportUnknownVariableType]
    node[last] = value


def explain(error: ValidationError, root: type[BaseModel] = Recipe) -> Iterator[tuple[str, str]]:
    """What is wrong in a tree of keys, of a recipe or of another `root`: dotted key and sentence."""
    wrong: dict[str, list[Any]] = {}
    for problem in error.errors():
        keys = _recipe_keys(problem["loc"])
        where = ".".join(keys)
        if problem["type"] == "extra_forbidden":
            yield where, f"unknown key {where!r}{_nearest(keys[-1], _keys_of(keys[:-1], root))}"
        elif problem["type"] == "missing":
            yield where, f"the key {where!r} is missing"
        elif problem["type"] == "value_error":
            # A rule of our own, about several keys: said in its own words.
            yield where, problem["msg"].removeprefix("Value error, ")
        else:
            wrong.setdefault(where, []).append(problem)
    for where, problems in wrong.items():
        # A key that may be of several kinds has one complaint for each.
        why = ", or ".join(dict.fromkeys(map(_complaint, problems)))
        yield where, f"{where}: {_spelled(problems[0]['input'])} is not allowed ({why})"


def _complaint(problem: Any) -> str:
    """What pydantic says of a value, without the names of our classes."""
    if problem["type"] == "model_type":
        return "input should be a section of keys"
    return problem["msg"][0].lower() + problem["msg"][1:]


def _sentences(tree: Any) -> list[str]:
    try:
        Recipe.model_validate(tree)
    except ValidationError as error:
        return [sentence for _, sentence in explain(error)]
    return []


def _culprit(where: str, overrides: Sequence[str]) -> str:
    """The override that an error comes from: one that set this key, a key in it, or the section it is in."""
    for override in reversed(overrides):
        key = override.partition("=")[0]
        if f"{where}.".startswith(f"{key}.") or f"{key}.".startswith(f"{where}."):
            return f"{override} on the command line"
    return "the command line"


def _recipe_keys(place: Sequence[int | str]) -> list[str]:
    """The keys of an error's place; pydantic adds which of several allowed kinds was tried."""
    keys: list[str] = []
    for part in place:
        if isinstance(part, str) and ("[" in part or part in _KINDS):
            break
        keys.append(str(part))
    return keys


def _keys_of(parents: Sequence[str], root: type[BaseModel]) -> list[str]:
    model: Any = root
    for key in parents:
        field = model.model_fields.get(key) if hasattr(model, "model_fields") else None
        kinds = [field.annotation, *get_args(field.annotation)] if field else []
        model = next((kind for kind in kinds if hasattr(kind, "model_fields")), None)
    return list(model.model_fields) if hasattr(model, "model_fields") else []


def _spelled(value: Any) -> str:
    """A value as a recipe or an override spells it."""
    if value is _ABSENT:
        return "not set"
    return repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _is_a_study(name: str) -> RecipeError:
    return RecipeError(f"{name!r} is a study, not a recipe.", hint=f"Run it with `pad-ray study {name}`.")


def _unknown(name: str) -> RecipeError:
    if name in builtin_names("studies"):
        return _is_a_study(name)
    return RecipeError(
        f"there is no recipe {name!r}{_nearest(name, builtin_recipes())}.",
        hint=f"Built in: {', '.join(builtin_recipes())}; or give the path of a .yaml file.",
    )


def _nearest(name: str, valid: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""
