"""Prompts as turns of a chat: the same text in training and in decoding, as the student's folder remembers.

A student that was a chat model before may learn faster in the form it knows. Its `pad_ray.json` then says so, and its
engine wraps whatever it is asked; nobody else has to know.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pad_ray.errors import StudentError
from pad_ray.storage import resolve_uri


def chat_prompt(tokenizer: Any, prompt: str) -> str:
    """The text up to where the reply of the model begins, with the prompt as the only turn of the user.

    Raises StudentError for a tokenizer without a chat template.
    """
    if tokenizer.chat_template is None:
        raise StudentError(
            f"student.chat: the tokenizer of {tokenizer.name_or_path!r} has no chat template.",
            hint="Take the instruct version of the model, or leave student.chat out.",
        )
    turns = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def is_chatting(student_dir: str | Path) -> bool:
    """Whether a student was trained on prompts in its chat template. Raises StudentError for a damaged card."""
    path = Path(resolve_uri(str(student_dir))) / "pad_ray.json"
    try:
        return path.is_file() and bool(json.loads(path.read_text(encoding="utf-8")).get("chat"))
    except (OSError, ValueError) as error:
        raise StudentError(f"student: {path} is damaged: {error!r}.", hint="Export the student again.") from error
