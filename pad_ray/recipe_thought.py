"""The recipe's key `thought`: which forms of reasoning go with which other keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pad_ray.recipe import Recipe

Form = Literal["program", "chain", "equation", "socratic"]
"""A form of reasoning."""

BELIEVED: tuple[Form, ...] = ("program", "equation", "chain", "socratic")
"""In this order, where several forms of one student come to different values: what is computed before what is read."""


def check_forms(thought: object) -> object:
    """What `thought` is set to. Raises ValueError for what is no form, before a list and a name are told apart."""
    named: Sequence[object] = thought if isinstance(thought, list) else [thought]  # pyright: ignore[reportUnknownVariableType]
    for one in named:
        if one not in BELIEVED:
            known = f"{', '.join(sorted(BELIEVED)[:-1])} or {max(BELIEVED)}"
            raise ValueError(f"thought: {one!r} is not allowed; choose {known}, or a list of them")
    return thought


def in_order(thought: str | Sequence[str]) -> tuple[str, ...]:
    """One form, or several in the order in which they are believed."""
    if isinstance(thought, str):
        return (thought,)
    ranks: dict[str, int] = {form: rank for rank, form in enumerate(BELIEVED)}
    return tuple(sorted(dict.fromkeys(thought), key=lambda form: ranks.get(form, len(ranks))))


def check_thought(recipe: Recipe) -> None:
    """Raises ValueError for what the recipe's forms of reasoning cannot be used for."""
    _check_sub_questions(recipe)
    if recipe.thought == "program":
        return
    of = f"with thought: {recipe.thought if isinstance(recipe.thought, str) else ', '.join(recipe.thought)}"
    if recipe.decode.kind == "beam":
        raise ValueError(f"decode.kind: beams execute what is written so far, which {of} cannot be; use greedy or vote")
    if recipe.decode.repairs:
        raise ValueError(f"decode.repairs: {of} no interpreter says what is wrong; leave it out, or use vote")
    if recipe.refine.injected:
        raise ValueError(f"refine.injected: errors are injected into programs only; {of} leave it out")
    if "socratic" in recipe.forms:
        _check_parts(recipe, of)
    if len(recipe.forms) > 1 or not isinstance(recipe.thought, str):
        _check_several(recipe, of)


def _check_sub_questions(recipe: Recipe) -> None:
    """Raises ValueError for what needs sub-questions, or programs to write them into."""
    thoughts, own = ", ".join(recipe.forms), recipe.student.decomposer == "own"
    if own and recipe.forms != ("socratic",):
        raise ValueError(
            f"student.decomposer: a second student asks sub-questions for one that answers nothing else, and this"
            f" recipe has thought: {thoughts}; leave it out, or set thought: socratic"
        )
    if own and recipe.budget.minutes is not None:
        raise ValueError(
            "student.decomposer: the calibration of budget.minutes sizes one training, and there would be two; set"
            " train.max_tokens or train.max_steps (of each of them) and leave budget.minutes out"
        )
    if recipe.teacher.commented and "program" not in recipe.forms:
        raise ValueError(
            f"teacher.sub_questions: they become the comments of programs, and with thought: {thoughts} there are none;"
            " leave it out, or set thought: program"
        )


def _check_parts(recipe: Recipe, of: str) -> None:
    """Raises ValueError for what takes a text whole, where it is taught in parts."""
    if "few_shot" in recipe.evaluate.baselines:
        raise ValueError(
            f"evaluate.baselines: {of} the untrained student is not shown solved examples; list direct and"
            " zero_shot, or one of them"
        )
    whole = {
        "refine.preference": recipe.refine.preference,
        "train.curriculum": recipe.train.curriculum,
        "train.distill.kind": recipe.train.distill and recipe.train.distill.kind == "gkd",
    }
    if used := [key for key, value in whole.items() if value]:
        raise ValueError(f"{used[0]}: it takes what a student writes as a whole, which {of} is taught in parts")


def _check_several(recipe: Recipe, of: str) -> None:
    """Raises ValueError for what goes with one form only."""
    if len(recipe.forms) < len(recipe.thought):
        raise ValueError(f"thought: {', '.join(recipe.thought)} names a form twice; name each once")
    if untold := [one for one in recipe.evaluate.baselines if one != "direct"]:
        raise ValueError(
            f"evaluate.baselines: {untold[0]} asks the untrained student for one form of reasoning, and {of} there are"
            " several; set evaluate.baselines to [direct], or to []"
        )
    if recipe.teacher.kind == "recorded":
        raise ValueError(
            f"teacher.kind: recorded replies do not say which form they are written in; {of} use worked, or a teacher"
            " that can be asked"
        )
    single = {
        "teacher.exemplars": recipe.teacher.exemplars,
        "teacher.until_correct": recipe.teacher.until_correct,
        "augment.kinds": recipe.augment.kinds,
        "refine.preference": recipe.refine.preference,
        "train.distill": recipe.train.distill,
        "train.curriculum": recipe.train.curriculum,
        "budget.minutes": recipe.budget.minutes,
    }
    if used := [key for key, value in single.items() if value]:
        raise ValueError(f"{used[0]}: it is made for one form of reasoning; {of} leave it out")
