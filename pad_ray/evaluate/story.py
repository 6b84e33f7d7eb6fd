"""A run read from its files: the figures and examples that the report, the terminal and the model card show.

Every part is None or empty while its files are not there, so an unfinished run tells the part it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pad_ray.evaluate.compare import Difference, forgotten, history
from pad_ray.evaluate.folder import (
    UNTRAINED,
    Measurement,
    last_students,
    measurements,
    read_answers,
    read_json,
    read_lines,
    read_recipe,
    rounds,
)
from pad_ray.evaluate.wording import clipped
from pad_ray.outcomes import Outcome
from pad_ray.records import Problem, Verdict
from pad_ray.status import augmented_counts
from pad_ray.storage import Storage
from pad_ray.thoughts.rewriting import made_by

SHOWN = {Outcome.CORRECT: 3}
"""Programs shown of an outcome; of every other outcome, one."""
LONGEST = 1500
"""Characters of a program or question that are shown."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A program worth looking at, with its verdict."""

    name: str
    """Its sample id or problem id."""
    question: str
    """What was asked."""
    gold: str
    """The gold answer."""
    program: str
    """The program."""
    outcome: Outcome
    """What became of it."""
    value: str
    """What it gave."""
    detail: str
    """Why it failed."""


@dataclass(frozen=True, slots=True)
class SourceYield:
    """What one source of problems gave in one round."""

    source: str
    asked: int
    """Samples judged."""
    correct: int
    """Of these, correct."""
    kept: int | None
    """Training examples made of them; None before curation."""
    repairs: int | None
    """Of these, failures paired with a correct program of the same problem; None where that was not counted."""
    injected: int = 0
    """Of these, correct programs with an injected error."""

    @property
    def new(self) -> int | None:
        """Of these, correct programs that were not taught before."""
        return None if self.kept is None or self.repairs is None else self.kept - self.repairs - self.injected


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a run, as far as it got."""

    number: int
    outcomes: Mapping[Outcome, int]
    """Verdicts by outcome."""
    sandbox: str
    """Sandbox levels the verdicts were reached at."""
    samples: list[Shown]
    """Some programs of each outcome."""
    sources: list[SourceYield]
    """Yield by source of the problems."""
    models: Mapping[str, Mapping[str, int]]
    """Of a mixture of teachers: the outcomes of each, and what it was `asked`; empty for a single one."""
    curation: Mapping[str, Any]
    """examples/summary.json, or {}."""
    losses: list[dict[str, Any]]
    """The lines of metrics.jsonl."""
    training: Mapping[str, Any]
    """checkpoint/summary.json, or {}."""
    trained_repairs: int
    """Repairs among what it was trained on, earlier ones too."""

    @property
    def author(self) -> str:
        """Who wrote its programs."""
        return "student" if self.number else "teacher"

    @property
    def yields(self) -> list[SourceYield]:
        """What it gave by task; where there are several, all of them together first."""
        if len(self.sources) == 1:
            return self.sources
        repairs = None if self.kept is None else self.repairs
        return [SourceYield("all", self.asked, self.correct, self.kept, repairs, self.injected), *self.sources]

    @property
    def asked(self) -> int:
        """Samples judged."""
        return sum(self.outcomes.values())

    @property
    def correct(self) -> int:
        """Samples judged correct."""
        return self.outcomes.get(Outcome.CORRECT, 0)

    @property
    def kept(self) -> int | None:
        """Training examples made of them, or None before curation."""
        return self.curation.get("kept")

    @property
    def repairs(self) -> int:
        """Of these, repairs of its failures; the others are new correct programs or have an injected error."""
        return (self.curation.get("by_task") or {}).get("repair", 0) - self.injected

    @property
    def injected(self) -> int:
        """Of these, correct programs with an injected error."""
        return (self.curation.get("by_origin") or {}).get("injected", 0)


@dataclass(frozen=True, slots=True)
class Story:
    """A run, read."""

    recipe: dict[str, Any]
    manifest: dict[str, Any]
    rounds: list[Round]
    measured: list[Measurement]
    differences: list[Difference]
    forgotten: list[Difference]
    """The last student against the untrained one on tasks outside the training, asked alike."""
    answers: list[tuple[Measurement, list[Shown]]]
    """Some answers of the last student, by suite."""
    planned: Mapping[str, Any]
    """What the plan of round 0 counted: problems, what was left out, suites."""
    augmented: Mapping[str, Mapping[str, int]]
    """What became of the new problems that the teacher made, by kind."""
    calibration: Mapping[str, Any]
    """What was measured on this machine before the long part, or {}."""


def read_story(storage: Storage) -> Story:
    """Read everything a run has written so far. Raises StorageError for damaged files."""
    measured = measurements(storage)
    manifest = read_json(storage, "manifest.json")
    return Story(
        recipe=read_recipe(storage),
        manifest=manifest,
        rounds=[_round(storage, number, manifest) for number in rounds(storage)],
        measured=measured,
        differences=history(storage),
        forgotten=forgotten(storage),
        answers=[(one, _answers(storage, one.folder)) for one in last_students(measured).values()],
        planned=_counts(manifest, 0, "plan"),
        augmented=augmented_counts(stage["counts"] for stage in manifest.get("stages", [])),
        calibration=_counts(manifest, UNTRAINED, "calibrate"),
    )


def _round(storage: Storage, number: int, manifest: Mapping[str, Any]) -> Round:
    outcomes, shown, levels, chosen = Counter[Outcome](), Counter[Outcome](), set[str](), list[Verdict]()
    wanted: set[str] = set()
    for verdict in storage.scan_rows(f"round-{number}/verdicts", Verdict):
        if number == 0 and made_by(_problem_id(verdict)):
            continue  # a vote on a new problem says nothing of how often the teacher is right
        outcomes[verdict.outcome] += 1
        levels.add(verdict.sandbox)
        # Rare outcomes are shown whatever their problem; several correct programs are of different ones.
        fresh = not shown[verdict.outcome] or _problem_id(verdict) not in wanted
        if fresh and shown[verdict.outcome] < SHOWN.get(verdict.outcome, 1):
            shown[verdict.outcome] += 1
            chosen.append(verdict)
            wanted.add(_problem_id(verdict))
    curation = read_json(storage, f"round-{number}/examples/summary.json")
    # Until curation has counted what it kept, judging knows what was asked and correct.
    counts = _counts(manifest, number, "sample", "judge")
    by_source = curation.get("by_source") or counts.get("by_source", {})
    if number == 0:
        new = [source for source in by_source if made_by(source)]
        made = sum(by_source[source].get("kept", 0) for source in new)
        by_source = {source: row for source, row in by_source.items() if source not in new}
        curation = {**curation, "kept": curation["kept"] - made} if made else curation
    by_model = counts.get("by_model", {})
    chosen.sort(key=lambda verdict: list(Outcome).index(verdict.outcome))
    problems = {
        problem.problem_id: problem
        for problem in storage.scan_rows("problems/train", Problem)
        if problem.problem_id in wanted
    }
    return Round(
        number=number,
        outcomes=outcomes,
        sandbox=", ".join(sorted(level for level in levels if level)),
        samples=[_shown(verdict, problems.get(_problem_id(verdict))) for verdict in chosen],
        sources=[
            SourceYield(
                source,
                row.get("asked", 0),
                row.get("correct", 0),
                row.get("kept"),
                row.get("repairs"),
                row.get("injected", 0),
            )
            for source, row in sorted(by_source.items())
        ],
        models=by_model if len(by_model) > 1 else {},
        curation=curation,
        losses=read_lines(storage, f"round-{number}/checkpoint/metrics.jsonl"),
        training=read_json(storage, f"round-{number}/checkpoint/summary.json"),
        trained_repairs=_counts(manifest, number, "train").get("by_task", {}).get("repair", 0),
    )


def _counts(manifest: Mapping[str, Any], round_: int, *stages: str) -> dict[str, Any]:
    """What some stages of a round left in the manifest, together."""
    found: dict[str, Any] = {}
    for stage in manifest.get("stages", []):
        if stage["round"] == round_ and stage["stage"] in stages:
            found |= stage["counts"]
    return found


def _problem_id(verdict: Verdict) -> str:
    return verdict.sample_id.rpartition("#")[0]


def _shown(verdict: Verdict, problem: Problem | None) -> Shown:
    return Shown(
        name=verdict.sample_id,
        question=clipped(problem.question, LONGEST) if problem else "",
        gold=problem.answer if problem else "",
        program=clipped(verdict.program, LONGEST),
        outcome=verdict.outcome,
        value=clipped(verdict.value, 200),
        detail=clipped(verdict.detail, 300),
    )


def _answers(storage: Storage, folder: str) -> list[Shown]:
    seen, chosen = Counter[Outcome](), list[Shown]()
    for one in read_answers(storage, folder):
        seen[one.outcome] += 1
        if seen[one.outcome] <= SHOWN.get(one.outcome, 1):
            chosen.append(
                Shown(
                    one.problem_id,
                    clipped(one.question, LONGEST),
                    one.gold,
                    clipped(one.program, LONGEST),
                    one.outcome,
                    clipped(one.answer or "", 200),
                    clipped(one.detail, 300),
                )
            )
    return sorted(chosen, key=lambda one: list(Outcome).index(one.outcome))
