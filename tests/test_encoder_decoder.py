"""A student of CodeT5's shape goes the way of every student: distilled, its own teacher, measured, and asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_quick import pad_ray
from tiny_student import make_tiny_encoder_decoder

from pad_ray.records import Sample
from pad_ray.storage import Storage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder_decoder")
    shape = make_tiny_encoder_decoder(folder / "shape")
    (shape / "model.safetensors").unlink()  # random: only shape and tokenizer are taken
    small = ["problems.limit=60", "train.epochs=1", "refine.limit=20", "refine.epochs=1", "evaluate.limit=6"]
    small += ["teacher.workers=1", "sandbox.workers=1"]
    pad_ray("distill", "quick", f"student.model={shape}", *small, "--run-dir", folder / "run")
    return folder / "run"


def test_every_stage_of_both_rounds_is_done_and_the_loss_fell(run: Path) -> None:
    status: dict[str, Any] = json.loads(pad_ray("status", run, "--json"))
    assert status["state"] == "done"
    assert {(row["round"], row["n"]) for row in status["accuracy"]} == {(-1, 6), (0, 6), (1, 6)}
    lines = [json.loads(line) for line in (run / "round-0/checkpoint/metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
    assert json.loads((run / "round-0/student/config.json").read_text())["is_encoder_decoder"]


def test_it_was_its_own_teacher(run: Path) -> None:
    samples = list(Storage(run).scan_rows("round-1/samples", Sample))
    assert len(samples) == 20
    assert all(sample.completion_tokens > 0 and not sample.error for sample in samples)


def test_it_can_be_asked_and_its_card_says_how_to_load_it(run: Path) -> None:
    student = run / "round-0" / "student"
    answer = json.loads(pad_ray("ask", "--student", student, "--json", "Solve 12 + 30"))
    assert answer["tokens"] > 0
    assert 'AutoModelForSeq2SeqLM.from_pretrained(".")' in (student / "README.md").read_text()
