"""What is worth saying about a run in words; the terminal, the report and the model card say it alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pad_ray.evaluate.compare import Difference
from pad_ray.evaluate.folder import best_baseline, last_students
from pad_ray.evaluate.story import Round, SourceYield, Story
from pad_ray.evaluate.wording import counted, percent, points, points_interval
from pad_ray.problems import left_out
from pad_ray.problems.decontamination import RUN
from pad_ray.status import total_spend
from pad_ray.students.wheel import WHEELS
from pad_ray.teacher.money import spend_sentence
from pad_ray.thoughts.protocol import Thought
from pad_ray.thoughts.rewriting import augmented_sentence
from pad_ray.thoughts.several import Words, named, words

BARREN = 0.05
"""A task whose texts are correct at most this often gives the student next to nothing."""


def headline(story: Story) -> str:
    """What was distilled from what."""
    student = story.recipe.get("student") or {}
    weights = " with random weights" if student.get("init") == "random" else ""
    name = base_model(story.recipe).removeprefix("package://")
    by = f"by writing {texts(story.recipe)}, from {teacher(story.recipe)}"
    return f"The student {name}{weights} learns to reason {by}."


def base_model(recipe: Mapping[str, Any]) -> str:
    """The untrained student's name: its hub id where it has one, of a folder elsewhere only the last part."""
    name = str((recipe.get("student") or {}).get("model") or "unnamed").rstrip("/")
    if (package := name.removeprefix("wheel://")) in WHEELS:
        return WHEELS[package].hub_id
    return Path(name).name if name.startswith(("/", ".", "~")) else name


def text(recipe: Mapping[str, Any]) -> str:
    """What one of those is called that a run teaches to write: a program, a chain…"""
    return words_of(recipe).NAMES[0]


def texts(recipe: Mapping[str, Any]) -> str:
    """What several of them are called."""
    return words_of(recipe).NAMES[1]


def concluded(recipe: Mapping[str, Any]) -> str:
    """What becomes of them: they are executed, read…"""
    return words_of(recipe).CONCLUDED


def words_of(recipe: Mapping[str, Any]) -> Thought | Words:
    """What else there is to say of the form of reasoning that a run teaches, or of the forms."""
    return words(named(recipe.get("thought") or "program"))


def teacher(recipe: Mapping[str, Any]) -> str:
    """Who wrote the texts of round 0."""
    asked = recipe.get("teacher") or {}
    if asked.get("kind") == "student":
        return f"{texts(recipe)} of its own that were correct"
    if asked.get("kind") == "worked":
        return "the worked solutions of its problems"
    model = asked.get("model") or "a teacher without a name"
    return f"the recorded replies of {model}" if asked.get("kind") == "recorded" else model


def gains(story: Story, round_: int | None = None) -> list[Difference]:
    """Per suite, the student of a round (else the last one) against the best baseline."""
    last = last_students(story.measured)
    found: list[Difference] = []
    for one in story.differences:
        best = best_baseline(story.measured, one.suite)
        after = last[one.suite].student if round_ is None else f"round {round_}"
        if best and (one.before, one.after) == (best.student, after):
            found.append(one)
    return found


def gain_sentence(gain: Difference) -> str:
    """A difference in words: is it better, than whom, by how much, and how sure is that."""
    pair = gain.paired
    words = {"better": "better than", "worse": "worse than", "no clear difference": "no clear difference from"}
    return (
        f"{gain.after}: {words[pair.verdict]} the best baseline ({gain.before}), "
        f"{percent(pair.after)} against {percent(pair.before)}, {points(pair.difference)} points, "
        f"95 % interval {points_interval(pair.ci95)}, n = {pair.n}"
    )


def earlier_sentence(story: Story, gain: Difference) -> str:
    """The last earlier round that was clearly better than the best baseline where the last one is not, or nothing."""
    if gain.paired.verdict == "better":
        return ""
    for one in reversed(story.rounds[:-1]):
        for earlier in gains(story, one.number):
            if earlier.suite == gain.suite and earlier.paired.verdict == "better":
                return f"{gain_sentence(earlier)}; that student is kept too, in round-{one.number}/student"
    return ""


def forgetting_sentences(story: Story) -> list[str]:
    """What the last student can still do, and no longer can, of tasks that training never showed."""
    words = {"better": "better than before", "worse": "worse than before", "no clear difference": "no clear difference"}
    return [
        f"{one.suite} ({one.before.removeprefix('untrained, ')}): {words[pair.verdict]}, {percent(pair.after)} after"
        f" {percent(pair.before)}, {points(pair.difference)} points, 95 % interval {points_interval(pair.ci95)},"
        f" n = {pair.n}"
        for one in story.forgotten
        for pair in (one.paired,)
    ]


