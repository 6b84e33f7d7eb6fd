"""Low-rank adapters (LoRA): put beside a model's weights before training, added to them when it is exported.

The exported student is a plain Hugging Face folder, so whatever reads it (decoding, serving, the next round) knows
nothing of adapters. The next round puts new ones beside the sum. What was added lies in the folder's `adapter`, in
peft's format, for whoever has the model that the training began with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear, LoraLayer
from safetensors.torch import save_file

from pad_ray.errors import StudentError
from pad_ray.recipe_student import Lora

_NAME = "default"
"""peft's name for the only adapter."""


def add_adapters(model: Any, lora: Lora, seed: int) -> None:
    """Freeze a model and put adapters, drawn under the seed, beside its layers; they change no score yet.

    Raises StudentError where no layer has one of the names, or where one shares its weights with another.
    """
    torch.manual_seed(seed)
    model_type = "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"
    config = LoraConfig(
        r=lora.rank,
        # peft takes other numbers too, whatever its annotation says.
        lora_alpha=lora.alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        task_type=model_type,
        base_model_name_or_path=model.name_or_path,
    )
    try:
        inject_adapter_in_model(config, model, _NAME)
    except ValueError as error:
        raise StudentError(
            f"student.lora.targets: {lora.targets!r} fits no layer of this {model.config.model_type} model: {error}",
            hint="Name layers by the end of their names, or take all-linear.",
        ) from error
    adapted = [name for name, _ in _adapted(model)]
    for target in lora.targets if isinstance(lora.targets, list) else ():
        # peft is content with one name that fits.
        if not any(name == target or name.endswith(f".{target}") for name in adapted):
            raise StudentError(
                f"student.lora.targets: {target!r} fits no layer of this {model.config.model_type} model.",
                hint="Name layers by the end of their names, or take all-linear.",
            )
    if others := [name for name, layer in _adapted(model) if not isinstance(layer, Linear)]:
        raise StudentError(
            f"student.lora.targets: {others[0]} is no linear layer, and only those can have an adapter here.",
            hint="Leave it out, or take all-linear.",
        )
    tied = model.get_input_embeddings(), model.get_output_embeddings()
    if any(isinstance(layer, LoraLayer) for layer in tied) and len({_weight(layer) for layer in tied}) == 1:
        raise StudentError(
            f"student.lora.targets: {lora.targets!r} names the output or the embedding of this"
            f" {model.config.model_type} model, which share their weights: an adapter of one cannot be added to both.",
            hint="Leave that layer out.",
        )


def merge_adapters(model: Any, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Turn gathered weights of a model with adapters into those of the plain model, in place; returns the adapters'.

    Those of a model without adapters are left as they are. (peft's own merging would give a worker's parameters new
    memory, of which DeepSpeed knows nothing.)
    """
    for name, layer in _adapted(model):
        if f"{name}.base_layer.weight" in weights:
            up, down = (weights[f"{name}.lora_{side}.{_NAME}.weight"].float() for side in "BA")
            added = layer.scaling[_NAME] * (up @ down)
            weight = weights[f"{name}.base_layer.weight"]
            weight.copy_(weight.float() + (added.T if layer.fan_in_fan_out else added))
    adapters = {name: weights.pop(name) for name in list(weights) if ".lora_" in name}
    for name in [name for name in weights if ".base_layer." in name]:
        weights[name.replace(".base_layer.", ".")] = weights.pop(name)
    return adapters


def save_adapter(model: Any, adapter: dict[str, torch.Tensor], folder: Path) -> None:
    """Write what was added as a folder that `PeftModel.from_pretrained` puts on the model before the training."""
    model.peft_config[_NAME].save_pretrained(folder)
    tensors = {f"base_model.model.{name.replace(f'.{_NAME}', '')}": value for name, value in adapter.items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def merging_error(scores: torch.Tensor, weights: dict[str, torch.Tensor]) -> float:
    """Largest difference of scores that adding adapters to the weights, and so rounding once more, may make."""
    coarsest = max(torch.finfo(weight.dtype).eps for weight in weights.values() if weight.is_floating_point())
    return 10 * max(coarsest, 1e-5) * max(1.0, scores.abs().max().item())


def _adapted(model: Any) -> list[tuple[str, Any]]:
    return [(name, layer) for name, layer in model.named_modules() if isinstance(layer, LoraLayer)]


def _weight(layer: Any) -> Any:
    return (layer.get_base_layer() if isinstance(layer, LoraLayer) else layer).weight
