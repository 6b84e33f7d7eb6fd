"""A student's folder as tokenizer and model, or one clear sentence why it is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pad_ray.errors import StudentError
from pad_ray.storage import resolve_uri


def load_student(student_dir: str, dtype: str) -> tuple[Any, Any]:
    """Tokenizer and model of a folder, never from the network. Raises StudentError."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = Path(resolve_uri(student_dir))
    hint = "Name a Hugging Face folder: config.json, model.safetensors and the tokenizer's files."
    if not (folder / "config.json").is_file():
        what = "has no config.json" if folder.is_dir() else "is not a folder"
        raise StudentError(f"student: {student_dir!r} {what}.", hint=hint)
    try:
        with _no_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, dtype=dtype, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise StudentError(f"student: {student_dir!r} cannot be loaded: {error}", hint=hint) from error
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        # transformers would fill them with random numbers and only warn.
        raise StudentError(f"student: {student_dir!r} lacks the weights {', '.join(missing[:3])}…", hint=hint)
    return tokenizer, model


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Loading takes a moment; its bars would only litter the terminal of whoever asks one question."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
