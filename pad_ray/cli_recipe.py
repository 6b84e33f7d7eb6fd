"""How commands name a recipe: a built-in one or a file, and overrides of its keys."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from pad_ray.cli_look import DEFAULT_RECIPE
from pad_ray.errors import UsageError

_OVERRIDE = re.compile(r"[a-z_]+(\.\w+)*=")

RecipeArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RECIPE] [KEY.PATH=VALUE]...", help="A recipe by name or .yaml path, and overrides of its keys."
    ),
]


def recipe_and_overrides(arguments: list[str] | None) -> tuple[str, list[str]]:
    """What the user calls the recipe, and the overrides behind it. Raises UsageError for two recipes."""
    overrides = [argument for argument in arguments or [] if _OVERRIDE.match(argument)]
    names = [argument for argument in arguments or [] if argument not in overrides]
    if len(names) > 1:
        raise UsageError(f"one recipe is enough, these are {len(names)}: {', '.join(names)}.")
    return names[0] if names else DEFAULT_RECIPE, overrides


def refuse_options(of_recipe: Mapping[str, tuple[object, str]]) -> None:
    """Raises UsageError for an option that is for a student alone and was said, with the key that a run has for it."""
    for option, (said, key) in of_recipe.items():
        if said:
            raise UsageError(f"{option} goes with --student.", hint=f"A run's recipe says it: {key}." if key else "")


def refuse_recipe(arguments: Sequence[str] | None, run_dir: str, round_: int) -> None:
    """Raises UsageError for a recipe, keys or a run beside a student that is measured alone."""
    if arguments or run_dir or round_:
        said = arguments[0] if arguments else "--run-dir" if run_dir else "--round"
        raise UsageError(
            f"{said} goes with a run, not with --student.",
            hint="With --student say it as options: --decode vote --samples 8 --max-tokens 256 --limit 100.",
        )
