"""What a student is not fit for is said before a teacher is asked, by a process that imports no torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pad_ray.errors import StudentError
from pad_ray.flow.fitting import check_fit
from pad_ray.flow.students import bring_base_student
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe
from pad_ray.run import open_run
from tests.tiny_student import make_tiny_encoder_decoder, make_tiny_student


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"))


@pytest.fixture
def copy(student: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(student, tmp_path / "copy"))


def recipe(student: Path, *, teacher: Path | None = None, **settings: Any) -> Recipe:
    distill = {"distill": {"kind": "gkd", "teacher": str(teacher)}} if teacher else {}
    return parse_recipe(
        {"name": "t", "problems": {"train": "none"}, "student": {"model": str(student), **settings}, "train": distill}
    )


def test_a_chat_without_a_template_is_refused_when_the_student_is_brought(copy: Path, tmp_path: Path) -> None:
    with (
        open_run(recipe(copy, chat=True), str(tmp_path / "run")) as run,
        pytest.raises(StudentError, match=r"student\.chat: .*has no chat template"),
    ):
        bring_base_student(run, print)


@pytest.mark.parametrize("where", ["chat_template.jinja", "tokenizer_config.json"])
def test_a_chat_template_is_found_in_either_place(copy: Path, where: str) -> None:
    text = "{{ messages[0].content }}"
    if where.endswith("json"):
        text = json.dumps({**json.loads((copy / where).read_text()), "chat_template": text})
    (copy / where).write_text(text)
    check_fit(recipe(copy, chat=True), copy, None)


def test_a_teacher_of_other_tokens_or_of_another_kind_is_refused_and_one_with_the_same_is_not(
    student: Path, copy: Path, tmp_path: Path
) -> None:
    check_fit(recipe(student, teacher=copy), student, copy)
    tokens = json.loads((copy / "tokenizer.json").read_text())
    vocabulary = tokens["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (copy / "tokenizer.json").write_text(json.dumps(tokens))
    with (
        open_run(recipe(student, teacher=copy), str(tmp_path / "run")) as run,
        pytest.raises(StudentError, match=r"train\.distill\.teacher: the tokenizer of .* is not the student's"),
    ):
        bring_base_student(run, print)
    other = make_tiny_encoder_decoder(tmp_path / "other")
    with pytest.raises(StudentError, match="is an encoder-decoder model and the student is a causal model"):
        check_fit(recipe(student, teacher=other), student, other)


def test_every_name_of_the_targets_must_fit_a_layer(student: Path, tmp_path: Path) -> None:
    check_fit(recipe(student, lora={"targets": ["q_proj", "mlp.down_proj"]}), student, None)
    with (
        open_run(recipe(student, lora={"targets": ["q_proj", "nonsense"]}), str(tmp_path / "run")) as run,
        pytest.raises(StudentError, match=r"student\.lora\.targets: 'nonsense' fits no layer.* q_proj"),
    ):
        bring_base_student(run, print)


def test_looking_at_a_student_and_its_teacher_imports_no_torch(student: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from pad_ray.flow.fitting import check_fit
from pad_ray.recipe_file import parse_recipe
folder = {str(student)!r}
student = {{"model": folder, "lora": {{"targets": ["q_proj"]}}}}
tree = {{"name": "t", "problems": {{"train": "none"}}, "student": student}}
check_fit(parse_recipe({{**tree, "train": {{"distill": {{"teacher": folder}}}}}}), Path(folder), Path(folder))
print(sorted({{"torch", "transformers"}} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert result.stdout.strip() == "[]", result.stderr
