"""Names for what a step finds out, from the sub-question that it answers: `How many clips did she sell in May?` →
`clips_sell_may`."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Container

WORDS = 5
"""Most words of a name."""
_WORD = re.compile(r"[a-z]+")
_TAKEN = frozenset({*dir(builtins), *keyword.kwlist, *keyword.softkwlist, "ans", "answer", "result", "solution", "x"})
"""What a name must not be: a word of Python's, or one that stands for the answer or for a sign."""
_FILLING = """
a an and any are as at be been being by can could did do does for from get gets had has have he her hers him his how i
if in is it its many me much must my of on or our s she should so some t that the their them then there these
they this those to was we were what when where which who whom whose why will with would you your
"""
_EMPTY = frozenset(_FILLING.split())
"""Words that tell two quantities apart in no question."""


def step_name(question: str, number: int, taken: Container[str]) -> str:
    """The name of a step's result: words of its sub-question, or `step_<number>` where those give none that is free."""
    plain = unicodedata.normalize("NFKD", question).encode("ascii", "ignore").decode().lower()
    words = [word for word in _WORD.findall(plain.replace("'", " ")) if word not in _EMPTY]
    name = "_".join(words[:WORDS])
    if not name or name in _TAKEN or name in taken or len(name) > 60:
        return f"step_{number}"
    return name
