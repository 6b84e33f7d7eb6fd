"""A probe gives every student the same token ids, whatever form the trained one has learned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pad_ray.decode.transformers_engine import TransformersEngine
from pad_ray.evaluate.job import EvaluateJob
from pad_ray.evaluate.run import _evaluate_here
from pad_ray.recipe import Decode, SandboxSettings
from pad_ray.records import Example, Problem
from tests.tiny_student import make_tiny_student

EXEMPLARS = (Example("e", "solve", "program", "Question: 1?\nProgram:\n", "x = 1\n", "p", "teacher", 0),)


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One chat model: untrained, trained on the plain form, trained on chats."""
    from transformers import AutoTokenizer

    folder = make_tiny_student(tmp_path_factory.mktemp("untrained"), context=2048)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turns = "{% for turn in messages %}[{{ turn.role }}]{{ turn.content }}{% endfor %}"
    tokenizer.chat_template = turns + "{% if add_generation_prompt %}[reply]{% endif %}"
    tokenizer.save_pretrained(folder)
    found = {"untrained": folder}
    for name, card in (("plain", {}), ("chat", {"chat": True})):
        found[name] = Path(shutil.copytree(folder, folder.with_name(name)))
        (found[name] / "pad_ray.json").write_text(json.dumps({"format_version": 1, "thought": "program", **card}))
    return found


def read(student: Path, prompt: Any, probe: bool, root: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The ids that the model is given."""
    given: list[list[int]] = []
    ids_of = TransformersEngine._ids

    def noting(engine: TransformersEngine, text: str) -> list[int]:
        given.append(ids_of(engine, text))
        return given[-1]

    job = EvaluateJob(
        str(root),
        "none",
        str(student),
        f"{student.name}/{prompt}/{probe}",
        Decode(max_tokens=2),
        SandboxSettings(level="unsafe"),
        prompt=prompt,
        exemplars=EXEMPLARS if prompt == "few_shot" else (),
        probe=probe,
    )
    with monkeypatch.context() as patch:
        patch.setattr(TransformersEngine, "_ids", noting)
        list(_evaluate_here([(job, [Problem("p", "What is 3 + 4?", "7")])]))
    return given


@pytest.mark.parametrize("prompt", ["direct", "zero_shot", "few_shot"])
def test_every_student_reads_the_same_ids(
    students: dict[str, Path], prompt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read(students["untrained"], prompt, True, tmp_path, monkeypatch)
    assert before
    for trained in ("plain", "chat"):
        assert read(students[trained], prompt, True, tmp_path, monkeypatch) == before


def test_a_suite_asks_a_trained_student_in_the_form_it_learned(
    students: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {name: read(folder, "zero_shot", False, tmp_path, monkeypatch) for name, folder in students.items()}
    assert len({str(ids) for ids in asked.values()}) == 3
