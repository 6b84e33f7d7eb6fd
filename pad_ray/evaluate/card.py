"""The model card of a trained student: README.md in its folder, in the form the Hugging Face hub reads.

It says what the student was made of and how good it is, with the same figures as the report.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pad_ray.evaluate.folder import UNTRAINED, read_json, rounds
from pad_ray.evaluate.sentences import (
    base_model,
    concluded,
    gain_sentence,
    gains,
    teacher,
    text,
    texts,
    watched_sentence,
)
from pad_ray.evaluate.story import Round, Story, read_story
from pad_ray.evaluate.templating import template
from pad_ray.records import Problem
from pad_ray.storage import Storage
from pad_ray.students.parts import DECOMPOSER
from pad_ray.students.wheel import WHEELS
from pad_ray.thoughts.several import forms_of, in_order, named, names_of, words

if TYPE_CHECKING:
    from jinja2 import Template

NAME = "README.md"
UNSTATED = "not stated"
SHORT = 400
"""Characters of the question that the card shows how to ask."""


def write_card(run_root: str | Path, round_: int) -> str | None:
    """Write the card of a round's student and return its path or URI; None for a round that trained no student.

    The same run gives the same card. Raises StorageError for damaged files.
    """
    storage = Storage(run_root)
    folder = f"round-{round_}/student"
    if not storage.exists(f"{folder}/config.json"):
        return None
    story = read_story(storage)
    text = _front_matter(story, storage) + _template().render(
        **_facts(story, storage, round_),
        story=story,
        recipe=story.recipe,
        rounds=[one for one in story.rounds if one.number <= round_],
        measured=[one for one in story.measured if one.round in (UNTRAINED, round_)],
    )
    name = f"{folder}/{NAME}"
    storage.write(name, text.encode("utf-8", "replace"))
    return storage.where(name)


def write_cards(run_root: str) -> None:
    """Write the card of every student that a run has made; cards are cheap, and always of the latest figures."""
    for round_ in rounds(Storage(run_root)):
        write_card(run_root, round_)


def licences(story: Story, storage: Storage) -> dict[str, str]:
    """Licence of the base model, of the teacher's replies and of the problems, as far as they are stated."""
    recipe = story.recipe
    stated = {part: (recipe.get(part) or {}).get("license") for part in ("student", "teacher", "problems")}
    return {
        "base model": stated["student"] or _base_licence(recipe, storage) or UNSTATED,
        "teacher's replies": stated["teacher"] or UNSTATED,
        "problems": stated["problems"] or UNSTATED,
    }


def _base_licence(recipe: Mapping[str, Any], storage: Storage) -> str:
    """What the base model itself says: its package, or the front matter of its own card."""
    model = str((recipe.get("student") or {}).get("model") or "")
    if (name := model.removeprefix("wheel://")) in WHEELS:
        return WHEELS[name].license
    readme = f"base/student/{NAME}"
    if not storage.exists(readme):
        return ""
    head = re.match(r"---\n(.*?\n)---\n", storage.read(readme).decode("utf-8", "replace"), re.DOTALL)
    try:
        fields = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:
        return ""  # somebody else's card; what it does not say in YAML is not stated
    return str(fields.get("license") or "") if isinstance(fields, dict) else ""


def _front_matter(story: Story, storage: Storage) -> str:
    recipe = story.recipe
    licence = licences(story, storage)["base model"]
    train = (recipe.get("problems") or {}).get("train") or []
    uris = [train] if isinstance(train, str) else train
    datasets = sorted({uri.removeprefix("hf://").partition("?")[0] for uri in uris if uri.startswith("hf://")})
    is_program = recipe.get("thought", "program") == "program"
    fields = {
        "base_model": base_model(recipe),
        "license": "unknown" if licence == UNSTATED else licence.lower(),
        **({"datasets": datasets} if datasets else {}),
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["pad-ray", "program-aided-distillation" if is_program else "distillation", "reasoning", "math"],
    }
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)}---\n"


def _facts(story: Story, storage: Storage, round_: int) -> dict[str, Any]:
    recipe = story.recipe
    thoughts = named(recipe.get("thought", "program"))
    first = forms_of(thoughts)[0]
    own = read_json(storage, f"round-{round_}/student/pad_ray.json")
    shape = read_json(storage, f"round-{round_}/student/config.json")
    # A training question: cards are published, test questions had better not be.
    questions = (problem.question for problem in storage.scan_rows("problems/train", Problem))
    question = next((one for one in questions if len(one) <= SHORT and "`" not in one), "What is 3 + 4?")
    return {
        "title": f"{recipe.get('name', 'run')}, round {round_}",
        "base": base_model(recipe),
        "teacher": teacher(recipe),
        "round": round_,
        # With several forms the example asks for the one that is believed first.
        "thought": names_of(first),
        "thoughts": ", ".join(in_order(recipe.get("thought", "program"))),
        "example": first.NAMES[0],
        "text": text(recipe),
        "texts": texts(recipe),
        "concluded": concluded(recipe),
        "about": words(thoughts).ABOUT,
        "linewise": words(thoughts).LINEWISE,
        "recipe_hash": own.get("recipe_hash") or story.manifest.get("recipe_hash"),
        "ways": len({one.prompt for one in story.measured if one.round == UNTRAINED}),
        "gains": [(one.suite, gain_sentence(one)) for one in gains(story, round_)],
        "licences": licences(story, storage),
        # JSON, because its escapes are Python's too.
        "question": json.dumps(question, ensure_ascii=False),
        "prompt": json.dumps(first.student_prompt("{question}"), ensure_ascii=False),
        "outcomes": _outcomes(story.rounds[: round_ + 1]),
        "sandbox": sorted({one.sandbox for one in story.rounds[: round_ + 1] if one.sandbox}),
        "learning_rate": _learning_rate(recipe, round_),
        "chat": bool(own.get("chat")),
        "decomposer": own.get(DECOMPOSER),
        "has_encoder": bool(shape.get("is_encoder_decoder")),
        "watched": [(one.number, told) for one in story.rounds[: round_ + 1] if (told := watched_sentence(one))],
    }


def _outcomes(rounds: list[Round]) -> list[tuple[str, list[int]]]:
    """Per outcome, how many samples of each round had it."""
    met = sorted(
        {outcome for one in rounds for outcome in one.outcomes}, key=lambda one: -rounds[0].outcomes.get(one, 0)
    )
    return [(outcome.value, [one.outcomes.get(outcome, 0) for one in rounds]) for outcome in met]


def _learning_rate(recipe: Mapping[str, Any], round_: int) -> float | None:
    train, refine = recipe.get("train") or {}, recipe.get("refine") or {}
    return (refine.get("lr") if round_ else None) or train.get("lr")


def _template() -> Template:
    # Markdown escapes nothing by itself: what comes from elsewhere goes through `cell`.
    return template(
        "card.md",
        count=lambda number: f"{number:,}",
        cell=lambda text: re.sub(r"([|<>`\\])", r"\\\1", " ".join(str(text).split())),
    )
