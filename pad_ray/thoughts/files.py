"""The prompts' texts: one file each, beside the modules that use them."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def prompt_text(name: str) -> str:
    """The text of `prompts/NAME.txt`."""
    return (resources.files("pad_ray.thoughts") / "prompts" / f"{name}.txt").read_text(encoding="utf-8")
