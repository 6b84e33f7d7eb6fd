"""How commands name a recipe: a built-in one or a file, and overrides of its keys."""

from __future__ import annotations

import re
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
