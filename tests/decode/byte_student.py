"""Students that llama.cpp can read: tiny Llamas whose tokens are bytes and pieces of what they know by heart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny_student import bytes_core, make_tiny_student

from pad_ray.students.gguf_export import CUTS

PAIRS = [
    ("Q: seven?\n", "def solution():\n    return 7\n"),
    ("Q: what is two and three, please?\n", "def solution():\n    a = 2 + 3\n    return a\n"),
    ("one\n", "1\n"),
    ("two\n", "2\nQuestion: three?\n"),
    ("a bird\n", "🦆 é 🦆!\n"),
]
PROMPTS = [prompt for prompt, _ in PAIRS]
TEXTS = [prompt + text for prompt, text in PAIRS]


def make_byte_student(folder: Path, *, trained: bool = True, cut: str = "smollm", **shape: Any) -> Path:
    """A student that knows the pairs, or a random one."""
    return make_tiny_student(folder, PAIRS if trained else (), core=bytes_core(CUTS[cut], TEXTS), **shape)


@contextmanager
def own_cache(folder: Path) -> Iterator[None]:
    """What is written once is written there, within the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAD_RAY_CACHE", str(folder))
        yield
