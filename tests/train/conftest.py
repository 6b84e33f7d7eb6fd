"""A tiny student, and jobs that train it in a fresh run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from from_memory import written_from_memory  # noqa: F401  a fixture
from tiny_student import make_tiny_encoder_decoder, make_tiny_student
from training_jobs import MakeJob, sums

from pad_ray.recipe_train import Train
from pad_ray.records import Example
from pad_ray.storage import Storage
from pad_ray.train.launch import TrainJob


@pytest.fixture(scope="session")
def shape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student folder with random weights: one token per character, two layers."""
    return make_tiny_student(tmp_path_factory.mktemp("shape"))


@pytest.fixture(scope="session")
def encoder_decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of CodeT5's shape."""
    return make_tiny_encoder_decoder(tmp_path_factory.mktemp("encoder_decoder"))


@pytest.fixture(scope="session")
def tokenizer(shape: Path) -> Any:
    from pad_ray.train.model import load_tokenizer

    return load_tokenizer(str(shape))


@pytest.fixture(scope="session")
def process_group() -> Iterator[None]:
    """One group for all trainings of the test process: DeepSpeed remembers the first it meets."""
    import torch

    from pad_ray.train.loop import prepare_process

    threads = torch.get_num_threads()
    prepare_process(local_rank=0, local_workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.distributed, "destroy_process_group", lambda: None)
        yield
    torch.distributed.destroy_process_group()
    torch.set_num_threads(threads)


@pytest.fixture
def one_thread(process_group: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The student is tiny: one thread is fast enough, and sums come out the same every time."""
    import torch

    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    torch.set_num_threads(1)


@pytest.fixture
def make_job(tmp_path: Path, shape: Path) -> MakeJob:
    """A job over a fresh run folder (or a named one): forty sums, one worker, short steps."""

    def make(run: str = "run", examples: list[Example] | None = None, **changes: Any) -> TrainJob:
        root = tmp_path / run
        mixture = "round-0/checkpoint/mixture.parquet"
        Storage(root).write_rows(mixture, Example, sums(40) if examples is None else examples)
        settings = {"tokens_per_batch": 512, "micro_tokens": 256, "use_gpu": False, **changes.pop("settings", {})}
        job: dict[str, Any] = {
            "root": str(root),
            "round": 0,
            "mixture": mixture,
            "model": str(shape),
            "init": "random",
            "checkpoint": "round-0/checkpoint",
            "student": "round-0/student",
            # Runs are compared number by number: in one arithmetic, on whatever processor.
            "settings": Train(**{"precision": "fp32", **settings}),
            "epochs": 2,
            "tokens": None,
            "lr": 3e-3,
            "seed": 1,
            "card": {"format_version": 1, "round": 0},
            "parent": "shape",
        }
        return TrainJob(**{**job, **changes})

    return make
