"""Training states of another number of workers: DeepSpeed's shards are put together and cut anew.

With ZeRO every worker saves its part of the optimizer, so a state fits as many workers as wrote it. For any other
number it becomes a universal checkpoint (Lian et al. 2024, 2406.18820): a file for each weight and each moment, of
which every worker reads its part. Without ZeRO all workers save the same, and nothing is to be done.
"""

from __future__ import annotations

import contextlib
import io
import socket
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from deepspeed.checkpoint.ds_to_universal import main as make_universal


def load_state(engine: Any, folder: Path, tag: str) -> tuple[str | None, dict[str, Any]]:
    """What `engine.load_checkpoint` returns, for a state of any number of workers; every worker calls this."""
    shards = len(list((folder / tag).glob("*_optim_states.pt")))
    if shards in (0, engine.world_size):
        # Weights that are not trained are in no state.
        whole = all(parameter.requires_grad for parameter in engine.module.parameters())
        return engine.load_checkpoint(str(folder), tag=tag, load_module_strict=whole)
    with _universal(folder / tag, tag) as universal:
        # The key `checkpoint.load_universal` of DeepSpeed's configuration, which has to be settled before anybody
        # knows which state there is to load.
        engine._config.load_universal_checkpoint = True
        try:
            return engine.load_checkpoint(str(universal), tag=tag)
        finally:
            engine._config.load_universal_checkpoint = False


@contextlib.contextmanager
def _universal(state: Path, tag: str) -> Iterator[Path]:
    """The folder of a state's universal form, which one worker of each machine makes and the others read."""
    with tempfile.TemporaryDirectory(prefix="pad-ray-state-") as mine:
        machines: list[Any] = [(socket.gethostname(), mine)]
        if torch.distributed.get_world_size() > 1:
            machines *= torch.distributed.get_world_size()
            torch.distributed.all_gather_object(machines, (socket.gethostname(), mine))
        folder = next(where for machine, where in machines if machine == socket.gethostname())
        if folder == mine:
            _convert(state, Path(mine) / tag)
        _wait_for_all()
        yield Path(folder)
        _wait_for_all()


def _convert(state: Path, target: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        make_universal(
            Namespace(
                input_folder=str(state),
                output_folder=str(target),
                num_extract_workers=1,
                num_merge_workers=1,
                keep_temp_folder=False,
                strict=True,
                inject_missing_state=True,
            )
        )


def _wait_for_all() -> None:
    if torch.distributed.get_world_size() > 1:
        torch.distributed.barrier()
