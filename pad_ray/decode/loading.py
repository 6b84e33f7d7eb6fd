"""A student's folder as tokenizer and model, or as an engine; or one clear sentence why it is none.

What kind of model it is, its config.json says: one that goes on with a text, or an encoder that reads and a decoder
that writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, overload

from pad_ray.errors import StudentError, UsageError
from pad_ray.recipe import EngineName
from pad_ray.storage import resolve_uri
from pad_ray.students.parts import decomposer_of

if TYPE_CHECKING:
    from pad_ray.decode.student_engine import StudentEngine
    from pad_ray.decode.transformers_engine import TransformersEngine

ENGINES: tuple[EngineName, ...] = get_args(EngineName)
"""What may decode a student."""
_HINT = "Name a Hugging Face folder: config.json, model.safetensors and the tokenizer's files."


@overload
def load_engine(
    student_dir: str | Path, *, batch_size: int = 32, device: str | None = None, threads: int | None = None
) -> TransformersEngine: ...


@overload
def load_engine(
    student_dir: str | Path, engine: str, *, batch_size: int = 32, threads: int | None = None
) -> StudentEngine: ...


def load_engine(
    student_dir: str | Path,
    engine: str = "transformers",
    *,
    batch_size: int = 32,
    device: str | None = None,
    threads: int | None = None,
) -> StudentEngine:
    """The engine of a student: one of ENGINES, or `auto` (see `fitting_engine`). Of a student of two parts it has both.

    `batch_size` prompts are decoded together; `device` is for transformers, `threads` for what computes on a CPU.
    Raises UsageError for an engine that there is not, StudentError for one that cannot be had here or does not decode
    this student, and for what is no student.
    """
    check_engine(engine)
    chosen = fitting_engine(student_dir, batch_size) if engine == "auto" else engine
    if decomposer := decomposer_of(student_dir):
        return _load_parts(student_dir, decomposer, chosen, batch_size=batch_size, device=device, threads=threads)
    if chosen == "llama_cpp":
        from pad_ray.decode.llama_cpp_engine import LlamaCppEngine

        return LlamaCppEngine(student_dir, batch_size=batch_size, threads=threads)
    if chosen == "vllm":
        from pad_ray.decode.vllm_engine import VllmEngine

        return VllmEngine(student_dir, batch_size=batch_size)
    return _transformers(student_dir, batch_size=batch_size, device=device, threads=threads)


def _transformers(student_dir: str | Path, **settings: Any) -> TransformersEngine:
    from pad_ray.decode.encoder_decoder_engine import EncoderDecoderEngine
    from pad_ray.decode.transformers_engine import TransformersEngine

    kind = EncoderDecoderEngine if has_encoder(student_dir) else TransformersEngine
    return kind(student_dir, **settings)


def _load_parts(student_dir: str | Path, decomposer: Path, engine: str, **settings: Any) -> StudentEngine:
    """Both models of a student of two parts, side by side. Raises StudentError for engines that load one."""
    from pad_ray.decode.parts import InParts

    if engine != "transformers":
        raise StudentError(
            f"engine: {engine} decodes one model, and {str(student_dir)!r} has two, of which one asks the"
            " sub-questions.",
            hint="Use engine transformers.",
        )
    return InParts(_transformers(student_dir, **settings), _transformers(decomposer, **settings))


def check_engine(engine: str) -> None:
    """Raises UsageError for what is neither one of ENGINES nor `auto`."""
    if engine not in (*ENGINES, "auto"):
        raise UsageError(f"engine: {engine!r} is not {', '.join(ENGINES)} or auto.")


def fitting_engine(student_dir: str | Path, batch_size: int) -> EngineName:
    """The engine that suits machine, student and load: llama_cpp where a CPU decodes one prompt at a time.

    There it is the faster one; with several prompts at a time, and on GPUs, transformers is. vllm is never chosen by
    itself: it installs gigabytes and takes a whole GPU. Raises StudentError for what is no student.
    """
    import torch

    from pad_ray.decode.llama_cpp_engine import has_llama_cpp
    from pad_ray.students.gguf_export import unfit

    if batch_size > 1 or torch.cuda.is_available() or not has_llama_cpp() or decomposer_of(student_dir):
        return "transformers"
    return "transformers" if unfit(student_dir, *load_tokenizer(str(student_dir))) else "llama_cpp"


def load_student(student_dir: str, dtype: str) -> tuple[Any, Any]:
    """Tokenizer and model of a folder, never from the network. Raises StudentError."""
    from safetensors import SafetensorError

    tokenizer, config = load_tokenizer(student_dir)
    folder, kind = resolve_uri(student_dir), model_class(config)
    try:
        with no_progress_bars():
            loaded: Any = kind.from_pretrained(folder, local_files_only=True, dtype=dtype, output_loading_info=True)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise StudentError(f"student: {student_dir!r} cannot be loaded: {error}", hint=_HINT) from error
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        # transformers would fill them with random numbers and only warn.
        raise StudentError(f"student: {student_dir!r} lacks the weights {', '.join(missing[:3])}…", hint=_HINT)
    return tokenizer, model


def load_tokenizer(student_dir: str) -> tuple[Any, Any]:
    """Tokenizer and configuration of a folder, never from the network. Raises StudentError."""
    from transformers import AutoTokenizer

    config = _config(student_dir)
    try:
        return AutoTokenizer.from_pretrained(resolve_uri(student_dir), local_files_only=True), config
    except (OSError, ValueError, KeyError) as error:
        raise StudentError(f"student: {student_dir!r} cannot be loaded: {error}", hint=_HINT) from error


def has_encoder(student_dir: str | Path) -> bool:
    """Whether the model of a folder reads with an encoder and writes with a decoder. Raises StudentError."""
    return _config(str(student_dir)).is_encoder_decoder


def model_class(config: Any) -> Any:
    """The class of transformers that loads and draws models of this configuration."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


def decoder_start(model: Any) -> int | None:
    """The token that a decoder is given before it writes the first one; None for a model without an encoder.

    Raises StudentError if an encoder-decoder model does not name it.
    """
    if not model.config.is_encoder_decoder:
        return None
    for settings in (model.generation_config, model.config):
        if (start := getattr(settings, "decoder_start_token_id", None)) is not None:
            return start
    raise StudentError(
        f"student: the {model.config.model_type} model names no decoder_start_token_id, so its decoder cannot begin.",
        hint="Add it to config.json: in the T5 family it is the id of the padding token.",
    )


def _config(student_dir: str) -> Any:
    from transformers import AutoConfig

    folder = Path(resolve_uri(student_dir))
    if not (folder / "config.json").is_file():
        what = "has no config.json" if folder.is_dir() else "is not a folder"
        raise StudentError(f"student: {student_dir!r} {what}.", hint=_HINT)
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise StudentError(f"student: {student_dir!r} cannot be loaded: {error}", hint=_HINT) from error


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Loading takes a moment; its bars would only litter the terminal of whoever asks one question."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
