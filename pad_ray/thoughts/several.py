"""Several forms of reasoning in one student: it answers in each of them, and the values vote (EoTD, 2401.11864).

The last line of a form's prompt (`Program:`, `Equations:`, `Solution:`) says which form is wanted. Where no value has
most votes, forms that are computed are believed before those that are only read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pad_ray.recipe_thought import in_order
from pad_ray.thoughts import THOUGHTS
from pad_ray.thoughts.protocol import Thought

Forms = Thought | tuple[Thought, ...]
"""The form of reasoning that a student writes, or the forms, in the order in which they are believed."""


class Words(NamedTuple):
    """What several forms together are called; the names are those of `Thought`."""

    NAMES: tuple[str, str] = ("solution", "solutions")
    CONCLUDED: str = "executed, solved or read"
    ABOUT: str = "writing several solutions, each in another form of reasoning, whose values vote"
    LINEWISE: bool = False


def forms_of(thoughts: Forms) -> tuple[Thought, ...]:
    """All of them, also where it is one."""
    return thoughts if isinstance(thoughts, tuple) else (thoughts,)


def named(names: str | Sequence[str]) -> Forms:
    """The forms of these names, as cards, recipes and summaries give them."""
    return THOUGHTS[names] if isinstance(names, str) else tuple(THOUGHTS[name] for name in in_order(names))


def names_of(thoughts: Forms) -> str | list[str]:
    """What `named` takes."""
    names = [name for thought in forms_of(thoughts) for name, one in THOUGHTS.items() if one is thought]
    return names if isinstance(thoughts, tuple) else names[0]


def words(thoughts: Forms) -> Thought | Words:
    """What its texts are called and what becomes of them."""
    return Words() if isinstance(thoughts, tuple) else thoughts
