"""`pad-ray init`: a commented recipe for the user's own problems, and a first look at these problems."""

from __future__ import annotations

import json
import re
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

from pad_ray.errors import ProblemError, UsageError
from pad_ray.jsonl import row_id
from pad_ray.problems.sources import rows
from pad_ray.storage import Storage

LOOKED_AT = 50
"""Rows of the problems that are looked at."""
_NAME = "my_recipe"
_PROBLEMS = "problems.jsonl"


def look_at(uri: str) -> list[str]:
    """What is worth knowing of the first rows of a problem file.

    Raises ProblemError for rows that cannot be read, and when all lack a question or an answer.
    """
    first = [row for _, row in islice(rows(uri), LOOKED_AT)]
    if not first:
        raise ProblemError(f"{uri} is empty: no rows.")
    there = ", ".join(dict.fromkeys(str(key) for row in first for key in row))
    lacking = {key: sum(row.get(key) in (None, "") for row in first) for key in ("question", "answer")}
    absent = [key for key, count in lacking.items() if count == len(first)]
    if absent:
        raise ProblemError(
            f"{uri} has no column {' and no column '.join(absent)}; it has {there}.",
            hint="Rename your columns: each row needs `question` and `answer`.",
        )
    said = [f"{uri}: the first {f'{len(first)} rows have' if len(first) > 1 else 'row has'} {there}."]
    said += [
        f"{count} of them {'has' if count == 1 else 'have'} no {key}{_CONSEQUENCE[key]}."
        for key, count in lacking.items()
        if count
    ]
    if any(row_id(row, "problem_id", "id") is None for row in first):
        said.append("Rows without an `id` get one from their content; recorded replies must name it in `problem_id`.")
    return said


_CONSEQUENCE = {"question": ": pad-ray will refuse the file", "answer": " and will be left out"}


def write_starter(target: Path, problems: str = "", *, force: bool = False) -> None:
    """Write the starter recipe. Raises UsageError if the file is there, StorageError if it cannot be written."""
    if target.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{target}: a recipe is a .yaml file.", hint=f"Try {target.with_suffix('.yaml')}.")
    text = _starter(target, problems).encode()
    storage = Storage(target.parent)
    if force:
        storage.write(target.name, text)
    elif not storage.create(target.name, text):
        raise UsageError(f"{target} exists and is kept.", hint="Choose another name, or --force to replace it.")


def _starter(target: Path, problems: str) -> str:
    text = (resources.files("pad_ray") / "recipes" / "starter" / f"{_NAME}.yaml").read_text(encoding="utf-8")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", target.stem).strip("-._")[:64] or _NAME
    text = text.replace(f"{_NAME}.yaml", str(target)).replace(f"name: {_NAME}", f"name: {_quoted(name)}")
    text = text.replace(f"runs/{_NAME}", f"runs/{name}")
    return text.replace(f"train: {_PROBLEMS}", f"train: {_quoted(problems)}") if problems else text


def _quoted(value: Any) -> str:
    """A value on one line of YAML that is read back as it is; bare where that is safe."""
    text = str(value)
    return text if re.fullmatch(r"[A-Za-z][\w./-]*", text) and text.lower() not in _WORDS else json.dumps(text)


_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
