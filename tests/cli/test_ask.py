"""A question on the command line: one program, or several whose values are counted in sight."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_student import make_tiny_student

from pad_ray.thoughts.program import student_prompt
from tests.cli.test_commands import pad_ray

QUESTION = "What is 3 + 4?"


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    taught = (student_prompt(QUESTION), "def solution():\n    return 3 + 4\n")
    return make_tiny_student(tmp_path_factory.mktemp("student"), [taught])


def test_one_program_is_shown_with_its_value(student: Path) -> None:
    asked = pad_ray("ask", QUESTION, "--student", student)
    assert asked.returncode == 0 and "return 3 + 4" in asked.stdout and "\n7   (" in asked.stdout
    assert "values of the programs" not in asked.stdout


def test_several_samples_vote_and_their_values_are_counted(student: Path) -> None:
    asked = pad_ray("ask", QUESTION, "--student", student, "--samples", 3)
    assert asked.returncode == 0 and "values of the programs: 7 x3" in asked.stdout
