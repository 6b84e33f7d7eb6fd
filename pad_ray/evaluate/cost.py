"""What a student took to make: training tokens, teacher dollars, and its size. What nobody wrote down is said so."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pad_ray.evaluate.folder import TRAININGS, UNTRAINED, read_json, read_recipe
from pad_ray.manifest import load_manifest
from pad_ray.status import total_spend
from pad_ray.storage import Storage
from pad_ray.students.parts import DECOMPOSER


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took, up to the round of the student."""

    tokens_seen: int | None
    """Tokens that training read, prompts included, over all rounds; None where it is not known."""
    tokens_note: str
    """Why it is not known, or empty."""
    usd: float | None
    """Dollars paid for replies, over all rounds; None where it is not known."""
    usd_note: str
    """Why it is not known or nothing, or what has to be known beside it."""


def cost_of(storage: Storage, round_: int | None) -> Cost:
    """What the student of a round took; None is an evaluation that belongs to no run. Raises StorageError."""
    manifest = load_manifest(storage) if round_ is not None else None
    if manifest is None or round_ is None:
        alone = "an evaluation alone does not say"
        return Cost(None, alone, None, alone)
    if round_ == UNTRAINED:
        return Cost(0, "not trained", 0.0, "no teacher was asked")
    stages = [one for one in manifest.stages if one.round <= round_]
    trained = [one.round for one in stages if one.stage == "train" and "skipped" not in one.counts]
    tokens, note = _tokens(storage, trained)
    counts = [one.counts for one in stages]
    recipe = read_recipe(storage)
    kind = (recipe.get("teacher") or {}).get("kind", "recorded")
    return Cost(tokens, note, *_dollars(total_spend(counts), _teacher(recipe), kind))


def _tokens(storage: Storage, rounds: Sequence[int]) -> tuple[int | None, str]:
    total, old = 0, False
    for round_ in rounds:
        for training in TRAININGS:
            summary = read_json(storage, f"round-{round_}/{training}/summary.json")
            old = old or (bool(summary) and "tokens_seen" not in summary)
            total += summary.get("tokens_seen", 0)
    if old:
        return None, "trained by an older version, which did not count them"
    return (total, "") if total else (None, "no training is written down")


def _teacher(recipe: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The teachers of a recipe that may cost money."""
    teacher = recipe.get("teacher") or {}
    if teacher.get("kind") not in ("openai", "batch"):
        return []
    return [{"price": teacher.get("price")} | one for one in teacher.get("mixture") or [{}]]


def _dollars(spend: Mapping[str, Any], teachers: Sequence[Mapping[str, Any]], kind: str) -> tuple[float | None, str]:
    notes: list[str] = []
    if spend["unsettled"]:
        notes.append(f"up to ${spend['unsettled']:.4f} more may have been billed for calls that were cut")
    if spend["cached"] and kind not in ("recorded", "worked"):  # of which no reply costs anything
        notes.append(f"{spend['cached']:,} replies came from a cache and were paid for elsewhere, if at all")
    if any(not isinstance(one.get("price"), Mapping) for one in teachers):
        return None, "; ".join(["the recipe knows no price of the teacher", *notes])
    if kind == "worked":
        return 0.0, "; ".join(["written from the problems' own solutions, nobody was asked", *notes])
    if not spend["usd"]:
        return 0.0, "; ".join(
            ["nothing was paid in this run: replies were recorded before, or made without a bill", *notes]
        )
    return spend["usd"], "; ".join(notes)


def rates(accuracy: float, costs: Sequence[Cost]) -> dict[str, Any]:
    """Accuracy for every 1,000 training tokens and for every dollar, of the mean over runs; None where it cannot be."""
    tokens = [one.tokens_seen for one in costs if one.tokens_seen]
    dollars = [one.usd for one in costs if one.usd]
    whole = len(costs)
    return {
        "per_1000_tokens": 1000 * accuracy * whole / sum(tokens) if len(tokens) == whole > 0 else None,
        "per_dollar": accuracy * whole / math.fsum(dollars) if len(dollars) == whole > 0 else None,
    }


def parameters(storage: Storage) -> int | None:
    """Parameters of the students of a run, tied ones counted once, or None where no weights lie in a local folder."""
    if storage.remote:
        return None  # The header of a file is not worth fetching its gigabytes.
    for folder in sorted(storage.path("").glob("*/student"), reverse=True):
        if files := sorted([*folder.glob("*.safetensors"), *folder.glob(f"{DECOMPOSER}/*.safetensors")]):
            return sum(_numbers(file) for file in files)
    return None


def _numbers(file: Path) -> int:
    """How many numbers a safetensors file holds, by its header: eight bytes of length, then JSON."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    return sum(math.prod(one["shape"]) for name, one in header.items() if name != "__metadata__")
