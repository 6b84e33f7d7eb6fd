"""What a study found, for machines and for people: study.json, study.md, study.html, and the table of the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pad_ray.evaluate import plots, wording
from pad_ray.evaluate.arms import FEW, RESAMPLES, ROUND_0, study_results
from pad_ray.evaluate.templating import template
from pad_ray.storage import Storage
from pad_ray.study_file import Study

if TYPE_CHECKING:
    from jinja2 import Template
    from rich.console import Group
    from rich.table import Table

EVEN = 1.05
"""Trainings whose tokens differ by less than this factor are called equally long: the last step is a whole one."""
_CLASSES = {"better": "good", "no clear difference": "soft", "worse": "bad"}
_STYLES = {"better": "green", "no clear difference": "yellow", "worse": "red"}


def write_pages(study: Study, storage: Storage) -> dict[str, Any]:
    """Write study.json, study.md and study.html from what is finished; returns the results. Raises StorageError."""
    results = study_results(study, storage)
    storage.write("study.json", (json.dumps(results, indent=1, ensure_ascii=False) + "\n").encode())
    storage.write("study.md", render(results, "study.md.j2").encode("utf-8", "replace"))
    storage.write("study.html", render(results, "study.html.j2").encode("utf-8", "replace"))
    return results


def render(results: Mapping[str, Any], template: str) -> str:
    """A page of the results."""
    reference = results["reference"]
    against = {
        before: [row for row in results["differences"] if row["from"] == before] for before in (reference, ROUND_0)
    }
    return _template(template).render(
        results=results,
        against=against,
        verdict_class=_CLASSES,
        sentences=sentences(results),
        method=method_sentences(results),
        plots={
            before: plots.forest(rows, f"forest-{number}") if rows else ""
            for number, (before, rows) in enumerate(against.items())
        },
        round_0=ROUND_0,
    )


def sentences(results: Mapping[str, Any]) -> list[str]:
    """What the study says, a comparison a sentence; only what an interval excludes is called a difference."""
    said = [
        f"Not finished, and left out below: {', '.join(results['missing'])}." for _ in range(1) if results["missing"]
    ]
    said += [
        f"{one['arm']!r} cannot be made with seed {one['seed']}, and is left out below: {one['why']}"
        for one in results["impossible"]
    ]
    for before in (results["reference"], ROUND_0):
        rows = _pooled(row for row in results["differences"] if row["from"] == before)
        if not rows:
            continue
        clear = [row for row in rows if row["verdict"] != "no clear difference"]
        than = f"{before!r}" if before != ROUND_0 else "the shared student of round 0"
        if clear:
            words = "; ".join(
                f"{row['arm']!r} is {row['verdict']} ({wording.points(row['difference'])} points,"
                f" {wording.points_interval(row['ci95'])})"
                for row in clear
            )
            said.append(f"Against {than}: {words}.")
        if unclear := [f"{row['arm']!r}" for row in rows if row not in clear]:
            widest = max((row["ci95"][1] - row["ci95"][0]) / 2 for row in rows)
            said.append(
                f"No clear difference from {than}: {', '.join(unclear)}. On {rows[0]['n']} questions only differences"
                f" of about {100 * widest:.0f} points or more could be seen."
            )
    return said


def method_sentences(results: Mapping[str, Any]) -> list[str]:
    """How the arms were kept comparable, and what the intervals cover."""
    seeds = results["seeds"]
    if len(seeds) == 1:
        covers = (
            "One seed: the intervals (Wilson's for a share, Newcombe's paired one for a difference) cover the choice of"
            " questions, not the chance in training; another seed may move an arm by a few points."
        )
    else:
        covers = (
            f"{len(seeds)} seeds: an arm's answers to a question are averaged over the seeds first, because they are"
            " not independent questions; the intervals are a percentile bootstrap over questions"
            f" ({RESAMPLES:,} draws). Where the averages are alike on all questions it has no width, and where"
            f" fewer than {FEW} change it is too narrow; then Wilson's and Newcombe's, as of one answer per question,"
            " stand instead, if they are wider. They cover the choice of questions, and of training only what the seeds"
            " average out."
        )
    common = (
        "start from the same weights" if results["share"] == "nothing" else "go on from the same student of round 0"
    )
    return [
        f"All arms {common} and answer the same questions.",
        _even(results),
        covers,
        "The intervals are not corrected for the number of comparisons: of twenty without any difference about one"
        " would look clear.",
    ]


def _even(results: Mapping[str, Any]) -> str:
    """Whether the arms had equally much to learn from."""
    trainings = [run for arm in results["arms"] for run in arm["training"]]
    if results["share"] == "nothing":
        # Of the prompt as well: that is what a training takes.
        tokens = sorted(run["tokens_seen"] for run in trainings)
        if tokens and tokens[-1] <= EVEN * tokens[0]:
            return (
                f"Every arm was trained on about as many tokens, prompts included ({tokens[0]:,} to {tokens[-1]:,})."
                " That is equal work; it is not equally many problems, as texts differ in length."
            )
        return (
            "The arms were not trained on equally many tokens (see the table), so what differs between them is also"
            " how long they trained."
        )
    steps = sorted({run["steps"] for run in trainings})
    if len(steps) != 1:
        return (
            "The arms did not take equally many optimizer steps after round 0 (see the table), so what differs between"
            " them is also how long they trained."
        )
    if any(run["steps_on_pairs"] for run in trainings):
        return (
            f"Every arm took {steps[0]:,} optimizer steps after round 0, some of them on pairs (see the table). That is"
            " not equal work: pairs are learned with another objective and another learning rate, and are also read"
            " once before the first step."
        )
    return (
        f"Every arm took {steps[0]:,} optimizer steps after round 0. That is equal work, not equally many tokens of"
        " programs: the prompt of a repair is long, and nothing is learned from a prompt."
    )


def study_table(results: Mapping[str, Any]) -> Group:
    """The end of a study, for a rich console."""
    from rich.console import Group
    from rich.text import Text

    differences = {(row["arm"], row["from"], row["suite"]): row for row in results["differences"]}
    befores = (results["reference"], ROUND_0) if results["start"] else (results["reference"],)
    table = _columns(befores)
    for one in results["start"]:
        table.add_row(ROUND_0, one["suite"], *_accuracy(one), "", "", "", "", "")
    for arm in results["arms"]:
        table.add_section()
        for number, one in enumerate(arm["suites"]):
            training = ("", "", "") if number else _training(arm["training"])
            marks = [_mark(differences.get((arm["arm"], before, one["suite"]))) for before in befores]
            table.add_row(
                Text(arm["arm"] if number == 0 else "", style="bold"), one["suite"], *_accuracy(one), *marks, *training
            )
    for arm in dict.fromkeys(one["arm"] for one in results["impossible"]):
        table.add_section()
        table.add_row(Text(arm, style="bold"), "cannot be made")
    return Group(table, Text(), *(Text(said) for said in [*sentences(results), *method_sentences(results)]))


def _columns(befores: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("arm", "suite"):
        table.add_column(name, overflow="fold")
    for name in ("correct", "accuracy", "95 % interval", *(f"points to {before}" for before in befores)):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("steps", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("examples")
    return table


def _accuracy(one: Mapping[str, Any]) -> tuple[str, str, str]:
    return f"{one['correct']:g}/{one['n']}", wording.percent(one["accuracy"]), wording.interval(one["ci95"])


def _mark(row: Mapping[str, Any] | None) -> Any:
    from rich.text import Text

    if row is None:
        return ""
    told = f"{wording.points(row['difference'])} ({wording.points_interval(row['ci95'])})"
    return Text(told, style=_STYLES[row["verdict"]])


def _training(runs: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    """Steps, training tokens (prompts included, if counted) and examples of an arm, of every seed where they differ."""
    examples = [", ".join([f"{run['examples']:,}", *origins(run), *_pairs(run)]) for run in runs]
    return (
        _all(wording.steps(run) for run in runs),
        _all(f"{run['tokens_seen'] or run['tokens']:,}" for run in runs),
        _all(examples),
    )


def _pairs(run: Mapping[str, Any]) -> list[str]:
    return [f"{run['pairs']:,} pairs"] if run["pairs"] else []


def origins(run: Mapping[str, Any]) -> list[str]:
    """`300 teacher`, …: what a training was made of, by task and origin."""
    return [wording.counted(run["by_task"]), wording.counted(run["by_origin"])] if run["by_task"] else []


def _all(said: Any) -> str:
    return " · ".join(dict.fromkeys(said))


def _pooled(rows: Any) -> list[Mapping[str, Any]]:
    """The first row of each arm: over all suites, or of the only one."""
    found: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        found.setdefault(row["arm"], row)
    return list(found.values())


def _template(name: str) -> Template:
    return template(
        name,
        counted=wording.counted,
        steps=wording.steps,
        p_value=lambda p: "–" if p is None else wording.p_value(p),
    )
