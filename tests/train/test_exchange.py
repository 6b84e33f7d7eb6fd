"""Examples handed to other trainers: the texts our own trainer was given, in rows that others read as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pad_ray.errors import UsageError
from pad_ray.exchange import export_examples
from pad_ray.flow.mixing import mixture_of
from pad_ray.manifest import Manifest
from pad_ray.recipe_train import Train
from pad_ray.records import Example
from pad_ray.run import stored_recipe
from pad_ray.storage import Storage
from pad_ray.train.launch import TrainJob
from pad_ray.train.material import Material, read_material
from tests.cli.curated_run import write_curated_run

MIXTURE = "round-{}/checkpoint/mixture.parquet"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Two curated rounds and what each trained on; the second one trained on a replay too."""
    root = write_curated_run(tmp_path / "run")
    storage = Storage(root)
    for round_ in (0, 1):
        storage.write_rows(MIXTURE.format(round_), Example, mixture_of(storage, stored_recipe(storage), round_))
    return root


def trained_on(root: Path, round_: int, tokenizer: Any, chat: bool = False) -> Material:
    """What the trainer makes of the files of a round."""
    recipe = stored_recipe(Storage(root))
    settings = Train(max_length=4096, validation=recipe.train.validation)
    job = TrainJob(
        str(root), round_, MIXTURE.format(round_), "", "", "c", "s", settings, 1, None, 1e-3, seed=0, chat=chat
    )
    return read_material(job, Storage(root), tokenizer, apart=False)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def ids(tokenizer: Any, prompt: str, completion: str) -> tuple[int, list[int]]:
    """How a trainer that takes prompt and completion tokenizes them: apart, and the end token behind."""
    before, after = (tokenizer(text, add_special_tokens=False).input_ids for text in (prompt, completion))
    return len(before), [*before, *after, tokenizer.eos_token_id]


def set_recipe(root: Path, **sections: dict[str, Any]) -> None:
    path = root / "recipe.yaml"
    tree = yaml.safe_load(path.read_text())
    for section, keys in sections.items():
        tree[section] |= keys
    path.write_text(yaml.safe_dump(tree))


@pytest.mark.parametrize("round_", [0, 1])
def test_a_rounds_rows_are_token_for_token_what_its_training_was_given(
    round_: int, run_dir: Path, tmp_path: Path, tokenizer: Any
) -> None:
    handed = export_examples(run_dir, tmp_path / "out.jsonl", round_=round_)
    rows = rows_of(tmp_path / "out.jsonl")
    given = trained_on(run_dir, round_, tokenizer).learned.rows
    assert [(one.prompt, list(one.ids)) for one in given] == [
        ids(tokenizer, row["prompt"], row["completion"]) for row in rows
    ]
    assert handed.examples == len(rows) == len(given) > 1
    if round_:  # its own and a replay of the teacher's
        assert {row["round"] for row in rows} == {0, 1} and handed.by_task["repair"]


def test_a_chat_row_is_the_same_two_texts_as_turns(run_dir: Path, tmp_path: Path, tokenizer: Any) -> None:
    plain, chat = tmp_path / "plain.jsonl", tmp_path / "chat.jsonl"
    export_examples(run_dir, plain, "prompt", round_=1)
    export_examples(run_dir, chat, "chat", round_=1)
    for row, said in zip(rows_of(plain), rows_of(chat), strict=True):
        turns = [
            {"role": "user", "content": row.pop("prompt")},
            {"role": "assistant", "content": row.pop("completion")},
        ]
        assert said.pop("messages") == turns
        assert said == row  # and where it comes from
    # A template renders them to what the trainer reads where student.chat is set.
    tokenizer.chat_template = "{% for m in messages %}{{ m.role + ': ' + m.content + '~' }}{% endfor %}"
    try:
        given = trained_on(run_dir, 1, tokenizer, chat=True).learned.rows
        for one, said in zip(given, rows_of(chat), strict=True):
            asked = tokenizer.apply_chat_template(said["messages"][:1], tokenize=False, add_generation_prompt=True)
            assert ids(tokenizer, asked, said["messages"][1]["content"]) == (one.prompt, list(one.ids))
    finally:
        tokenizer.chat_template = None


