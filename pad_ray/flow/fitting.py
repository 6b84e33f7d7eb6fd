"""Whether a student fits what the recipe wants of it, as far as its files tell: asked before a teacher is paid.

Later nothing could be mended, because the student belongs to what makes a run this run. Models are not loaded, so that
the driver needs no torch; what only a loaded one tells, such as the names of layers in a pickle, the training tells.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pad_ray.decode.chat import no_chat_template
from pad_ray.errors import StudentError
from pad_ray.recipe import Recipe
from pad_ray.train.same_tokens import check_kind, check_tokens


def check_fit(recipe: Recipe, student: Path, teacher: Path | None) -> None:
    """Whether the folder of the untrained student, and of the teacher of train.distill, are what the recipe needs.

    Raises StudentError for a student.chat without a template, for a teacher of another kind or with other tokens, and
    for student.lora.targets that fit no layer.
    """
    if recipe.student.chat and not _has_chat_template(student):
        raise no_chat_template(recipe.student.model)
    if teacher and recipe.train.distill:
        _check_teacher(recipe.train.distill.teacher, teacher, student)
    if recipe.student.lora and isinstance(recipe.student.lora.targets, list):
        _check_targets(recipe.student.lora.targets, recipe.student.model, student)


def _has_chat_template(folder: Path) -> bool:
    return any(folder.glob("*chat_template*")) or bool(_settings(folder, "tokenizer_config").get("chat_template"))


def _check_teacher(name: str, teacher: Path, student: Path) -> None:
    theirs, ours = (_settings(folder, "config").get("is_encoder_decoder", False) for folder in (teacher, student))
    check_kind(name, theirs, ours)
    tokenized = all((folder / "tokenizer.json").is_file() for folder in (teacher, student))
    # Tokenizers of the T5 family get more tokens when they are loaded.
    if tokenized and not ours:
        check_tokens(name, _vocabulary(teacher), _vocabulary(student))


def _vocabulary(folder: Path) -> dict[str, int]:
    from tokenizers import Tokenizer

    try:
        tokens = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    except Exception as error:  # the library raises nothing more special
        raise StudentError(f"student.model: {folder / 'tokenizer.json'} cannot be read: {error}") from error
    added = _settings(folder, "tokenizer_config").get("added_tokens_decoder", {})
    return tokens | {token["content"]: int(number) for number, token in added.items()}


def _check_targets(targets: list[str], model: str, folder: Path) -> None:
    names = _weights(folder)
    layers = {name.rpartition(".")[0] for name in names}
    for target in targets:
        if names and not any(layer == target or layer.endswith(f".{target}") for layer in layers):
            ends = sorted({layer.rpartition(".")[2] for layer in layers} - {""})
            raise StudentError(
                f"student.lora.targets: {target!r} fits no layer of {model}. Its layers end in {', '.join(ends[:20])}.",
                hint="Name layers by the end of their names, or take all-linear.",
            )


def _weights(folder: Path) -> list[str]:
    """Names of a model's weights; none where they are pickled in one file."""
    from safetensors import SafetensorError, safe_open

    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if (folder / index).is_file():
            return list(_settings(folder, index.removesuffix(".json")).get("weight_map", {}))
    weights = folder / "model.safetensors"
    if not weights.is_file():
        return []
    try:
        with safe_open(weights, framework="numpy") as file:
            return list(file.keys())
    except SafetensorError as error:
        raise StudentError(f"student.model: {weights} cannot be read: {error}") from error


def _settings(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file of a model folder; empty where there is none."""
    path = folder / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise StudentError(f"student.model: {path} is damaged: {error}.", hint="Download the model again.") from error
