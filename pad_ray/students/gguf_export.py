"""A student as a GGUF file, the form that llama.cpp and what is built on it read.

Neither transformers nor the package gguf converts a folder; the package knows the format, the names of the tensors and
the arithmetic of the types. What is left is what makes a Llama a Llama: which rows of the attention belong together,
and how its tokenizer cuts a text. Where that is not known for sure, nothing is written.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pad_ray.errors import StorageError, StudentError, UsageError
from pad_ray.students.parts import decomposer_of

if TYPE_CHECKING:
    import numpy as np

WeightType = Literal["f16", "q8_0", "bf16", "f32"]
"""How the weights are stored: two bytes each, a little more than one, two bytes of larger range, or four."""

_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CUTS: dict[str, dict[str, Any]] = {
    "gpt-2": _BYTES,
    "smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, _BYTES]},
    "llama-bpe": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": _LLAMA_3}, "behavior": "Isolated", "invert": False},
            _BYTES | {"use_regex": False},
        ],
    },
}
"""How a text is cut before its pieces become tokens: llama.cpp's name, and the tokenizer's own words for it."""


def export_gguf(student_dir: str | Path, target: str | Path, weights: str = "f16") -> None:
    """Write a Llama student with its tokenizer and chat template as one GGUF file, whole or not at all.

    Raises UsageError for an unknown type of weights, StudentError for a folder that is no student or one of another
    architecture or tokenizer, StorageError where the file cannot be written.
    """
    from pad_ray.decode.loading import load_student

    if weights not in get_args(WeightType):
        raise UsageError(f"--type: {weights!r} is not {', '.join(get_args(WeightType))}.")
    tokenizer, model = load_student(str(student_dir), "float32")
    if why := unfit(student_dir, tokenizer, model.config):
        raise StudentError(f"student: {why}", hint="Engine transformers decodes it.")
    path = Path(target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as work:
            made = Path(work) / path.name
            _write(made, Path(student_dir), tokenizer, model, weights)
            os.replace(made, path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}.",
            hint="It needs about 2 bytes of room per weight (f16): free some, or name another place.",
        ) from error


def unfit(student_dir: str | Path, tokenizer: Any, config: Any) -> str:
    """Why a student cannot be written, as it would be another model in llama.cpp than here; empty if it can."""
    if decomposer_of(student_dir):
        return f"{str(student_dir)!r} has two models, of which one asks the sub-questions; a GGUF file holds one."
    if config.model_type != "llama":
        return f"{str(student_dir)!r} is a {config.model_type} model; only Llama models can be written as GGUF."
    if (kind := config.rope_parameters["rope_type"]) not in ("default", "llama3"):
        return f"its rope_type {kind!r} cannot be written as GGUF."
    core = _core(tokenizer)
    if core["model"]["type"] != "BPE" or core["normalizer"] is not None or _cut(core) is None:
        known = f"Known are those over bytes in the manner of {', '.join(CUTS)}."
        return f"the tokenizer of {str(student_dir)!r} cuts texts in a way that has no known name in GGUF. {known}"
    return ""


def _core(tokenizer: Any) -> dict[str, Any]:
    return json.loads(tokenizer.backend_tokenizer.to_str())


def _cut(core: dict[str, Any]) -> str | None:
    """The name of the way in which a tokenizer cuts texts. A flag about offsets changes no token."""

    def essential(cut: Any) -> Any:
        if isinstance(cut, dict):
            return {key: essential(value) for key, value in cut.items() if key != "trim_offsets"}
        return [essential(one) for one in cut] if isinstance(cut, list) else cut

    found = essential(core["pre_tokenizer"])
    return next((name for name, cut in CUTS.items() if essential(cut) == found), None)


def _write(path: Path, student_dir: Path, tokenizer: Any, model: Any, weights: str) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    try:
        _add_shape(writer, student_dir.name, model.config, weights)
        _add_tokenizer(writer, student_dir, tokenizer, model.config.vocab_size)
        for name, tensor in _tensors(model):
            kind = _type(tensor, weights)
            writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _add_shape(writer: Any, name: str, config: Any, weights: str) -> None:
    import gguf

    kinds = gguf.LlamaFileType
    files = {"f16": kinds.MOSTLY_F16, "q8_0": kinds.MOSTLY_Q8_0, "bf16": kinds.MOSTLY_BF16, "f32": kinds.ALL_F32}
    writer.add_name(name)
    writer.add_file_type(files[weights])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _add_tokenizer(writer: Any, student_dir: Path, tokenizer: Any, rows: int) -> None:
    """The tokens of all rows of the embedding; some may belong to none."""
    import gguf

    from pad_ray.decode.student_engine import adds_bos

    named = {number: token for token, number in tokenizer.get_vocab().items()}
    added, kinds = tokenizer.added_tokens_decoder, gguf.TokenType
    types: list[int] = []
    for row in range(rows):
        if row in added:
            types.append(kinds.CONTROL if added[row].special else kinds.USER_DEFINED)
        else:
            types.append(kinds.NORMAL if row in named else kinds.UNUSED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_cut(_core(tokenizer)))
    writer.add_token_list([named.get(row, f"[PAD{row}]") for row in range(rows)])
    writer.add_token_types(types)
    special = gguf.SpecialVocab(student_dir, load_merges=True, n_vocab=rows)
    special.add_special_token = {"bos": adds_bos(tokenizer), "eos": False}
    # Its template may be in any of several files.
    special.chat_template = tokenizer.chat_template
    special.add_to_gguf(writer, quiet=True)


def _tensors(model: Any) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """The weights by their names in GGUF, in fp32."""
    import gguf
    import torch

    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for key, parameter in model.named_parameters():  # a tied head is the embedding, and is left out
        tensor = parameter.detach().numpy()
        for part, heads in ((".q_proj.", config.num_attention_heads), (".k_proj.", config.num_key_value_heads)):
            if part in key:
                tensor = _neighbouring(tensor, heads)
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise StudentError(
                f"student: GGUF has no name for its weights {key}.", hint="Engine transformers decodes it."
            )
        yield name, tensor
    if config.rope_parameters["rope_type"] == "llama3":
        frequencies = model.model.rotary_emb.inv_freq
        steps = torch.arange(0, config.head_dim, 2) / config.head_dim
        yield "rope_freqs.weight", (config.rope_parameters["rope_theta"] ** -steps / frequencies).numpy()


def _neighbouring(tensor: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Rows that are rotated together, side by side as in Llama's own code; transformers has them half a head apart."""
    halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
    return halves.swapaxes(1, 2).reshape(tensor.shape)


def _type(tensor: np.ndarray[Any, Any], weights: str) -> Any:
    """How one tensor is stored: norms and biases are small and stay whole, and q8_0 takes rows of whole blocks only."""
    import gguf

    kinds = gguf.GGMLQuantizationType
    if tensor.ndim == 1:
        return kinds.F32
    kind = kinds[weights.upper()]
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    return kind if tensor.shape[-1] % block == 0 else kinds.F16