def test_without_a_round_every_example_is_there_once_and_tasks_can_be_chosen(run_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    every = export_examples(run_dir, out)
    names = [row["example_id"] for row in rows_of(out)]
    assert len(names) == len(set(names)) == every.examples and set(every.by_task) == {"solve", "repair"}
    repairs = export_examples(run_dir, out, tasks=["repair"])
    assert {row["task"] for row in rows_of(out)} == {"repair"} and repairs.examples == every.by_task["repair"]
    with pytest.raises(UsageError, match=r"--task: .* has no examples of 'answer'"):
        export_examples(run_dir, out, tasks=["answer"])


def test_questions_that_the_run_holds_out_are_kept_apart(run_dir: Path, tmp_path: Path, tokenizer: Any) -> None:
    out, apart = tmp_path / "out.jsonl", tmp_path / "held_out.jsonl"
    with pytest.raises(UsageError, match="nothing is held out"):
        export_examples(run_dir, out, held_out=apart)
    assert not out.exists()
    storage = Storage(run_dir)
    taught = storage.read_rows(MIXTURE.format(0), Example)
    others = [replace(one, problem_id="changed", example_id=f"{one.example_id}!") for one in taught]
    storage.write_rows(MIXTURE.format(0), Example, [*taught, *others])
    set_recipe(run_dir, train={"validation": 0.3})  # which by the hash of its name falls on one of the two problems
    handed = export_examples(run_dir, out, round_=0, held_out=apart)
    material = trained_on(run_dir, 0, tokenizer)
    for path, encoded in ((out, material.learned), (apart, material.held_out)):
        assert [ids(tokenizer, row["prompt"], row["completion"])[1] for row in rows_of(path)] == [
            list(one.ids) for one in encoded.rows
        ]
    assert handed.held_out == len(material.held_out.rows) == len(material.learned.rows) == len(taught)


def test_what_is_not_there_is_told(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing was trained on in round 7"):
        export_examples(run_dir, tmp_path / "out.jsonl", round_=7)
    with pytest.raises(UsageError, match="nowhere is not a run folder: it does not exist"):
        export_examples(tmp_path / "nowhere", tmp_path / "out.jsonl")
    Manifest(recipe_hash="0").save(Storage(tmp_path / "begun"))
    with pytest.raises(UsageError, match="has no examples yet"):
        export_examples(tmp_path / "begun", tmp_path / "out.jsonl")
    with pytest.raises(UsageError, match="--format: 'parquet'"):
        export_examples(run_dir, tmp_path / "out.jsonl", "parquet")


def test_datasets_reads_the_rows_and_texts_survive(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets import load_dataset

    for form in ("prompt", "chat"):
        path = tmp_path / f"{form}.jsonl"
        export_examples(run_dir, path, form)
        read = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
        assert list(read) == rows_of(path)


TRL = """
import sys
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.data_utils import is_conversational
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

student, plain, chat, out = sys.argv[1:]
rows, turns = (load_dataset("json", data_files=one, split="train", cache_dir=out) for one in (plain, chat))
assert not is_conversational(rows[0]) and is_conversational(turns[0])
tokenizer = AutoTokenizer.from_pretrained(student)
tokenizer.pad_token = tokenizer.eos_token
settings = SFTConfig(output_dir=out, max_steps=1, max_length=None, use_cpu=True, bf16=False, report_to="none")
trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(student), args=settings, train_dataset=rows, processing_class=tokenizer
)
trainer.train()
for row in trainer.train_dataset:
    print("row", row["input_ids"], next(place for place, label in enumerate(row["labels"]) if label != -100))
"""


@pytest.mark.slow
def test_trl_trains_on_the_rows_as_our_trainer_does(run_dir: Path, tmp_path: Path, shape: Path, tokenizer: Any) -> None:
    """TRL may lie anywhere on PYTHONPATH; it is no part of the development environment."""
    there = subprocess.run([sys.executable, "-c", "import trl"], capture_output=True)
    if there.returncode:
        pytest.skip("TRL is not installed here (pip install trl)")
    plain, chat = tmp_path / "plain.jsonl", tmp_path / "chat.jsonl"
    export_examples(run_dir, plain, "prompt", round_=1)
    export_examples(run_dir, chat, "chat", round_=1)
    line = [sys.executable, "-c", TRL, str(shape), str(plain), str(chat), str(tmp_path / "trl")]
    said = subprocess.run(line, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    assert said.returncode == 0, said.stderr[-2000:]
    given = trained_on(run_dir, 1, tokenizer).learned.rows
    read = [line for line in said.stdout.splitlines() if line.startswith("row ")]
    assert read == [f"row {list(one.ids)} {one.prompt}" for one in given]
