"""Differences between students that answered the same problems, in pairs.

Answers are joined by problem id and question, so that suites of other runs that number their problems alike are never
taken for the same problems.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pad_ray.errors import UsageError
from pad_ray.evaluate.folder import (
    UNTRAINED,
    best_baseline,
    last_students,
    measurements,
    probed,
    read_answers,
    read_json,
)
from pad_ray.evaluate.metrics import Paired, paired
from pad_ray.outcomes import Outcome
from pad_ray.status import read_manifest
from pad_ray.storage import Storage

Rights = Mapping[tuple[str, str], bool]
"""Which problems (id and question) a student has right."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Two students compared on one suite."""

    suite: str
    """The problems."""
    before: str
    """The first student, in words."""
    after: str
    """The second student, in words."""
    paired: Paired
    """The comparison."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One evaluation that a path stands for."""

    suite: str
    """The problems."""
    label: str
    """The student, in words."""
    rights: Rights
    """What it has right."""
    summary: Mapping[str, Any]
    """The content of summary.json."""
    round: int | None
    """The round that trained it, -1 for the untrained one; None where only a summary.json is named."""

    @property
    def match(self) -> str:
        """When a number counted as right."""
        return self.summary.get("match", "exact")


def compare(paths: Sequence[str | Path]) -> list[Difference]:
    """The first of several finished runs or summary.json files against each of the others, on what they share.

    A run stands for its last student. A single run is compared with itself: its rounds with what was before them.
    Raises UsageError when a path holds no evaluation, when no problem is shared, or when not all were matched alike.
    """
    if not paths:
        raise UsageError("there is nothing to compare.", hint="Name run folders or summary.json files.")
    first, *others = [answered(str(path)) for path in paths]
    check_matches([*first, *(one for other in others for one in other)])
    if not others:
        if found := history(Storage(paths[0])):
            return found
        raise UsageError(
            f"{paths[0]} alone holds no two evaluations of the same problems.",
            hint="Name a second run folder or summary.json.",
        )
    found = [
        Difference(one.suite, mine.label, one.label, paired(mine.rights, one.rights))
        for other in others
        for one in other
        for mine in first
        if mine.rights.keys() & one.rights.keys()
    ]
    if not found:
        raise UsageError(
            f"{paths[0]} shares no problem with {', '.join(str(path) for path in paths[1:])}.",
            hint="Only answers to the same questions can be compared: evaluate the students on one problem file.",
        )
    return found


def history(storage: Storage) -> list[Difference]:
    """Within one run: every round against the best baseline of the suite, and against the round before it."""
    measured = measurements(storage)
    found: list[Difference] = []
    for after in (one for one in measured if one.round != UNTRAINED):
        earlier = [one for one in measured if (one.suite, one.round) == (after.suite, after.round - 1)]
        befores = [best_baseline(measured, after.suite), *(one for one in earlier if one.round != UNTRAINED)]
        theirs = rights_of(storage, after.folder)
        for before in filter(None, befores):
            mine = rights_of(storage, before.folder)
            if mine.keys() & theirs.keys():
                found.append(Difference(after.suite, before.student, after.student, paired(mine, theirs)))
    return found


def forgotten(storage: Storage) -> list[Difference]:
    """Within one run: the last student against the untrained one on every probe, asked alike."""
    first = {(one.suite, one.prompt): one for one in probed(storage) if one.round == UNTRAINED}
    last = {(one.suite, one.prompt): one for one in probed(storage) if one.round != UNTRAINED}
    return [
        Difference(
            before.suite,
            before.student,
            after.student,
            paired(rights_of(storage, before.folder), rights_of(storage, after.folder)),
        )
        for key, before in first.items()
        if (after := last.get(key))
    ]


def answered(path: str) -> list[Answered]:
    """The evaluations that a path or URI stands for: one for a summary, the last of each suite for a run."""
    folder, _, file = path.rpartition("/")
    folder = (folder or ".") if (file or path) == "summary.json" else path
    storage = Storage(folder)
    if not storage.exists(""):
        raise UsageError(f"there is no run folder or summary.json at {path}.")
    if storage.exists("summary.json"):
        summary = read_json(storage, "summary.json")
        return [Answered(storage.path("").name, folder, rights_of(storage, "."), summary, None)]
    last = last_students(measurements(storage))
    if not last:
        read_manifest(path)  # tells a folder that is no run, or that of a study
        raise UsageError(
            f"{path} holds no finished evaluation.", hint="Let the run come to its end (`pad-ray status` says how far)."
        )
    return [
        Answered(one.suite, f"{path} · {one.student}", rights_of(storage, one.folder), one.summary, one.round)
        for one in last.values()
    ]


def check_matches(every: Sequence[Answered]) -> None:
    """Raises UsageError if not all were matched alike: rounding makes more answers right, and would pass for a gain."""
    examples = {one.match: one.label for one in reversed(every)}
    if len(examples) > 1:
        told = ", ".join(f"{label} by match {match!r}" for match, label in sorted(examples.items()))
        raise UsageError(
            f"answers were counted as right in different ways: {told}.",
            hint="Evaluate them alike: with or without `--rounded`, or with the same evaluate.match in the recipe.",
        )


def rights_of(storage: Storage, folder: str) -> Rights:
    """Which problems the answers in a folder have right. Raises UsageError if there are none."""
    answers = read_answers(storage, folder)
    if not answers:
        raise UsageError(
            f"{storage.where(folder)} has a summary.json but no answers.jsonl beside it.",
            hint="Pairs are formed from the single answers: keep the two files together, or evaluate again.",
        )
    return {(one.problem_id, one.question): one.outcome is Outcome.CORRECT for one in answers}
