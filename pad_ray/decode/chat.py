"""Prompts as turns of a chat: the same text in training and in decoding, as the student's folder remembers.

A student that was a chat model before may learn faster in the form it knows. Its `pad_ray.json` then says so, and its
engine wraps whatever it is asked; nobody else has to know. Some templates write today's date: here it is always the
same day, or a student would be asked every day in another way than it learned.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pad_ray.errors import StudentError
from pad_ray.storage import resolve_uri

DAY = {
    "%Y": "2024",
    "%y": "24",
    "%m": "07",
    "%B": "July",
    "%b": "Jul",
    "%d": "26",
    "%A": "Friday",
    "%a": "Fri",
    "%H": "12",
    "%M": "00",
    "%S": "00",
}
"""The day it always is, by the directives of strftime; the one that Llama 3.x takes where no clock is."""

# Whatever a caller gives for `strftime_now`, transformers turns into text; a macro of that name stands before its own.
# After the line break the template begins as if nothing were before it.
_FIXED = (
    "{% macro strftime_now(format) %}{{ format"
    + "".join(f" | replace({directive!r}, {written!r})" for directive, written in DAY.items())
    + " }}{% endmacro %}\n"
)


def chat_prompt(tokenizer: Any, prompt: str) -> str:
    """The text up to where the reply of the model begins, with the prompt as the only turn of the user.

    Raises StudentError for a tokenizer without a chat template.
    """
    if tokenizer.chat_template is None:
        raise no_chat_template(tokenizer.name_or_path)
    return render(tokenizer, [{"role": "user", "content": prompt}])


def render(tokenizer: Any, turns: Sequence[dict[str, Any]]) -> str:
    """The text of some turns up to where the reply begins, on the day that it always is."""
    return tokenizer.apply_chat_template(
        list(turns), chat_template=timeless(tokenizer), tokenize=False, add_generation_prompt=True
    )


def timeless(tokenizer: Any) -> str:
    """The chat template of a tokenizer, which no longer looks at a clock; whoever else renders it reads the same."""
    template = tokenizer.get_chat_template()
    return template if "strftime_now" not in template or template.startswith(_FIXED) else _FIXED + template


def no_chat_template(model: str) -> StudentError:
    """What is said of a model that cannot be asked in a chat."""
    return StudentError(
        f"student.chat: the tokenizer of {model!r} has no chat template.",
        hint="Take the instruct version of the model, or leave student.chat out.",
    )


def is_chatting(student_dir: str | Path) -> bool:
    """Whether a student was trained on prompts in its chat template. Raises StudentError for a damaged card."""
    path = Path(resolve_uri(str(student_dir))) / "pad_ray.json"
    try:
        return path.is_file() and bool(json.loads(path.read_text(encoding="utf-8")).get("chat"))
    except (OSError, ValueError) as error:
        raise StudentError(f"student: {path} is damaged: {error!r}.", hint="Export the student again.") from error
