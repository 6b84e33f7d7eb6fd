"""Every message that docs/troubleshooting.md explains is one that the code says; the guides' links lead somewhere."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGE = REPO / "docs" / "troubleshooting.md"
GAP = "…"
"""Stands for what a message fills in."""


def quoted() -> list[str]:
    """What stands in code marks at the beginning of an entry, and after `and` in it."""
    entries = re.findall(r"^- (`[^`]+`(?: and `[^`]+`)*)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [message for entry in entries for message in re.findall(r"`([^`]+)`", entry)]


@cache
def messages() -> list[str]:
    """Every text of the code, with a gap where something is filled in."""
    found: list[str] = []
    for path in (REPO / "pad_ray").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else GAP for part in node.values)
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


@pytest.mark.parametrize("message", quoted())
def test_the_code_says_it_in_these_words(message: str) -> None:
    # A gap covers any text, and what a sentence is put into may stand around it.
    pattern = re.compile(".*".join(re.escape(part.strip()) for part in message.split(GAP) if part.strip()), re.DOTALL)
    assert any(pattern.search(text) for text in messages())


def test_there_are_many() -> None:
    assert len(quoted()) > 30


@pytest.mark.parametrize("page", sorted((REPO / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_every_link_of_a_guide_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link
