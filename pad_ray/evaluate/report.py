"""`report.html`: one self-contained page that tells a run from its files, finished or not.

Everything in it is text from data (questions, programs, error messages written by models), so everything is escaped,
and the page forbids itself scripts and any outside resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pad_ray.errors import UsageError
from pad_ray.evaluate import plots, wording
from pad_ray.evaluate import sentences as say
from pad_ray.evaluate.story import Story, read_story
from pad_ray.evaluate.templating import template
from pad_ray.problems import left_out
from pad_ray.status import read_manifest
from pad_ray.storage import Storage

if TYPE_CHECKING:
    from jinja2 import Template

NAME = "report.html"

_VERDICT_CLASS = {"better": "good", "no clear difference": "soft", "worse": "bad"}


def write_report(root: str | Path) -> str:
    """Write report.html into a run folder and return its path or URI.

    Raises UsageError for a folder that is no run, StorageError for damaged files.
    """
    storage = Storage(root)
    if not storage.exists("recipe.yaml"):
        read_manifest(root)  # tells a folder that is no run, or that of a study
        raise UsageError(f"{storage} is not a run folder: it has no recipe.yaml.", hint="Give the folder of a run.")
    page = render(read_story(storage))
    # A program may print half a surrogate pair, which no encoding holds.
    storage.write(NAME, page.encode("utf-8", "replace"))
    return storage.where(NAME)


def render(story: Story) -> str:
    """The page of a story."""
    rounds = {one.number: one for one in story.rounds}
    return _template().render(
        story=story,
        title=story.recipe.get("name", "run"),
        headline=say.headline(story),
        text=say.text(story.recipe),
        texts=say.texts(story.recipe),
        concluded=say.concluded(story.recipe),
        base=say.base_model(story.recipe),
        teacher=say.teacher(story.recipe),
        gains=say.gains(story),
        verdict_class=_VERDICT_CLASS,
        sentences=say.yield_sentences(story),
        barren=[sentence for one in story.rounds for sentence in say.barren_sentences(one, say.text(story.recipe))],
        problems=_problems(story),
        asked={one.suite: one.summary["n"] for one in story.measured},
        overlap=say.overlap_sentence(story),
        recipe=yaml.safe_dump(story.recipe, sort_keys=False, allow_unicode=True),
        accuracy_plot=plots.accuracies(story.measured) if story.measured else "",
        yield_plot=_plot(plots.yields, {number: one.outcomes for number, one in rounds.items() if one.asked}),
        loss_plot=_plot(plots.losses, {number: one.losses for number, one in rounds.items() if one.losses}),
        watched=[(one.number, sentence) for one in story.rounds if (sentence := say.watched_sentence(one))],
        sandbox=sorted({one.sandbox for one in story.rounds if one.sandbox}),
    )


def _problems(story: Story) -> list[tuple[str, Mapping[str, Any]]]:
    """The plan's counts of the training problems and of every suite."""
    suites: Mapping[str, Mapping[str, Any]] = story.planned.get("suites") or {}
    probes: Mapping[str, Mapping[str, Any]] = story.planned.get("probes") or {}
    named = [(f"probe {name}", counts) for name, counts in probes.items()]
    return [("training", {"dropped": {}, **story.planned}), *suites.items(), *named]


def _plot(draw: Any, by_round: dict[int, Any]) -> str:
    return draw(by_round) if by_round else ""


def _template() -> Template:
    return template("report.html.j2", count=wording.count, value=wording.value, left_out=left_out)
