"""The student as a torch module: where it comes from, its scores of completions, its DeepSpeed engine."""

from __future__ import annotations

from typing import Any

import deepspeed
import torch
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import logging

from pad_ray.decode.loading import decoder_start, has_encoder, model_class
from pad_ray.decode.precision import multiplies_bf16
from pad_ray.errors import StudentError
from pad_ray.train.encode import Encoded
from pad_ray.train.keep_lines import keep_lines
from pad_ray.train.packing import collate

logging.set_verbosity_error()
logging.disable_progress_bar()


class CompletionScores(torch.nn.Module):
    """The scores of every token of the vocabulary where a completion token is to be predicted; see `objectives`.

    They are computed nowhere else: prompts are about half of all tokens, and for a small model with
    a large vocabulary the last layer is most of the work.
    """

    def __init__(self, model: Any, mixed: bool = False) -> None:
        super().__init__()
        self.model = model
        self.start = decoder_start(model)
        """The token that a decoder begins with; None for a causal model."""
        self._mixed = mixed
        self._where: torch.Tensor | None = None
        # In front of the last layer, so that whatever a model does to its scores before (T5 scales what a tied layer
        # reads) and afterwards still happens.
        model.get_output_embeddings().register_forward_pre_hook(self._keep)

    def state_dict(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        """As of any module, without the weights that are not trained: a training state need not hold them."""
        frozen = {name for name, weight in self.named_parameters(remove_duplicate=False) if not weight.requires_grad}
        return {name: value for name, value in super().state_dict(*arguments, **named).items() if name not in frozen}

    def _keep(self, _layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return inputs if self._where is None else (inputs[0].flatten(0, 1)[self._where][None],)

    def forward(self, ids: torch.Tensor, where: torch.Tensor, *apart: torch.Tensor) -> torch.Tensor:
        """ids [B, L], where [N] positions in the flattened ids → scores [N, vocabulary] in fp32.

        Of an encoder-decoder student `apart` is mask [B, L] and written [B, T], and `where` are positions in written.
        """
        self._where = where
        try:
            with torch.autocast(ids.device.type, torch.bfloat16, enabled=self._mixed):
                scores = _scores(self.model, ids, *apart)[0]
        finally:
            self._where = None
        return scores.float()


def all_scores(model: Any, row: Encoded, device: Any) -> torch.Tensor:
    """Scores [1, positions, vocabulary] in fp32 at every position of a row, or of what a decoder writes of it."""
    batch = collate((row,), (0,), 0, decoder_start(model))
    ids, _, *apart = (torch.from_numpy(part).to(device) for part in batch.inputs)
    return _scores(model, ids, *apart).float()


def _scores(model: Any, ids: torch.Tensor, *apart: torch.Tensor) -> torch.Tensor:
    """The scores as the model gives them; `apart` is mask and written (see Batch)."""
    named = dict(zip(("attention_mask", "decoder_input_ids"), apart, strict=False))
    return model(input_ids=ids, **named, use_cache=False).logits


def mixed_precision(precision: str, device: str) -> bool:
    """Whether fp32 weights are multiplied in bf16: asked for `auto`, on a device type that has such products."""
    return precision == "auto" and multiplies_bf16(device)


def load_tokenizer(folder: str) -> Any:
    """The tokenizer of a student folder, with a pad token (its end-of-sequence where it has none of its own).

    That of an encoder-decoder student keeps the lines of a program, also where the one in the folder does not.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return keep_lines(tokenizer) if has_encoder(folder) else tokenizer


def load_model(folder: str, init: str, seed: int, tokens: int) -> Any:
    """The model of a student folder in fp32, or fresh weights of its shape drawn under the seed.

    Raises StudentError when the model cannot be built, lacks weights, or has no room for the tokenizer's `tokens`.
    """
    missing: list[str] = []
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if init == "random":
            torch.manual_seed(seed)
            model: Any = model_class(config).from_config(config, dtype=torch.float32)
        else:
            loaded: Any = model_class(config).from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
            model, info = loaded
            missing = sorted(info["missing_keys"])
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise StudentError(f"student.model: {folder} cannot be loaded as a language model: {error}") from error
    if missing:
        # transformers would fill them with random numbers and go on.
        raise StudentError(
            f"student.model: the weights in {folder} lack {len(missing)} tensors, {missing[0]} first.",
            hint="Export or download the model again.",
        )
    room = model.get_input_embeddings().weight.shape[0]
    if tokens > room:
        raise StudentError(
            f"student.model: the tokenizer in {folder} has {tokens} tokens, the model room for {room}.",
            hint="Tokenizer and model do not belong together.",
        )
    return model


def recompute_activations(model: Any, folder: str) -> None:
    """Have the layers of a model compute their activations again in the backward pass (Chen et al. 2016, 1604.06174).

    Raises StudentError for a model that cannot.
    """
    try:
        model.activation_checkpointing_enable({"use_reentrant": False})
    except ValueError as error:
        raise StudentError(
            f"train.gradient_checkpointing: the model in {folder} has no support for it: {error}",
            hint="Leave it out, or lower train.micro_tokens to save memory.",
        ) from error


def start_engine(model: Any, config: dict[str, Any], lr: float, weight_decay: float, precision: str) -> Any:
    """A DeepSpeed engine that computes the CompletionScores of the model; the process group must be there."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scores = CompletionScores(model, mixed_precision(precision, device))
    trained = [parameter for parameter in scores.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=weight_decay, fused=True)
    engine, *_ = deepspeed.initialize(model=scores, optimizer=optimizer, config=config, dist_init_required=False)
    return engine
