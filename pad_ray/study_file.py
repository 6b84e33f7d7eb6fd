"""A study file: one recipe, and arms that differ from it in some keys.

Arms that share round 0 may override keys of `refine` only: what comes before them is made once, so that they differ in
nothing else. Arms that share nothing are whole runs, and may override any key.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from pad_ray.errors import RecipeError
from pad_ray.recipe import Name, Recipe
from pad_ray.recipe_file import (
    builtin_names,
    builtin_recipes,
    explain,
    load_recipe,
    parsed_override,
    read_tree,
    with_keys,
)
from pad_ray.recipe_teacher import Section

SAMPLING = ("samples", "temperature", "max_tokens", "limit")
"""The keys of `refine` that decide what the student writes."""


class Arm(Section):
    """One way to go on from the shared student."""

    about: str = ""
    """What it learns from, in a few words for the page."""
    overrides: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Keys of `refine`, such as `refine.successes: false`; with `share: nothing` any keys, such as `thought: chain`."""
    same_steps_as: str | None = None
    """Take exactly as many optimizer steps as this arm took."""


class Study(Section):
    """What a study file says."""

    name: Name
    """Short name of the study, and of its folder."""
    about: str = ""
    """One sentence."""
    question: str = ""
    """What it is to find out; stands at the top of the page."""
    recipe: str
    """The recipe that all arms start from: a built-in name or the path of a .yaml file."""
    overrides: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Recipe keys that are other in all arms, such as `train.max_tokens: 60000`."""
    share: Literal["round_0", "nothing"] = "round_0"
    """What the arms have in common. round_0: its student, so they differ in their refinement rounds; nothing: each is a
    whole run."""
    arms: dict[Name, Arm] = Field(min_length=1)
    """The arms by name, in the order of the page."""
    reference: str
    """The arm that the others are compared with."""
    seeds: list[int] = Field(default=[0], min_length=1)
    """Repeats of what is not shared, each another `refine.seed`; of whole runs also another `seed`."""

    def base(self, origin: str) -> Recipe:
        """The recipe with what is common to all arms; `origin` is the study file, for errors. Raises RecipeError."""
        return with_keys(load_recipe(self.recipe), self.overrides, f"overrides of {origin}")

    def recipe_of(self, base: Recipe, arm: str, seed: int, origin: str, steps: int | None = None) -> Recipe:
        """The recipe of one arm with one seed; `steps` are those of the arm that it follows. Raises RecipeError."""
        seeds = {"seed": seed, "refine.seed": seed} if self.share == "nothing" else {"refine.seed": seed}
        keys = {**self.arms[arm].overrides, "name": f"{arm}-seed{seed}", **seeds}
        if steps is not None:
            keys["refine.steps"] = steps
        return with_keys(base, keys, f"arm {arm!r} of {origin}")

    def to_yaml(self) -> str:
        """The study, every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def builtin_studies() -> list[str]:
    """Names of the studies that ship with pad_ray."""
    return builtin_names("studies")


def study_source(name: str) -> str:
    """The commented YAML of a built-in study."""
    return (resources.files("pad_ray") / "studies" / f"{name}.yaml").read_text(encoding="utf-8")


def load_study(name_or_path: str, overrides: Sequence[str] = ()) -> Study:
    """Read a study by its built-in name or path and check every arm; `overrides` (`key.path=value`) are for all arms.

    Raises RecipeError naming the key, the arm, why, and what to do.
    """
    path = Path(name_or_path)
    builtin = name_or_path in builtin_studies()
    if not builtin and path.suffix not in (".yaml", ".yml") and not path.is_file():
        if name_or_path in builtin_recipes():
            raise _is_a_recipe(name_or_path)
        raise RecipeError(
            f"there is no study {name_or_path!r}.",
            hint=f"Built in: {', '.join(builtin_studies())}; or give the path of a .yaml file.",
        )
    source = partial(study_source, name_or_path) if builtin else partial(path.read_text, encoding="utf-8")
    tree = read_tree(source, name_or_path, "study")
    if "problems" in tree and "arms" not in tree:
        raise _is_a_recipe(name_or_path)
    return parse_study(tree, name_or_path, overrides)


def _is_a_recipe(name: str) -> RecipeError:
    return RecipeError(f"{name!r} is a recipe, not a study.", hint=f"Run it with `pad-ray distill {name}`.")


def parse_study(tree: Any, origin: str, overrides: Sequence[str] = ()) -> Study:
    """Validate a study tree, its recipe and its arms; see `load_study` for the errors."""
    try:
        study = Study.model_validate(tree)
    except ValidationError as error:
        said = "; ".join(sentence for _, sentence in explain(error, Study))
        raise RecipeError(f"{said} (in {origin}).") from None
    said = dict(map(parsed_override, overrides))
    of_file, study = study, study.model_copy(update={"overrides": study.overrides | said})
    try:
        base = study.base(origin)
    except RecipeError:
        # Which of the two is wrong, the file or the command line?
        with_keys(of_file.base(origin), said, "the command line")
        raise
    _check_base(study, base, origin)
    for name in study.arms:
        _check_arm(study, base, name, origin)
    return study


def sampling_of(recipe: Recipe) -> tuple[Any, ...]:
    """The values of `SAMPLING`."""
    return tuple(getattr(recipe.refine, key) for key in SAMPLING)


