"""The examples of a run as rows that other trainers read: TRL, Axolotl, LLaMA-Factory, and whatever takes JSON lines.

prompt   {"prompt": …, "completion": …}: text and what follows it, as our training takes it
chat     {"messages": [{"role": "user", …}, {"role": "assistant", …}]}: the same two texts as turns of a chat

Both carry example_id, task, thought, problem_id, source, origin and round, to choose and to balance by. Texts are never
changed: a completion ends where the student is to end, its last line break included.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pad_ray.errors import UsageError
from pad_ray.evaluate.folder import rounds
from pad_ray.records import Example
from pad_ray.run import stored_recipe
from pad_ray.status import read_manifest
from pad_ray.storage import Storage
from pad_ray.train.held_out import split

Form = Literal["prompt", "chat"]
"""The forms of a row."""
_ABOUT = ("example_id", "task", "thought", "problem_id", "source", "origin", "round")


@dataclass(frozen=True, slots=True)
class Handed:
    """What was written."""

    by_task: dict[str, int]
    """Examples to learn from, by task."""
    held_out: int
    """Examples of questions that the run held out (train.validation)."""
    in_chat: bool
    """Whether the run itself asked its student in a chat template (student.chat)."""

    @property
    def examples(self) -> int:
        """Examples to learn from."""
        return sum(self.by_task.values())


def to_row(example: Example, form: Form) -> dict[str, Any]:
    """One example as a row."""
    about = {key: getattr(example, key) for key in _ABOUT}
    if form == "prompt":
        return {"prompt": example.prompt, "completion": example.completion, **about}
    said = (("user", example.prompt), ("assistant", example.completion))
    return {"messages": [{"role": role, "content": content} for role, content in said], **about}


def export_examples(
    run_dir: str | Path,
    target: Path,
    form: str = "prompt",
    *,
    round_: int | None = None,
    tasks: Sequence[str] = (),
    held_out: Path | None = None,
) -> Handed:
    """Write the examples of a run into `target`, and into `held_out` those it never trains on (train.validation).

    With a round, what its training was given, replay included; without one, every example of all rounds once. `tasks`
    names those to keep (solve, repair, decompose, answer). Raises UsageError for what is not there, StorageError where
    a file cannot be written.
    """
    if form not in get_args(Form):
        raise UsageError(f"--format: {form!r} is not available.", hint=f"Choose {' or '.join(get_args(Form))}.")
    storage = Storage(run_dir)
    found = _examples(storage, round_)
    there = dict.fromkeys(example.task for example in found)
    if absent := [task for task in tasks if task not in there]:
        raise UsageError(f"--task: {run_dir} has no examples of {absent[0]!r}.", hint=f"It has {', '.join(there)}.")
    found = [example for example in found if not tasks or example.task in tasks]
    recipe = stored_recipe(storage)
    learned, others = split(found, recipe.train.validation)
    if held_out and not others:
        raise UsageError(
            f"--held-out: nothing is held out in {run_dir}, train.validation is {recipe.train.validation:g}.",
            hint="Leave it out.",
        )
    _write(target, learned, form)
    if held_out:
        _write(held_out, others, form)
    return Handed(dict(Counter(example.task for example in learned)), len(others), recipe.student.chat)


def _examples(storage: Storage, round_: int | None) -> list[Example]:
    """The examples of a round's training, or of all rounds. Raises UsageError where there are none."""
    curated = [number for number in rounds(storage) if storage.names(f"round-{number}/examples", ".parquet")]
    if not curated:
        read_manifest(str(storage))  # tells a folder that is no run, or that of a study
        raise UsageError(f"{storage} has no examples yet.", hint="`pad-ray curate` and `pad-ray distill` make them.")
    if round_ is None:
        return [one for number in curated for one in storage.scan_rows(f"round-{number}/examples", Example)]
    mixture = f"round-{round_}/checkpoint/mixture.parquet"
    if not storage.exists(mixture):
        raise UsageError(
            f"--round: nothing was trained on in round {round_} of {storage}.",
            hint="Without --round it is every example of all rounds.",
        )
    return storage.read_rows(mixture, Example)


def _write(target: Path, examples: Sequence[Example], form: str) -> None:
    lines = (json.dumps(to_row(one, "chat" if form == "chat" else "prompt"), ensure_ascii=False) for one in examples)
    Storage(target.parent).write(target.name, "".join(f"{line}\n" for line in lines).encode())
