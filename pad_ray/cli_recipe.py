"""How commands name a recipe: a built-in one or a file, and overrides of its keys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pad_ray.cli_look import DEFAULT_RECIPE
from pad_ray.errors import UsageError

_OVERRIDE = re.compile(r"[a-z_]+(\.\w+)*=")
_KEY = re.compile(r"[a-z_]+(\.\w+)+")

RecipeArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RECIPE] [KEY.PATH=VALUE]...", help="A recipe by name or .yaml path, and overrides of its keys."
    ),
]


def recipe_and_overrides(arguments: list[str] | None) -> tuple[str, list[str]]:
    """What the user calls the recipe, and the overrides behind it. Raises UsageError for two, or a key alone."""
    overrides = [argument for argument in arguments or [] if _OVERRIDE.match(argument)]
    names = [argument for argument in arguments or [] if argument not in overrides]
    for name in names:
        if _KEY.fullmatch(name) and not name.endswith((".yaml", ".yml")) and not Path(name).is_file():
            raise UsageError(f"{name} lacks =VALUE.", hint=f"Write {name}=VALUE, without blanks around the sign.")
    if len(names) > 1:
        raise UsageError(f"one recipe is enough, these are {len(names)}: {', '.join(names)}.")
    return names[0] if names else DEFAULT_RECIPE, overrides


KEYS = {
    "problems": "problems.eval.NAME={}",
    "out": "",
    "decode": "decode.kind={}",
    "samples": "decode.samples={}",
    "max_tokens": "decode.max_tokens={}",
    "limit": "evaluate.limit={}",
    "seed": "seed={}",
    "rounded": "evaluate.match=rounded",
    "engine": "evaluate.engine={}",
    "as_json": "",
}
"""What `evaluate` takes for a student alone, and the key by which a run's recipe says it, if any."""


def refuse_options(context: typer.Context) -> None:
    """Raises UsageError for an option of KEYS that was said, whatever its value."""
    spelled = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    for name, key in KEYS.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            hint = f"A run's recipe says it: {key.format(context.params[name])}." if key else ""
            raise UsageError(f"{spelled[name]} goes with --student.", hint=hint)


def refuse_recipe(arguments: Sequence[str] | None, run_dir: str, round_: int) -> None:
    """Raises UsageError for a recipe, keys or a run beside a student that is measured alone."""
    if arguments or run_dir or round_:
        said = arguments[0] if arguments else "--run-dir" if run_dir else "--round"
        raise UsageError(
            f"{said} goes with a run, not with --student.",
            hint="With --student say it as options: --decode vote --samples 8 --max-tokens 256 --limit 100.",
        )