def shares_sampling(shared: Recipe, arm: Recipe) -> bool:
    """Whether an arm takes the programs that the shared student has written, instead of having others written."""
    return arm.refine.fresh and sampling_of(arm) == sampling_of(shared)


def _check_base(study: Study, base: Recipe, origin: str) -> None:
    if base.budget.minutes is not None:
        raise RecipeError(
            f"budget.minutes: {base.budget.minutes:g} cannot be in a study ({origin}, recipe {study.recipe!r}): a"
            " calibration would size each arm by the speed of the moment, and arms of other sizes cannot be compared.",
            hint="Set budget.minutes: null in its overrides, and the sizes: train.max_tokens, refine.steps,"
            " refine.limit, evaluate.limit.",
        )
    if not base.problems.eval:
        raise RecipeError(
            f"problems.eval of the recipe {study.recipe!r} is empty, so there is nothing to compare the arms on.",
            hint=f"Name a suite there, or in the overrides of {origin}.",
        )
    if study.reference not in study.arms:
        raise RecipeError(
            f"reference: {study.reference!r} is no arm of {origin}.", hint=f"Its arms are {', '.join(study.arms)}."
        )
    if len(set(study.seeds)) < len(study.seeds):
        raise RecipeError(
            f"seeds: {study.seeds} names one twice (in {origin}).", hint="A repeat needs a seed of its own."
        )


def _check_arm(study: Study, base: Recipe, name: str, origin: str) -> None:
    arm = study.arms[name]
    for key in arm.overrides:
        if study.share == "round_0" and not key.startswith("refine."):
            raise RecipeError(
                f"arm {name!r} of {origin} overrides {key!r}: arms share all that comes before the first refinement"
                " round, and differ in keys of refine only.",
                hint="Put it under `overrides` of the study, for all arms alike, or set `share: nothing`, which makes"
                " every arm a whole run.",
            )
        if key in ("seed", "refine.seed"):
            raise RecipeError(
                f"arm {name!r} of {origin} overrides {key!r}: its values are the `seeds` of the study.",
                hint="List them there: every arm is repeated with each.",
            )
    recipe = study.recipe_of(base, name, study.seeds[0], origin)
    if study.share == "nothing":
        _check_whole(study, base, name, recipe, origin)
        return
    if not recipe.refine.rounds:
        raise RecipeError(
            f"refine.rounds: 0 leaves arm {name!r} of {origin} nothing to do after the shared round 0.",
            hint="Set it to 1 or more.",
        )
    if arm.same_steps_as is not None:
        _check_followed(study, base, name, origin)


def _check_whole(study: Study, base: Recipe, name: str, recipe: Recipe, origin: str) -> None:
    """Whether an arm that is a whole run answers the same questions as the others."""
    if study.arms[name].same_steps_as is not None:
        raise RecipeError(
            f"arm {name!r} of {origin}: same_steps_as counts steps after a shared round 0, and with `share: nothing`"
            " there is none.",
            hint="Give all arms the same train.max_tokens or train.max_steps.",
        )
    unlike = {
        "budget.minutes": recipe.budget.minutes is not None,
        "problems.eval": recipe.problems.eval != base.problems.eval,
        "evaluate.match": recipe.evaluate.match != base.evaluate.match,
    }
    if key := next((key for key, other in unlike.items() if other), None):
        raise RecipeError(
            f"arm {name!r} of {origin} overrides {key!r}: arms must be measured on the same questions by the same rule,"
            " and be sized alike on every machine.",
            hint="Leave it to the `overrides` of the study, for all arms alike.",
        )


def _check_followed(study: Study, base: Recipe, name: str, origin: str) -> None:
    """Whether an arm can take as many steps as another one took."""
    followed, recipe = study.arms[name].same_steps_as or "", study.recipe_of(base, name, study.seeds[0], origin)
    where = f"arm {name!r} of {origin}: same_steps_as: {followed!r}"
    if followed == name or followed not in study.arms or study.arms[followed].same_steps_as:
        others = [other for other, arm in study.arms.items() if other != name and not arm.same_steps_as]
        raise RecipeError(
            f"{where} is not an arm that finds its number of steps by itself.",
            hint=f"Such arms are: {', '.join(others) or 'none'}.",
        )
    if "refine.steps" in study.arms[name].overrides:
        raise RecipeError(f"{where} and refine.steps say the same thing twice.", hint="Leave one of them out.")
    if recipe.refine.rounds > 1:
        raise RecipeError(
            f"{where} goes with refine.rounds: 1 only, because later rounds of an arm differ in their steps.",
            hint="Set refine.steps for all arms instead.",
        )
    for who in (name, followed):
        if study.recipe_of(base, who, study.seeds[0], origin).refine.preference:
            raise RecipeError(
                f"{where} cannot be kept with refine.preference, which arm {who!r} has: pairs are learned in a training"
                " of their own, whose steps nothing bounds.",
                hint="Leave same_steps_as out; the page then says how many steps each arm took, on pairs and"
                " altogether.",
            )
    if recipe.train.patience:
        raise RecipeError(
            f"{where} cannot be kept where train.patience may end a training sooner.",
            hint="Set train.patience: null in the overrides.",
        )
