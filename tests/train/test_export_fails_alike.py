"""An export that is not proved ends the training on every worker: none waits for the first one in a next step."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pad_ray.errors import TrainError
from pad_ray.train import export
from pad_ray.train.encode import Encoded

FAILED = TrainError("the exported student is not the trained one", hint="h")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An export whose proof fails; tells where it was tried."""
    tried: list[str] = []

    def publish(*_: Any) -> None:
        tried.append("published")
        raise FAILED

    monkeypatch.setattr(export, "_publish", publish)
    monkeypatch.setattr(export, "all_scores", lambda *_: torch.zeros(1))
    monkeypatch.setattr(export, "gather", lambda *_, **__: {})
    monkeypatch.setattr(export, "merge_adapters", lambda *_: {})
    return tried


def export_on(rank: int, workers: int, folder: Path) -> None:
    engine: Any = SimpleNamespace(
        global_rank=rank, world_size=workers, device="cpu", module=SimpleNamespace(model=None), eval=lambda: None
    )
    export.export_student(engine, None, Encoded((1, 2), 1), folder, {})


def test_a_failure_of_the_first_worker_is_raised_by_all(
    broken: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []

    def broadcast(box: list[Any], src: int) -> None:
        assert src == 0
        if sent:
            box[:] = sent
        else:
            sent.extend(box)

    monkeypatch.setattr(torch.distributed, "broadcast_object_list", broadcast)
    for rank in (0, 1):
        with pytest.raises(TrainError, match="not the trained one"):
            export_on(rank, 2, tmp_path)
    assert broken == ["published"]


def test_a_single_worker_talks_to_nobody(broken: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.distributed, "broadcast_object_list")
    with pytest.raises(TrainError, match="not the trained one"):
        export_on(0, 1, tmp_path)
    assert broken == ["published"]
