"""Training through Ray: watched, stopped with Ctrl-C, resumed, finished, and then never done again."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from training_jobs import MakeJob

from pad_ray.errors import StudentError, TrainError
from pad_ray.students import check_student
from pad_ray.train.launch import train
from pad_ray.train.progress import TrainProgress, read_metrics


def test_launching_imports_neither_torch_nor_ray() -> None:
    code = "import sys, pad_ray.train.launch; print(sorted({'torch', 'ray', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_ctrl_c_stops_a_training_that_goes_on_when_called_again(
    make_job: MakeJob, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(epochs=15, settings={"checkpoint_s": 1e-9})
    seen: list[TrainProgress] = []

    def interrupting(progress: TrainProgress) -> None:
        seen.append(progress)
        if progress.step >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(job, interrupting)
    states = sorted((Path(job.root) / job.checkpoint / "state").glob("step-*"))
    resumed = replace(job, settings=job.settings.model_copy(update={"checkpoint_s": 120}))
    later: list[TrainProgress] = []
    checkpoint = train(resumed, later.append)
    assert checkpoint.steps == later[-1].step == later[-1].steps
    assert min(progress.step for progress in later) >= int(states[0].name.removeprefix("step-")) >= 1
    lines = read_metrics(Path(job.root) / job.checkpoint / "metrics.jsonl")
    assert [line.step for line in lines] == list(range(1, checkpoint.steps + 1))
    assert lines[-1].loss < 0.7 * lines[0].loss

    monkeypatch.setattr("ray.remote", None)  # starting anything would fail
    assert train(resumed) == checkpoint


@pytest.mark.parametrize(
    ("files", "init", "said"),
    [
        (None, "random", "does not exist"),
        ([], "random", r"no config\.json"),
        (["config.json"], "random", r"no tokenizer"),
        (["config.json", "tokenizer.json"], "pretrained", r"no weights \(looked for model\.safetensors.*init: random"),
    ],
)
def test_a_folder_that_is_no_model_is_named_with_what_it_lacks(
    tmp_path: Path, files: list[str] | None, init: str, said: str
) -> None:
    folder = tmp_path / "student"
    if files is not None:
        folder.mkdir()
        for name in files:
            (folder / name).touch()
    with pytest.raises(StudentError, match=said):
        check_student(str(folder), init)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"CPU": 8.0, "GPU": 1.0}, "the cluster has 1 GPUs for training, but train.workers asks for 2"),
        ({"pad_ray_most_cpus": 8.0, "pad_ray_most_gpus": 1.0}, "the cluster has at most 1 GPUs for training"),
    ],
)
def test_a_training_that_must_have_gpus_does_not_wait_for_some_that_never_come(
    node: dict[str, float], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pad_ray.flow.placement import Cluster
    from pad_ray.recipe_train import Train
    from pad_ray.train import launch

    monkeypatch.setattr(launch, "here", lambda: Cluster((node,)))
    assert launch._use_gpu(Train(workers=1)) is True
    assert launch._use_gpu(Train(workers=2)) is False
    with pytest.raises(TrainError, match=said):
        launch._use_gpu(Train(workers=2, use_gpu=True))