def yield_sentences(story: Story) -> list[str]:
    """What was asked, and what every round gave."""
    said: list[str] = []
    if story.planned.get("problems"):
        reasons = left_out(story.planned.get("dropped") or {})
        said.append(f"{story.planned['problems']:,} training problems{f', left out: {reasons}' if reasons else ''}.")
    said += [f"New problems made of them, {augmented_sentence(kind, made)}." for kind, made in story.augmented.items()]
    spend = total_spend(stage["counts"] for stage in story.manifest.get("stages", []))
    if spend["usd"] or spend["unsettled"]:
        said.append(f"The teacher's replies: {spend_sentence(spend)}.")
    for one in story.rounds:
        if one.asked:
            said.append(
                f"Round {one.number}: {_wrote(story, one)} {one.asked:,} {texts(story.recipe)}, "
                f"{one.correct:,} of them correct ({percent(one.correct / one.asked)})"
                f"{_became(one, text(story.recipe))}."
            )
    return said


def barren_sentences(one: Round, text: str = "program") -> list[str]:
    """The tasks of a round that the student is not taught, and why."""
    asked = [source for source in one.sources if source.asked]
    if one.number:
        # A student that is never right can still learn from repairs: only tasks without any example are worth a word.
        empty = [source for source in asked if source.kept == 0]
        return [f"{_names(empty)}: round {one.number} gave nothing new to learn."] if empty else []
    said: list[str] = []
    if barren := [source for source in asked if source.correct <= BARREN * source.asked]:
        counts = ", ".join(f"{source.correct:,} of {source.asked:,}" for source in barren)
        never = "never" if not any(source.correct for source in barren) else "almost never"
        left = ""
        if all(source.kept is not None for source in barren):
            nothing = "almost nothing" if any(source.kept for source in barren) else "nothing"
            left = f"; the filter leaves {nothing} of {_them(barren)}, so the teacher does not teach {_these(barren)}"
        said.append(f"{_names(barren)}: the teacher was {never} right ({counts}){left}.")
    if lost := [source for source in asked if source.kept == 0 and source not in barren]:
        said.append(f"{_names(lost)}: no correct {text} was kept, so the student is not taught {_these(lost)}.")
    return said


def watched_sentence(one: Round) -> str:
    """What the held-out questions of a round decided, or nothing where there were none."""
    if not (found := one.training.get("validation")):
        return ""
    last = one.training["steps"]
    ended = (
        f"training stopped early, after step {last:,}" if found["stopped_early"] else f"training went to step {last:,}"
    )
    best = found["exported_step"] == found["best_step"]
    exported = "the student of the lowest loss" if best else "the last student"
    return (
        f"{found['questions']:,} questions ({found['examples']:,} examples) were held out; {ended}, and {exported},"
        f" of step {found['exported_step']:,}, is the one that was exported."
    )


def overlap_sentence(story: Story) -> str:
    """What training and evaluation share by design, or nothing."""
    if not (shared := story.planned.get("overlap")):
        return ""
    return (
        f"{shared:,} training problems share {RUN} words in a row with an evaluation problem of the same gym task. "
        "They stay: its templates repeat by design, with new numbers."
    )


def _wrote(story: Story, one: Round) -> str:
    worked = not one.number and (story.recipe.get("teacher") or {}).get("kind") == "worked"
    return "the worked solutions gave" if worked else f"the {one.author} wrote"


def _became(one: Round, text: str) -> str:
    if one.kept is None:
        return ""
    if one.number == 0:
        return f"; {one.kept:,} became training examples"
    new = one.kept - one.repairs - one.injected
    injected = (
        f", {one.injected:,} errors were injected ({counted(one.curation['by_operator'])})" if one.injected else ""
    )
    pairs = one.curation.get("pairs", {}).get("kept", 0)
    paired = f", {pairs:,} made a pair with a right {text}" if pairs else ""
    return f"; {new:,} became new examples, {one.repairs:,} failures became repairs{paired}{injected}"


def _names(sources: Sequence[SourceYield]) -> str:
    return ", ".join(source.source or "(no source)" for source in sources)


def _them(sources: Sequence[SourceYield]) -> str:
    return "it" if len(sources) == 1 else "them"


def _these(sources: Sequence[SourceYield]) -> str:
    return "this" if len(sources) == 1 else "these"
