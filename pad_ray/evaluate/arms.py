"""What the arms of a study came to: accuracy, and differences on the same questions, with 95 % intervals.

With one seed shares have Wilson's interval and differences Newcombe's paired one, as everywhere. Answers to one
question with several seeds are no independent questions: they are averaged first, question by question, and the
interval is a percentile bootstrap over questions. Where the averages are alike on all questions a bootstrap has no
width. If the seeds agree on every question too, one of them says all, and has the methods for one seed; if they do not,
the interval is the wider one that a single answer per question would have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pad_ray.evaluate.folder import TRAININGS, read_answers, read_json, suites
from pad_ray.evaluate.metrics import difference_around, newcombe_around, paired, wilson, wilson_around
from pad_ray.evaluate.resampling import RESAMPLES as RESAMPLES
from pad_ray.evaluate.resampling import bootstrap, vary
from pad_ray.manifest import load_manifest
from pad_ray.outcomes import Outcome
from pad_ray.storage import Storage
from pad_ray.study_file import Study

POOLED = "all suites"
"""What the questions of all suites together are called."""
ROUND_0 = "round 0"
"""What the student that all arms start from is called."""

FEW = 6
"""Fewer changed questions (or right or wrong answers) than that make a bootstrap over means of seeds too narrow: a sign
test sees nothing in five."""

_COUNTS = ("steps", "tokens", "tokens_seen", "examples", "pairs", "dropped_too_long")
Question = tuple[str, str, str]
"""Suite, problem id and question."""
Rights = Mapping[Question, bool]
"""Which questions a student has right."""


def study_results(study: Study, storage: Storage) -> dict[str, Any]:
    """The content of study.json, from the arms that are finished with every seed. Raises StorageError."""
    after = 1 if study.share == "round_0" else 0
    shared = Storage(storage.uri("shared"))
    start = _rights(shared, 0, suites(shared)) if after else {}
    found: list[dict[str, Any]] = []
    rights: dict[str, list[Rights]] = {}
    for arm, settings in study.arms.items():
        runs = [Storage(storage.uri(f"arms/{arm}-seed{seed}")) for seed in study.seeds]
        manifests = [load_manifest(run) for run in runs]
        if any(one is None or one.state != "done" for one in manifests):
            continue
        named = suites(shared if after else runs[0])
        last = [max(stage.round for stage in one.stages if stage.stage == "train") for one in manifests if one]
        rights[arm] = [_rights(run, round_, named) for run, round_ in zip(runs, last, strict=True)]
        found.append(
            {
                "arm": arm,
                "about": settings.about,
                "suites": accuracies(rights[arm]),
                "answers": [_answers(run, round_, named) for run, round_ in zip(runs, last, strict=True)],
                "training": [_training(run, after, round_) for run, round_ in zip(runs, last, strict=True)],
            }
        )
    unmade = [
        {"arm": arm, "seed": seed, "why": why}
        for arm in study.arms
        for seed in study.seeds
        if arm not in rights and (why := impossible(study, storage, arm, seed))
    ]
    differences = [
        {"arm": arm, "from": before, **row}
        for arm, mine in rights.items()
        for before, theirs in ((study.reference, rights.get(study.reference)), (ROUND_0, [start]))
        if theirs and arm != before
        for row in compared(theirs, mine)
    ]
    return {
        "format_version": 1,
        "study": study.name,
        "question": study.question,
        "recipe": study.recipe,
        "share": study.share,
        "reference": study.reference,
        "seeds": study.seeds,
        "missing": [arm for arm in study.arms if arm not in {*rights, *(one["arm"] for one in unmade)}],
        "impossible": unmade,
        "start": accuracies([start]) if start else [],
        "arms": found,
        "differences": differences,
    }


def impossible(study: Study, storage: Storage, arm: str, seed: int) -> str:
    """Why an arm cannot be made: the one that it follows took no step. Empty where it can, or nobody knows yet."""
    followed = study.arms[arm].same_steps_as
    manifest = load_manifest(Storage(storage.uri(f"arms/{followed}-seed{seed}"))) if followed else None
    stage = manifest.find(1, "train") if manifest and manifest.state == "done" else None
    if stage is None or "skipped" not in stage.counts:
        return ""
    return (
        f"arm {followed!r} found nothing new to learn and took no step, and same_steps_as asks for as many. Give"
        f" {followed!r} more to learn from (refine.samples, refine.limit) in a new folder, or leave same_steps_as out."
    )


def accuracies(rights: Sequence[Rights]) -> list[dict[str, Any]]:
    """Over all suites, then by suite: n, correct (a mean over the seeds), accuracy and its interval."""
    rows: list[dict[str, Any]] = []
    for suite, questions in by_suite(rights):
        shares = [share(rights, one) for one in questions]
        n, right = len(shares), sum(shares)
        if _agree(rights, questions):
            low, high = wilson(sum(rights[0][one] for one in questions), n)
        else:
            low, high = wilson_around(right / n, n)
            if vary(shares):
                drawn = bootstrap(shares)
                low, high = _hull(drawn, (low, high)) if min(right, n - right) < FEW else drawn
        rows.append({"suite": suite, "n": n, "correct": round(right, 1), "accuracy": right / n, "ci95": [low, high]})
    return rows


def compared(before: Sequence[Rights], after: Sequence[Rights]) -> list[dict[str, Any]]:
    """Over all suites, then by suite: the difference of two students, each with its answers by seed."""
    rows: list[dict[str, Any]] = []
    for suite, questions in by_suite([*before, *after]):
        single = paired({one: before[0][one] for one in questions}, {one: after[0][one] for one in questions})
        row: dict[str, Any] = {"suite": suite, **asdict(single), "verdict": single.verdict}
        changes = [share(after, one) - share(before, one) for one in questions]
        if len(before) > 1 or len(after) > 1:
            row["before"] = sum(share(before, one) for one in questions) / len(questions)
            row["after"] = sum(share(after, one) for one in questions) / len(questions)
            if not (_agree(before, questions) and _agree(after, questions)):
                row["ci95"] = _around(before, after, questions, changes)
            row["difference"] = sum(changes) / len(changes)
            row["gained"], row["lost"] = sum(one > 0 for one in changes), sum(one < 0 for one in changes)
            row["p_value"] = None
            low, high = row["ci95"]
            row["verdict"] = "better" if low > 0 else "worse" if high < 0 else "no clear difference"
        row["ci95"] = list(row["ci95"])
        rows.append(row)
    return rows


def _around(
    before: Sequence[Rights], after: Sequence[Rights], questions: Sequence[Question], changes: Sequence[float]
) -> tuple[float, float]:
    """The interval of a difference of means over seeds."""
    ones, others = ([share(rights, one) for one in questions] for rights in (before, after))
    if not vary(changes):
        n = len(questions)
        return difference_around(sum(ones) / n, sum(others) / n, n)
    drawn = bootstrap(changes)
    few = sum(one != 0 for one in changes) < FEW
    return _hull(drawn, newcombe_around(ones, others)) if few else drawn


def _hull(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return min(one[0], other[0]), max(one[1], other[1])


def by_suite(rights: Sequence[Rights]) -> list[tuple[str, list[Question]]]:
    """The questions that all have answered, by suite; where there are several suites, all of them first."""
    shared = [one for one in rights[0] if all(one in other for other in rights)]
    named = list(dict.fromkeys(one[0] for one in shared))
    found = [(suite, [one for one in shared if one[0] == suite]) for suite in named]
    return [(POOLED, once(shared)), *found] if len(named) > 1 else found


def once(questions: Iterable[Question]) -> list[Question]:
    """Every question once, of the first suite that holds it: among all suites it is one."""
    first: dict[tuple[str, ...], Question] = {}
    for one in questions:
        first.setdefault(one[1:], one)
    return list(first.values())


def share(rights: Sequence[Rights], question: Question) -> float:
    """In how many of the runs a question was answered rightly, as a share."""
    return sum(one[question] for one in rights) / len(rights)


def _agree(rights: Sequence[Rights], questions: Sequence[Question]) -> bool:
    """Whether every seed has the same questions right."""
    return all(one[question] == rights[0][question] for one in rights for question in questions)


def _rights(storage: Storage, round_: int, named: Sequence[str]) -> dict[Question, bool]:
    return {
        (suite, one.problem_id, one.question): one.outcome is Outcome.CORRECT
        for suite in named
        for one in read_answers(storage, f"round-{round_}/eval/{suite}")
    }


def _answers(storage: Storage, round_: int, named: Sequence[str]) -> dict[str, Any]:
    """How a student answered, over all suites: shares beside accuracy, and what an answer took."""
    return answers_of([read_json(storage, f"round-{round_}/eval/{suite}/summary.json") for suite in named])


def answers_of(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The same of any summaries, taken together."""
    n = sum(one["n"] for one in summaries)
    if not n:
        return {"n": 0}
    found: dict[str, Any] = {
        "n": n,
        "executable_rate": sum(one["n"] * one["executable_rate"] for one in summaries) / n,
        "tokens": sum(one["tokens"] for one in summaries) / n,
    }
    for key, counts in (("arithmetic", ("right", "calculate", "faulty")), ("oracle_sub_questions", ("n", "correct"))):
        parts = [one[key] for one in summaries if key in one]
        found[key] = {name: sum(part[name] for part in parts) for name in counts} if parts else None
    return found


def _training(storage: Storage, first: int, last: int) -> dict[str, Any]:
    """What an arm did in these rounds: after round 0, or as a whole run."""
    manifest = load_manifest(storage)
    by_task, by_origin = Counter[str](), Counter[str]()
    total = Counter[str]()
    for round_ in range(first, last + 1):
        stage = manifest.find(round_, "train") if manifest else None
        if stage is None or "skipped" in stage.counts:
            continue  # nothing new to learn, no training
        by_task.update(stage.counts["by_task"])
        by_origin.update(stage.counts["by_origin"])
        for training in TRAININGS:
            summary = read_json(storage, f"round-{round_}/{training}/summary.json")
            total["steps_on_pairs"] += summary.get("steps", 0) if training == "preference" else 0
            for key in (*_COUNTS, "seconds"):
                total[key] += summary.get(key, 0)
    return {
        **{key: total[key] for key in ("steps_on_pairs", *_COUNTS)},
        "seconds": round(float(total["seconds"]), 1),
        "by_task": dict(by_task),
        "by_origin": dict(by_origin),
    }
