"""A tokenizer made for prose keeps programs once it is mended, and the student that learned with it has it too."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
from training_jobs import MakeJob, sums

from pad_ray.errors import StudentError
from pad_ray.records import Checkpoint
from pad_ray.train.keep_lines import keep_lines
from pad_ray.train.launch import run_training

PROGRAM = "def solution():\n    a = {'x': 3}\n    if a['x'] < 4:\n        b =  a['x'] ** 2\n\n    return b\n"


@pytest.fixture(scope="module")
def prose() -> Any:
    """Like T5's: whole words behind a gap, letters, and neither braces nor line breaks."""
    from transformers import T5Tokenizer

    letters = [letter for letter in string.printable if letter not in "{}<~^`\\" + string.whitespace]
    words = ["▁def", "▁return", "▁How", "▁many", "▁"]
    special = ["<pad>", "</s>", "<unk>"]
    pieces = [*((one, 0.0) for one in special), *((one, -3.0) for one in words), *((one, -8.0) for one in letters)]
    return T5Tokenizer(vocab=pieces, extra_ids=3)


def prose_student(folder: Path, prose: Any, spare: int) -> Path:
    from transformers import T5Config

    sizes: dict[str, Any] = {"d_model": 32, "d_kv": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    T5Config(vocab_size=len(prose) + spare, decoder_start_token_id=0, **sizes).save_pretrained(folder)
    prose.save_pretrained(folder)
    return folder


def test_programs_come_back_as_they_were_and_did_not_before(prose: Any) -> None:
    mended = keep_lines(prose)
    assert "\n" not in prose.decode(prose(PROGRAM).input_ids)
    assert mended.decode(mended(PROGRAM).input_ids, skip_special_tokens=True) == PROGRAM
    everything = "".join(one for one in string.printable if one not in "\r\x0b\x0c")
    assert mended.decode(mended(everything).input_ids, skip_special_tokens=True) == everything


def test_prose_is_tokenized_as_before(prose: Any) -> None:
    mended = keep_lines(prose)
    text = "How many apples? Return 3, (or 4)."
    assert mended(text).input_ids == prose(text).input_ids
    assert (mended.eos_token_id, mended.pad_token_id, mended.bos_token_id) == (1, 0, None)
    assert len(prose) < len(mended) <= len(prose) + 28


def test_a_tokenizer_that_keeps_lines_stays_the_same_object(tokenizer: Any, prose: Any) -> None:
    assert keep_lines(tokenizer) is tokenizer
    mended = keep_lines(prose)
    assert keep_lines(mended) is mended


@pytest.mark.usefixtures("one_thread")
def test_the_trained_student_has_the_mended_tokenizer(make_job: MakeJob, prose: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    job = make_job(model=str(prose_student(tmp_path / "prose", prose, spare=28)), epochs=1)
    assert isinstance(run_training(job, gpu=False), Checkpoint)
    exported = AutoTokenizer.from_pretrained(Path(job.root) / job.student)
    completion = sums(1)[0].completion
    assert exported.decode(exported(completion).input_ids, skip_special_tokens=True) == completion


@pytest.mark.usefixtures("one_thread")
def test_a_model_without_rows_to_spare_is_refused(make_job: MakeJob, prose: Any, tmp_path: Path) -> None:
    job = make_job(model=str(prose_student(tmp_path / "full", prose, spare=0)))
    error = run_training(job, gpu=False)
    assert isinstance(error, StudentError)
    assert f"room for {len(prose)}" in str(error)
