"""Reading what a run has written so far. A file that is not there yet is simply an absence, never an error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import yaml

from pad_ray.errors import StorageError
from pad_ray.evaluate.metrics import GradedAnswer
from pad_ray.manifest import NAME as MANIFEST
from pad_ray.manifest import UNTOUCHED
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Prompt
from pad_ray.storage import Storage, to_row
from pad_ray.thoughts.several import named, words

TRAININGS = ("preference", "decomposer", "checkpoint")
"""The trainings that a round may have, by the folder of each in the round's; the last makes the student."""
UNTRAINED = -1
"""The round of the student before any training."""
PROMPTS: tuple[str, ...] = get_args(Prompt)
"""The ways the untrained student is asked."""
TRAINED: Prompt = "zero_shot"
"""The one way that trained students know."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One student on one suite."""

    round: int
    """The round that trained the student; -1 is the untrained one."""
    suite: str
    """Name of the evaluation suite."""
    prompt: str
    """How the student was asked, one of PROMPTS."""
    folder: str
    """Where its summary.json and answers.jsonl lie, relative to the root."""
    summary: Mapping[str, Any]
    """The content of summary.json."""

    @property
    def student(self) -> str:
        """The student in words, what it was asked for where it was not trained to do it, and a lenient match."""
        lenient = ", numbers rounded" if self.summary.get("match") == "rounded" else ""
        if self.round != UNTRAINED:
            return f"round {self.round}{lenient}"
        return f"untrained, {self.asked}{lenient}"

    @property
    def asked(self) -> str:
        """What the student was asked for, in words."""
        exemplars = len(self.summary.get("exemplars", ()))
        texts = words(named(self.summary.get("thought", "program"))).NAMES[1]
        return {
            "direct": "answers directly",
            "zero_shot": f"writes {texts}",
            "few_shot": f"{texts} after {exemplars or 'some'} example{'s' if exemplars != 1 else ''}",
        }[self.prompt]

    @property
    def executable(self) -> float | None:
        """Share of the answers whose program ran and gave a value; None where no program was asked for."""
        return None if self.prompt == "direct" else self.summary["executable_rate"]


def read_json(storage: Storage, name: str) -> dict[str, Any]:
    """A JSON file of a run, or {} if it is not there. Raises StorageError if it is damaged."""
    if not storage.exists(name):
        return {}
    try:
        found = json.loads(storage.read(name))
    except ValueError as error:
        raise StorageError(f"{storage.where(name)} is not valid JSON: {error}.", hint=_mend(name)) from error
    if not isinstance(found, dict):
        raise StorageError(f"{storage.where(name)} holds no keys.", hint=_mend(name))
    return found  # pyright: ignore[reportUnknownVariableType]


def read_lines(storage: Storage, name: str) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file, or [] if it is not there; a last line without its end is still being written."""
    if not storage.exists(name):
        return []
    lines = storage.read(name).split(b"\n")[:-1]
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise StorageError(f"{storage.where(name)} is not valid JSON lines: {error}.", hint=_mend(name)) from error


def read_recipe(storage: Storage) -> dict[str, Any]:
    """The resolved recipe as plain keys, or {}. Raises StorageError if it is damaged."""
    if not storage.exists("recipe.yaml"):
        return {}
    try:
        tree = yaml.safe_load(storage.read("recipe.yaml"))
    except (yaml.YAMLError, UnicodeDecodeError):
        tree = None
    if not isinstance(tree, dict):
        raise StorageError(f"{storage.where('recipe.yaml')} is not a recipe.", hint=UNTOUCHED)
    return tree  # pyright: ignore[reportUnknownVariableType]


def rounds(storage: Storage) -> list[int]:
    """The rounds a run has begun, in order."""
    found: list[int] = []
    while storage.exists(f"round-{len(found)}"):
        found.append(len(found))
    return found


def suites(storage: Storage, kind: str = "eval") -> list[str]:
    """The evaluation suites of a run (or, of kind `probe`, its probes), in the recipe's order."""
    there = [name.rsplit("/", 1)[1].removesuffix(".parquet") for name in storage.names(f"problems/{kind}", ".parquet")]
    order = list((read_recipe(storage).get("problems") or {}).get(kind) or {})
    return sorted(there, key=lambda suite: order.index(suite) if suite in order else len(order))


def measurements(storage: Storage) -> list[Measurement]:
    """Every finished evaluation of a run: by suite, then untrained first, then round by round."""
    found: list[Measurement] = []
    for suite in suites(storage):
        places = [(UNTRAINED, prompt, f"base/eval/{suite}/{prompt}") for prompt in PROMPTS]
        places += [(number, TRAINED, f"round-{number}/eval/{suite}") for number in rounds(storage)]
        for number, prompt, folder in places:
            if summary := read_json(storage, f"{folder}/summary.json"):
                found.append(Measurement(number, suite, prompt, folder, summary))
    return found


def probed(storage: Storage) -> list[Measurement]:
    """Every finished answer to a probe: by probe, by the way it was asked, then untrained first, round by round."""
    found: list[Measurement] = []
    for suite in suites(storage, "probe"):
        for prompt in PROMPTS:
            for number in (UNTRAINED, *rounds(storage)):
                folder = probe_folder(number, suite, prompt)
                if summary := read_json(storage, f"{folder}/summary.json"):
                    found.append(Measurement(number, suite, prompt, folder, summary))
    return found


def probe_folder(round_: int, probe: str, prompt: str) -> str:
    """Where the answers of the student of a round to a probe lie, relative to the root."""
    return f"{'base' if round_ == UNTRAINED else f'round-{round_}'}/probe/{probe}/{prompt}"


def best_baseline(measured: Iterable[Measurement], suite: str) -> Measurement | None:
    """The way of asking the untrained student that gave most on a suite (of equals the first), or None."""
    baselines = [one for one in measured if one.suite == suite and one.round == UNTRAINED]
    return max(baselines, key=lambda one: one.summary["accuracy"], default=None)


def last_students(measured: Iterable[Measurement]) -> dict[str, Measurement]:
    """By suite, the student of the last round; before any training the best baseline."""
    measured = list(measured)
    last = {one.suite: one for one in measured}
    return {
        suite: (best_baseline(measured, suite) or one) if one.round == UNTRAINED else one for suite, one in last.items()
    }


def read_answers(storage: Storage, folder: str) -> list[GradedAnswer]:
    """The answers of one evaluation, or [] if they are not there."""
    rows = read_lines(storage, f"{folder}/answers.jsonl")
    return [GradedAnswer(**{**row, "outcome": Outcome(row["outcome"])}) for row in rows]


def write_answers(storage: Storage, folder: str, answers: Iterable[GradedAnswer]) -> None:
    """Write answers.jsonl, whole or not at all."""
    rows = (to_row(answer) for answer in answers)
    lines = (json.dumps(_without_samples(row), ensure_ascii=False) + "\n" for row in rows)
    storage.write(f"{folder}/answers.jsonl", "".join(lines).encode())


def _without_samples(row: dict[str, Any]) -> dict[str, Any]:
    """Only a vote has samples to tell of."""
    return {key: value for key, value in row.items() if key != "values" or value}


def _mend(name: str) -> str:
    """What to do about a damaged file; the manifest is the one that is never made again."""
    return UNTOUCHED if name == MANIFEST else "Delete it to have it made again."
