"""gym://TASK?size=500&seed=7: problems that the package reasoning-gym makes on the spot.

Item i is drawn from seed + i, so the seeds of training and evaluation lie further apart than their sizes.

size        how many items are generated (100), before `templates` leaves some out: ids and indices do not depend on it
seed        where the drawing starts (0)
templates   train or heldout: only items of the templates on that side; about 15 % of the templates are held out
All other options go to the task itself.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pad_ray.errors import ProblemError

GYM_TAIL = "Give the result as your final answer. Do not include units."
SIDES = ("train", "heldout")


def gym_rows(uri: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The items of a gym task with their places. Raises ProblemError for a wrong task or option."""
    parts = urlsplit(uri)
    task = parts.netloc
    options: dict[str, Any] = {name: _number(value) for name, value in parse_qsl(parts.query, keep_blank_values=True)}
    size, seed, side = options.pop("size", 100), options.pop("seed", 0), options.pop("templates", None)
    if not isinstance(size, int) or size < 1:
        raise ProblemError(f"{uri}: size is {size!r}; it must be a whole number of problems, 1 or more.")
    if not isinstance(seed, int):
        raise ProblemError(f"{uri}: seed is {seed!r}; it must be a whole number.")
    if side not in (None, *SIDES):
        raise ProblemError(f"{uri}: templates is {side!r}; it must be train or heldout, or absent for all of them.")
    left = 0
    for index, item in enumerate(_items(uri, task, size, seed, options)):
        place = f"{uri} item {index}"
        if side is not None and side_of(item, place) != side:
            continue
        left += 1
        yield (
            place,
            {
                "problem_id": f"{task}/{seed}/{index}",
                "question": item["question"].strip().removesuffix(GYM_TAIL).strip(),
                "answer": str(item["answer"]),
                "rationale": str(item.get("metadata", {}).get("answer_cot") or ""),
                "source": task,
            },
        )
    if not left:
        raise ProblemError(f"{uri}: none of the {size} items has a {side} template.", hint="Generate more: raise size.")


def side_of(item: dict[str, Any], place: str) -> str:
    """`train` or `heldout`, the same on every machine: a template is known by the names of its variables.

    Raises ProblemError for a task that names no variables.
    """
    variables = item.get("metadata", {}).get("variables")
    if not isinstance(variables, dict) or not variables:
        raise ProblemError(
            f"{place}: this task does not name the variables of its templates, so templates=… cannot tell them apart.",
            hint="Remove templates=…, or use a task that does, like gym://gsm_symbolic.",
        )
    digest = hashlib.sha256("\n".join(sorted(variables)).encode()).digest()
    return "heldout" if int.from_bytes(digest) % 20 < 3 else "train"


def _items(uri: str, task: str, size: int, seed: int, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    gym = _import_gym()
    if task not in gym.factory.DATASETS:
        near = difflib.get_close_matches(task, gym.factory.DATASETS, n=3, cutoff=0.4)
        raise ProblemError(f"{uri}: there is no gym task {task!r}.", hint=f"Near: {', '.join(near)}." if near else "")
    try:
        dataset = gym.create_dataset(task, size=size, seed=seed, **options)
    except (TypeError, ValueError, AssertionError) as error:
        why = re.sub(r"^\S+ got an unexpected keyword argument (.*)", r"there is no option \1", str(error))
        raise ProblemError(f"{uri}: the task {task!r} does not take these options ({why}).") from error
    for index in range(size):
        try:
            item = dataset[index]
        except Exception as error:  # The task's own code runs here, and some tasks check no option before it.
            given = ", ".join(f"{name}={value!r}" for name, value in options.items()) or "its default options"
            raise ProblemError(f"{uri}: the task {task!r} fails at item {index} with {given} ({error!r}).") from error
        yield item


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
