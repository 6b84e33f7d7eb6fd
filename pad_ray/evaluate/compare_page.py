"""The page of `pad-ray compare`: one self-contained HTML file, and beside it the same figures as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pad_ray.errors import UsageError
from pad_ray.evaluate import plots, wording
from pad_ray.evaluate.arms import FEW, POOLED
from pad_ray.evaluate.contest import results
from pad_ray.evaluate.published import CONDITIONS
from pad_ray.evaluate.resampling import RESAMPLES
from pad_ray.evaluate.templating import template
from pad_ray.outcomes import Outcome
from pad_ray.storage import writing
from pad_ray.teacher.money import dollars

_CLASSES = {"better": "good", "no clear difference": "soft", "worse": "bad"}


def write_comparison(paths: Sequence[str | Path], out: str | Path) -> tuple[Path, Path]:
    """Write the page to `out`, a .html file, and its figures beside it as .json; returns both.

    Raises UsageError for another ending and as `compare` does, StorageError for damaged files.
    """
    page = Path(out)
    if page.suffix != ".html":
        raise UsageError(f"--out: {out} is not a .html file.", hint="Its figures are written beside it, as .json.")
    found = results(paths)
    figures = page.with_suffix(".json")
    contents = {page: render(found), figures: json.dumps(found, indent=1, ensure_ascii=False) + "\n"}
    for target, text in contents.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        with writing(target) as scratch:
            scratch.write_bytes(text.encode("utf-8", "replace"))
    return page, figures


def render(found: Mapping[str, Any]) -> str:
    """The page of results, as `contest.results` gives them."""
    students = found["students"]
    suites = list(dict.fromkeys(row["suite"] for student in students for row in student["suites"]))
    accuracies = {
        suite: [(one["name"], row) for one in students for row in one["suites"] if row["suite"] == suite]
        for suite in suites
    }
    pairs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in found["differences"]:
        pairs.setdefault((row["from"], row["to"]), []).append(row)
    befores = list(dict.fromkeys(before for before, _ in pairs))
    forests = {
        before: plots.forest(
            [{**row, "arm": row["to"]} for row in found["differences"] if row["from"] == before], f"forest-{number}"
        )
        for number, before in enumerate(befores)
    }
    return template("compare.html.j2", rate=_rate, dollars=dollars, count=wording.count).render(
        found=found,
        students=students,
        accuracies=accuracies,
        pairs=pairs,
        befores=befores,
        forests=forests,
        accuracy_plot=plots.contestants(accuracies) if accuracies else "",
        outcome_plot=plots.outcomes({one["name"]: _outcomes(one) for one in students}),
        sentences=sentences(found),
        method=method_sentences(found),
        verdict_class=_CLASSES,
        conditions=CONDITIONS,
        at_k_plots=_at_k_plots(students),
    )


def _at_k_plots(students: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """By suite, what k samples are worth, a line for each run."""
    lines: dict[str, dict[str, Sequence[Mapping[str, Any]]]] = {}
    for student in students:
        several = len(student["runs"]) > 1
        for one in student["at_k"]:
            name = f"{student['name']} {student['runs'].index(one['run']) + 1}" if several else student["name"]
            lines.setdefault(one["suite"], {})[name] = one["at_k"]
    return {suite: plots.at_k(found, f"at-k-{number}") for number, (suite, found) in enumerate(lines.items())}


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What the page says, a pair a sentence; only what an interval excludes is called a difference."""
    said: list[str] = []
    seen: set[tuple[str, str]] = set()
    for row in found["differences"]:
        if (row["from"], row["to"]) in seen:
            continue
        seen.add((row["from"], row["to"]))
        verdict = row["verdict"] if row["verdict"] != "no clear difference" else "not clearly different"
        than = "from" if verdict == "not clearly different" else "than"
        where = f"on {row['suite']}" if row["suite"] != POOLED else "over all suites that both answered"
        said.append(
            f"{row['to']} is {verdict} {than} {row['from']} {where}: {wording.points(row['difference'])} points"
            f" ({wording.points_interval(row['ci95'])}), {row['n']:,} questions."
        )
    for student in found["students"]:
        said += [f"{student['name']}: {note}" for note in student["notes"]]
    return said


def method_sentences(found: Mapping[str, Any]) -> list[str]:
    """What the intervals and the figures beside accuracy mean."""
    several = any(len(one["runs"]) > 1 for one in found["students"])
    said = [
        "Differences are formed in pairs, on the questions that both students answered, by id and text. Two intervals"
        " stand beside each other. The first, which decides the words, is Newcombe's for paired shares; the second is a"
        f" paired bootstrap over questions ({RESAMPLES:,} draws, percentiles). Where no answer differs"
        " a bootstrap has no width, and none is given. p is McNemar's exact test of the questions that only one of"
        " the two has right.",
        "One run each: the intervals cover the choice of questions, not the chance in training; another seed may move a"
        " student by a few points.",
        "Nothing is corrected for the number of comparisons: of twenty without any difference about one would look"
        " clear.",
        f"An answer is right by match '{found['match']}' here."
        + (" See 'Exact and rounded' for what the other way of counting gives." if _matched(found) else ""),
        "Per 1,000 training tokens and per dollar: the accuracy over all suites, divided. That counts what the student"
        " could do before any training too, and falls with every further token, so it serves to compare trainings of"
        " one start and like length. What is unknown or zero is said, and nothing is divided by it. Dollars are those"
        " of this run: replies that were recorded before cost something elsewhere.",
        "right by wrong arithmetic: of the right answers that calculate something in their text, those in which a"
        " calculation does not hold. Words are not checked, so more may be faulty. Programs are executed, and have"
        " none.",
    ]
    if several:
        said[1] = (
            "Where a student stands for several runs, their answers to a question are averaged first, because they are"
            " no independent questions; the first interval is then the bootstrap too (but where fewer than"
            f" {FEW} questions changed, and Newcombe's is wider), and there is no test of single answers. Intervals"
            " cover the choice of questions, and of training only what the runs average out."
        )
    return said


def _matched(found: Mapping[str, Any]) -> bool:
    return any(one["matches"] for one in found["students"])


def _outcomes(student: Mapping[str, Any]) -> dict[Outcome, int]:
    total = Counter[Outcome]()
    for run in student["answers"]:
        total.update({Outcome(name): number for name, number in run["outcomes"].items()})
    return dict(total)


def _rate(share: float) -> str:
    """Points for a unit, with three digits that say something: `0.0413`, `12.5`."""
    return f"{100 * share:.3g}"
