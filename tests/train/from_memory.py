"""What a student in memory writes, kept to be held against what its exported folder writes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from training_jobs import sums

from pad_ray.decode.loading import load_engine
from pad_ray.train import loop
from pad_ray.train.launch import TrainJob

PROMPTS = [example.prompt for example in sums(5)]


def writing_from_memory(config: dict[str, Any]) -> Any:
    """The training of a worker; before the export the model in memory writes a text for each prompt, by the library."""
    from pad_ray.train import export

    job, export_student = config["job"], export.export_student

    def write_and_export(engine: Any, tokenizer: Any, *rest: Any) -> None:
        model = engine.module.model.eval()
        texts: list[str] = []
        for prompt in config["prompts"]:
            ids = tokenizer(prompt, return_tensors="pt").input_ids
            # With ZeRO 3 every worker writes: the weights lie scattered over them.
            written = model.generate(input_ids=ids, max_new_tokens=40, do_sample=False)[0]
            # A causal model repeats what it read.
            new = written if model.config.is_encoder_decoder else written[ids.shape[1] :]
            texts.append(tokenizer.decode(new, skip_special_tokens=True))
        if engine.global_rank == 0:
            (Path(job.root) / "memory.json").write_text(json.dumps(texts))
        export_student(engine, tokenizer, *rest)

    export.export_student = write_and_export
    try:
        return config["loop"](config)
    finally:
        export.export_student = export_student


@pytest.fixture
def written_from_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trainings of this test leave `memory.json` in their run folder."""
    from ray import cloudpickle

    train_loop, module = loop.train_loop, sys.modules[__name__]

    def training(config: dict[str, Any]) -> Any:
        return writing_from_memory({**config, "prompts": PROMPTS, "loop": train_loop})

    monkeypatch.setattr(loop, "train_loop", training)
    cloudpickle.register_pickle_by_value(module)  # workers cannot import it
    yield
    cloudpickle.unregister_pickle_by_value(module)


def assert_writes_as_in_memory(job: TrainJob) -> None:
    """The exported folder gives the same greedy texts."""
    root = Path(job.root)
    done = load_engine(root / job.student).generate(PROMPTS, max_tokens=40, temperature=0, seed=0)
    assert [one.text for one in done] == json.loads((root / "memory.json").read_text())
