"""On a machine with a CUDA device: bf16 weights under ZeRO 2 and 3. Run with `pytest -m gpu tests/gpu`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pad_ray.recipe_train import Train
from pad_ray.records import Checkpoint, Example
from pad_ray.storage import Storage
from pad_ray.train.launch import TrainJob, train
from pad_ray.train.progress import read_metrics
from tests.tiny_student import make_tiny_encoder_decoder, make_tiny_student

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.usefixtures("ray_session"),
]


@pytest.mark.parametrize("make", [make_tiny_student, make_tiny_encoder_decoder])
@pytest.mark.parametrize("stage", [2, 3])
def test_a_student_of_bf16_weights_learns_and_its_folder_is_the_trained_model(
    tmp_path: Path, make: Any, stage: int
) -> None:
    sums = [
        Example(f"{n}", "solve", "program", f"Q: {n}+1\n", f"return {n + 1}\n", f"{n}", "teacher", 0) for n in range(40)
    ]
    Storage(tmp_path).write_rows("mixture.parquet", Example, sums)
    settings = Train(use_gpu=True, zero_stage=stage, precision="bf16", tokens_per_batch=512, micro_tokens=256)
    # The export is loaded back and compared with what is in memory: an error would be raised.
    checkpoint = train(
        TrainJob(
            root=str(tmp_path),
            round=0,
            mixture="mixture.parquet",
            model=str(make(tmp_path / "shape")),
            init="pretrained",
            checkpoint="checkpoint",
            student="student",
            settings=settings,
            epochs=20,
            tokens=None,
            lr=3e-3,
            seed=1,
        )
    )
    assert isinstance(checkpoint, Checkpoint)
    assert checkpoint.loss < 0.6 * read_metrics(tmp_path / "checkpoint/metrics.jsonl")[0].loss
    from safetensors.torch import load_file

    assert {weight.dtype for weight in load_file(tmp_path / "student/model.safetensors").values()} == {torch.bfloat16}
