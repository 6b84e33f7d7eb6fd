"""Problem URIs: where the rows come from. `.jsonl` and `.parquet` files, and `gym://` (the package reasoning-gym).

gym://lcm?size=500&seed=7        500 problems; item i is drawn from seed + i
data/train.jsonl                 one JSON object a line: question, answer, and optionally id, source, rationale…
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pad_ray.errors import ProblemError
from pad_ray.jsonl import json_lines

GYM_TAIL = "Give the result as your final answer. Do not include units."


def rows(uri: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The raw rows behind a URI, each with a place to name in errors (`file:line`). Raises ProblemError."""
    scheme = urlsplit(uri).scheme if "://" in uri else ""
    if scheme == "gym":
        yield from _gym(uri)
    elif scheme:
        raise ProblemError(f"problems: {uri!r} has an unknown scheme {scheme!r}.", hint="Use a path or gym://TASK.")
    elif uri.endswith((".jsonl", ".jsonl.gz")):
        yield from json_lines(Path(uri))
    elif uri.endswith(".parquet"):
        yield from _parquet(Path(uri))
    else:
        raise ProblemError(f"problems: {uri!r} is neither .jsonl, .parquet nor gym://TASK.")


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise ProblemError(f"there is no file {path}.", hint="Check the path.") from None
    except (OSError, pa.ArrowException) as error:
        raise ProblemError(f"cannot read {path}: {error}.") from error
    with file:
        number = 0
        for batch in file.iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}: row {number}", row


def _gym(uri: str) -> Iterator[tuple[str, dict[str, Any]]]:
    parts = urlsplit(uri)
    task = parts.netloc
    options: dict[str, Any] = {name: _number(value) for name, value in parse_qsl(parts.query, keep_blank_values=True)}
    size, seed = options.pop("size", 100), options.pop("seed", 0)
    if not isinstance(size, int) or size < 1:
        raise ProblemError(f"{uri}: size is {size!r}; it must be a whole number of problems, 1 or more.")
    if not isinstance(seed, int):
        raise ProblemError(f"{uri}: seed is {seed!r}; it must be a whole number.")
    gym = _import_gym()
    if task not in gym.factory.DATASETS:
        near = difflib.get_close_matches(task, gym.factory.DATASETS, n=3, cutoff=0.4)
        raise ProblemError(f"{uri}: there is no gym task {task!r}.", hint=f"Near: {', '.join(near)}." if near else "")
    try:
        dataset = gym.create_dataset(task, size=size, seed=seed, **options)
    except (TypeError, ValueError, AssertionError) as error:
        raise ProblemError(f"{uri}: the task {task!r} does not take these options ({error}).") from error
    for index in range(size):
        try:
            item = dataset[index]
        except Exception as error:  # The task's own code runs here, and some tasks check no option before it.
            given = ", ".join(f"{name}={value!r}" for name, value in options.items()) or "its default options"
            raise ProblemError(f"{uri}: the task {task!r} fails at item {index} with {given} ({error!r}).") from error
        yield (
            f"{uri} item {index}",
            {
                "problem_id": f"{task}/{seed}/{index}",
                "question": item["question"].strip().removesuffix(GYM_TAIL).strip(),
                "answer": str(item["answer"]),
                "rationale": str(item.get("metadata", {}).get("answer_cot") or ""),
                "source": task,
            },
        )


def _import_gym() -> Any:
    """Import reasoning-gym, also without pycosat, which needs a C compiler and serves one task (zebra puzzles)."""
    try:
        if find_spec("pycosat") is None:
            sys.modules.setdefault("pycosat", ModuleType("pycosat"))
        import reasoning_gym
    except ImportError as error:
        raise ProblemError(
            f"gym:// problems need the package reasoning-gym ({error}).", hint="pip install reasoning-gym"
        ) from error
    return reasoning_gym


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
