"""From a DeepSpeed engine to a Hugging Face folder that is proved to be the same model before it gets its name."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import deepspeed
import torch
from transformers import GenerationConfig

from pad_ray.decode.chat import timeless
from pad_ray.decode.loading import decoder_start, model_class
from pad_ray.errors import TrainError
from pad_ray.flow.students import link_or_copy
from pad_ray.storage import local_copy
from pad_ray.students.parts import DECOMPOSER
from pad_ray.train.encode import Encoded
from pad_ray.train.lora import merge_adapters, merging_error, save_adapter
from pad_ray.train.model import all_scores

TOLERANCE = 1e-4
"""Largest difference between a score of the exported model and of the one in memory."""


def export_student(engine: Any, tokenizer: Any, probe: Encoded, folder: Path, card: dict[str, Any]) -> None:
    """Write the engine's model as a Hugging Face folder; every worker calls this, the first one writes.

    The folder is written under a temporary name, loaded back, and must give the same scores for the row `probe`.
    Raises TrainError on every worker when it does not.
    """
    engine.eval()
    model = engine.module.model
    # With ZeRO 3 both lines are collective: weights lie scattered over the workers.
    with torch.no_grad():
        expected = all_scores(model, probe, engine.device)
    weights = gather(model, keep=engine.global_rank == 0)
    adapter = merge_adapters(model, weights)
    failure: list[TrainError | None] = [None]
    if engine.global_rank == 0:
        try:
            _publish(model, weights, adapter, tokenizer, probe, expected, folder, card)
        except TrainError as error:
            failure = [error]
    if engine.world_size > 1:
        # The others would wait for the first one, in the next step, until the process group gives up.
        torch.distributed.broadcast_object_list(failure, src=0)
    if failure[0]:
        raise failure[0]


def add_decomposer(folder: Path, decomposer: str) -> None:
    """Put what asks the sub-questions of a student into its folder, whole or not at all; `decomposer` is a URI."""
    target = folder / DECOMPOSER
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as work:
        made = Path(work) / DECOMPOSER
        shutil.copytree(local_copy(decomposer), made, copy_function=link_or_copy)
        made.rename(target)


def gather(model: Any, keep: bool) -> dict[str, torch.Tensor]:
    """Whole weights on the CPU, one parameter at a time so that no device needs room for the whole model."""
    weights: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():  # a tied weight appears once
        with deepspeed.zero.GatheredParameters([parameter]):
            if keep:
                weights[name] = parameter.detach().cpu().clone()
    saved = model.state_dict().keys()
    weights.update({name: buffer.cpu() for name, buffer in model.named_buffers() if keep and name in saved})
    return weights


def _publish(
    model: Any,
    weights: dict[str, torch.Tensor],
    adapter: dict[str, torch.Tensor],
    tokenizer: Any,
    probe: Encoded,
    expected: torch.Tensor,
    folder: Path,
    card: dict[str, Any],
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(leftover)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    temporary.chmod(0o755)
    # Greedy unless asked otherwise: sampling defaults that came with the base model would blur every evaluation.
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        decoder_start_token_id=decoder_start(model),
    )
    model.config.eos_token_id, model.config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    model.save_pretrained(temporary, state_dict=weights)
    if card.get("chat"):
        tokenizer.chat_template = timeless(tokenizer)
    tokenizer.save_pretrained(temporary)
    if adapter:
        save_adapter(model, adapter, temporary / "adapter")
    (temporary / "pad_ray.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    _prove(temporary, model.config, probe, expected, merging_error(expected, weights) if adapter else TOLERANCE)
    if folder.exists():
        shutil.rmtree(folder)
    temporary.rename(folder)


def _prove(folder: Path, config: Any, probe: Encoded, expected: torch.Tensor, tolerance: float) -> None:
    """Load the folder back and compare its scores. Raises TrainError."""
    # On the device it was trained on: the same kernels round the same way.
    loaded: Any = model_class(config).from_pretrained(folder, local_files_only=True).eval()
    loaded.to(expected.device)
    with torch.no_grad():
        scores = all_scores(loaded, probe, expected.device)
    difference = (scores - expected).abs().max().item()
    if not difference <= tolerance:
        raise TrainError(
            f"the exported student in {folder} is not the trained one: its scores differ by {difference:.2g}"
            f" (at most {tolerance:.2g} is allowed).",
            hint="The training state is kept; please report the model's architecture.",
        )
