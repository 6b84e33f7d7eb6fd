"""Students side by side, as `pad-ray compare` shows them on one page: who stands in it, and what their answers came to.

A student is one run, one summary.json, or several runs of different seeds (`NAME=RUN1,RUN2`), whose answers are
averaged question by question as in a study. A single run is taken apart: its untrained student and its rounds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pad_ray.errors import UsageError
from pad_ray.evaluate.arms import POOLED, Rights, accuracies, answers_of, by_suite, compared, share
from pad_ray.evaluate.compare import Answered, Difference, answered, check_matches, rights_of
from pad_ray.evaluate.cost import Cost, cost_of, parameters, rates
from pad_ray.evaluate.folder import TRAINED, UNTRAINED, best_baseline, measurements, read_recipe, rounds
from pad_ray.evaluate.metrics import Paired, wilson
from pad_ray.evaluate.published import benchmark_of, nearest
from pad_ray.evaluate.resampling import bootstrap, vary
from pad_ray.manifest import load_manifest
from pad_ray.recipe_file import unlike
from pad_ray.storage import Storage

_GROUP = re.compile(r"([\w][\w .@+-]*)=(.+)")


@dataclass(slots=True)
class Contestant:
    """One student, with the answers of every run that it stands for."""

    name: str
    """What it is called."""
    runs: list[str]
    """Its runs, in words."""
    answered: list[list[Answered]]
    """By run, its evaluations."""
    costs: list[Cost]
    """By run, what it took."""
    parameters: int | None = None
    """Its size."""
    notes: list[str] = field(default_factory=list[str])
    """What has to be known of it."""
    rights: list[Rights] = field(default_factory=list[Rights])
    """By run, which questions it has right."""


def grouped(path: str) -> tuple[str, list[str]]:
    """`NAME=RUN1,RUN2` as a name and its runs; a plain path has no name."""
    match = _GROUP.fullmatch(path)
    with suppress(OSError):  # many runs make a name that is too long for a file
        match = None if Path(path).exists() else match
    return (match[1].strip(), [one for one in match[2].split(",") if one]) if match else ("", [path])


def contest(paths: Sequence[str | Path]) -> tuple[list[Contestant], list[tuple[int, int]]]:
    """The students that paths name, and which are compared with which (by place, the earlier one first).

    Raises UsageError as `compare` does.
    """
    groups = [grouped(str(path)) for path in paths]
    for name, runs in groups:
        if not runs or (name and len(groups) == 1 and len(runs) > 1):
            what = "is compared with nothing" if runs else "has no runs"
            raise UsageError(f"{name!r} {what}.", hint="Name two students: NAME=RUN1,RUN2 OTHER=RUN3,RUN4.")
    if len(groups) == 1 and len(groups[0][1]) == 1:
        students = _rounds_of(groups[0][1][0])
        pairs = [(0, place) for place in range(1, len(students))]
        pairs += [(place - 1, place) for place in range(2, len(students))]
    else:
        labels = _labels(groups)
        students = [_contestant(name, runs) for name, (_, runs) in zip(labels, groups, strict=True)]
        pairs = [(0, place) for place in range(1, len(students))]
    check_matches([one for student in students for run in student.answered for one in run])
    _join(students)
    return students, pairs


def results(paths: Sequence[str | Path]) -> dict[str, Any]:
    """The content of compare.json. Raises UsageError as `compare` does, StorageError for damaged files."""
    students, pairs = contest(paths)
    found = [_row(student) for student in students]
    differences = [
        {"from": students[before].name, "to": students[after].name, **row}
        for before, after in pairs
        for row in _compared(students[before].rights, students[after].rights)
    ]
    if len(students) > 1 and not differences:
        raise UsageError(
            f"{students[0].name} shares no problem with {', '.join(one.name for one in students[1:])}.",
            hint="Only answers to the same questions can be compared: evaluate the students on one problem file.",
        )
    match = next((one.match for student in students for run in student.answered for one in run), "exact")
    return {
        "format_version": 1,
        "match": match,
        "students": found,
        "differences": differences,
        "published": [row for one in found for row in _published(one)],
    }


def grouped_differences(paths: Sequence[str | Path]) -> list[Difference]:
    """The rows of the terminal where groups of runs are compared: by suite, averaged question by question."""
    keys = ("n", "before", "after", "difference", "gained", "lost", "p_value")
    return [
        Difference(
            row["suite"], row["from"], row["to"], Paired(**{key: row[key] for key in keys}, ci95=tuple(row["ci95"]))
        )
        for row in results(paths)["differences"]
        if row["suite"] != POOLED
    ]


def _row(student: Contestant) -> dict[str, Any]:
    shares = accuracies(student.rights)
    return {
        "name": student.name,
        "runs": student.runs,
        "notes": student.notes,
        "parameters": student.parameters,
        "suites": shares,
        "answers": [_answers(run) for run in student.answered],
        "costs": [asdict(one) for one in student.costs],
        **rates(shares[0]["accuracy"] if shares else 0.0, student.costs),
        "at_k": [
            {"run": run, "suite": one.suite, "at_k": one.summary["at_k"]}
            for run, measured in zip(student.runs, student.answered, strict=True)
            for one in measured
            if "at_k" in one.summary
        ],
        "matches": [
            {"run": run, "suite": one.suite, **one.summary["matches"]}
            for run, measured in zip(student.runs, student.answered, strict=True)
            for one in measured
            if "matches" in one.summary
        ],
    }


def _published(student: Mapping[str, Any]) -> list[dict[str, Any]]:
    """By suite that is named after a benchmark: what others published at the size nearest to the student's."""
    size = student["parameters"]
    return [
        {
            "student": student["name"],
            "parameters": size,
            "suite": row["suite"],
            "benchmark": benchmark,
            "accuracy": row["accuracy"],
            "ci95": row["ci95"],
            "n": row["n"],
            "others": [one.model_dump() for one in (nearest(benchmark, size) if size else ())],
        }
        for row in student["suites"]
        if (benchmark := benchmark_of(row["suite"]))
    ]


def _answers(measured: Sequence[Answered]) -> dict[str, Any]:
    """How one run answers, over its suites."""
    summaries = [one.summary for one in measured]
    found = answers_of(summaries)
    if any(one.get("prompt") == "direct" for one in summaries):
        found["executable_rate"] = None  # asked for the answer itself, not for a program
    outcomes = Counter[str]()
    for one in summaries:
        outcomes.update(one["outcomes"])
    if calculated := found.get("arithmetic"):
        done, wrong = calculated["calculate"], calculated["faulty"]
        rate = wrong / done if done else None
        found["arithmetic"] = {**calculated, "rate": rate, "ci95": list(wilson(wrong, done))}
    return {**found, "outcomes": dict(outcomes)}


def _compared(before: Sequence[Rights], after: Sequence[Rights]) -> list[dict[str, Any]]:
    """The rows of `compared`, with a paired bootstrap over questions beside their interval."""
    rows = compared(before, after)
    for row, (_, questions) in zip(rows, by_suite([*before, *after]), strict=True):
        changes = [share(after, one) - share(before, one) for one in questions]
        row["bootstrap95"] = list(bootstrap(changes)) if vary(changes) else None
    return rows


def _contestant(name: str, paths: Sequence[str]) -> Contestant:
    measured = [answered(path) for path in paths]
    storages = [Storage(path) for path in paths]
    last = [max((one.round for one in run if one.round is not None), default=None) for run in measured]
    runs = [path if round_ is None else run[0].label for path, run, round_ in zip(paths, measured, last, strict=True)]
    costs = [cost_of(storage, round_) for storage, round_ in zip(storages, last, strict=True)]
    sizes = [parameters(storage) for storage, round_ in zip(storages, last, strict=True) if round_ is not None]
    notes = [
        note
        for path, storage, round_ in zip(paths, storages, last, strict=True)
        if round_ is not None
        for note in _unfinished(path, storage)
    ]
    if len(paths) > 1:
        notes += _unlike([read_recipe(one) for one in storages])
    return Contestant(name, runs, measured, costs, next(filter(None, sizes), None), notes)


def _rounds_of(path: str) -> list[Contestant]:
    """The untrained student, asked in its best way on every suite, and the student of each round."""
    alone = answered(path)
    storage = Storage(path)
    measured = measurements(storage) if alone[0].round is not None else []
    found: list[Contestant] = []
    suites = dict.fromkeys(one.suite for one in measured)
    for round_ in (UNTRAINED, *(rounds(storage) if measured else ())):
        if round_ == UNTRAINED:
            chosen = list(filter(None, (best_baseline(measured, suite) for suite in suites)))
        else:
            chosen = [one for one in measured if one.round == round_ and one.prompt == TRAINED]
        if not chosen:
            continue
        told = [Answered(one.suite, one.student, rights_of(storage, one.folder), one.summary, round_) for one in chosen]
        ways = list(dict.fromkeys(one.student for one in chosen))
        name = ways[0] if len(ways) == 1 else "untrained, best way of asking by suite"
        found.append(Contestant(name, [path], [told], [cost_of(storage, round_)], parameters(storage)))
    if len(found) < 2:
        raise UsageError(
            f"{path} alone holds no two evaluations of the same problems.",
            hint="Name a second run folder or summary.json.",
        )
    found[-1].notes += _unfinished(path, storage)
    return found


def _labels(groups: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """What the students are called: their name, else the last folder of their path where that tells them apart."""
    paths = [name or runs[0].removesuffix("/summary.json").rstrip("/") or "." for name, runs in groups]
    short = [one if name else one.rsplit("/", 1)[-1] for one, (name, _) in zip(paths, groups, strict=True)]
    labels = short if len(set(short)) == len(short) else paths
    return [one if one not in labels[:place] else f"{one} ({place + 1})" for place, one in enumerate(labels)]


def _join(students: Sequence[Contestant]) -> None:
    """Give every question the suite that the first student has it in: elsewhere its suite may be called otherwise."""
    home: dict[tuple[str, str], str] = {}
    for student in students:
        for run in student.answered:
            for one in run:
                for question in one.rights:
                    home.setdefault(question, one.suite)
    for student in students:
        named = {(one.suite, question) for run in students[0].answered for one in run for question in one.rights}
        student.rights = [
            {
                (one.suite if (one.suite, question) in named else home[question], *question): right
                for one in run
                for question, right in one.rights.items()
            }
            for run in student.answered
        ]


def _unfinished(path: str, storage: Storage) -> list[str]:
    manifest = load_manifest(storage)
    return [f"{path} is not finished ({manifest.state})."] if manifest and manifest.state != "done" else []


def _unlike(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys besides seed and name in which the runs of one group differ: then they are not the same training again."""
    found = {key for one in recipes[1:] for key, *_ in unlike(one, recipes[0])}
    keys = sorted(found - {"seed", "refine.seed", "name", "about"})
    return [f"Its runs differ in more than their seed: {', '.join(keys)}."] if keys else []
