"""Generation with transformers: batched, left-padded, with a KV cache that rows leave as soon as they end.

An own loop instead of the library's `generate`, because programs differ much in length: a finished row is taken out of
the batch at once, and every row draws from its own seed, so a sample does not depend on what was decoded beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pad_ray.decode.engine import Completion
from pad_ray.errors import StudentError
from pad_ray.storage import resolve_uri

if TYPE_CHECKING:
    import torch

SMALL = 10_000_000
"""Models with fewer weights are decoded on one thread: sharing such small products costs more than it saves, and on a
busy machine, where threads wait for each other at every product, ten times more."""


@dataclass(slots=True)
class _Row:
    """One prompt on its way to a completion."""

    index: int
    prompt: list[int]
    limit: int
    draw: Callable[[], float]
    tokens: list[int] = field(default_factory=list[int])
    stopped: bool = False

    @property
    def done(self) -> bool:
        return self.stopped or len(self.tokens) >= self.limit


class TransformersEngine:
    """A causal language model from a Hugging Face folder, on the GPU if there is one, else on the CPU.

    On the CPU it computes in float32, elsewhere in the precision of the weights. Not safe for calls from two threads.
    """

    def __init__(
        self,
        student_dir: str | Path,
        *,
        batch_size: int = 32,
        device: str | None = None,
        threads: int | None = None,
    ) -> None:
        """`threads` sets torch's threads for the whole process (Ray gives its workers one unless told otherwise).

        Small models take one all the same.

        Raises StudentError if the folder is not there, or not a complete model with its tokenizer.
        """
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        self.batch_size = batch_size
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.student_dir = str(student_dir)
        self._tokenizer, model = _load(self.student_dir, "float32" if self.device == "cpu" else "auto")
        self._model = model.to(self.device).eval()
        self._small = self.device == "cpu" and model.num_parameters() < SMALL
        self._stops = _stop_ids(self._tokenizer, model)
        self._context: int | None = getattr(model.config, "max_position_embeddings", None)

    def generate(
        self, prompts: Sequence[str], *, max_tokens: int, temperature: float, seed: int | Sequence[int]
    ) -> list[Completion]:
        """See `Engine.generate`. Longest prompts are decoded first, so that a batch holds little padding."""
        import torch

        draws = _draws(seed, len(prompts))
        rows: list[_Row] = []
        for index, prompt in enumerate(prompts):
            ids = prompt_ids(self._tokenizer, prompt)
            if not ids:
                raise ValueError(f"prompts[{index}] is empty, and this model's tokenizer adds nothing to start from.")
            room = max_tokens if self._context is None else min(max_tokens, self._context - len(ids))
            rows.append(_Row(index, ids, room, draws[index]))
        waiting = sorted((row for row in rows if not row.done), key=lambda row: len(row.prompt), reverse=True)
        with torch.inference_mode(), _threads(1 if self._small else torch.get_num_threads()):
            for start in range(0, len(waiting), self.batch_size):
                self._complete(waiting[start : start + self.batch_size], temperature)
        return [
            Completion(
                text=self._tokenizer.decode(row.tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False),
                finish_reason="stop" if row.stopped else "length",
                prompt_tokens=len(row.prompt),
                completion_tokens=len(row.tokens),
            )
            for row in rows
        ]

    def _complete(self, rows: list[_Row], temperature: float) -> None:
        """Fill `tokens` of every row of one batch."""
        import torch
        from transformers.cache_utils import DynamicCache

        width = max(len(row.prompt) for row in rows)
        padded = [[0] * (width - len(row.prompt)) + row.prompt for row in rows]
        ids = torch.tensor(padded, device=self.device)
        lengths = torch.tensor([len(row.prompt) for row in rows], device=self.device)
        mask = (torch.arange(width, device=self.device) >= width - lengths[:, None]).long()
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache = DynamicCache(config=self._model.config)
        while True:
            logits = self._model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            chosen = _choose(logits, temperature, rows)
            for row, token in zip(rows, chosen.tolist(), strict=True):
                row.tokens.append(token)
                row.stopped = token in self._stops
            keep = [place for place, row in enumerate(rows) if not row.done]
            if not keep:
                return
            if len(keep) < len(rows):
                rows = [rows[place] for place in keep]
                kept = torch.tensor(keep, device=self.device)
                cache.batch_select_indices(kept)
                chosen, mask, positions = chosen[kept], mask[kept], positions[kept]
            ids = chosen[:, None]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            positions = positions[:, -1:] + 1


def prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    """The token ids a model reads: the prompt alone, behind the BOS token if the tokenizer adds one by itself.

    Nothing is added at the end, as the completion follows there; training encodes its prompts the same way.
    """
    ids: list[int] = tokenizer(prompt, add_special_tokens=False).input_ids
    bos = tokenizer.bos_token_id
    return [bos, *ids] if bos is not None and tokenizer("a").input_ids[0] == bos else ids


def _choose(logits: torch.Tensor, temperature: float, rows: list[_Row]) -> torch.Tensor:
    """The next token of every row: the likeliest, or the one that the row's own draw falls on."""
    import torch

    if temperature == 0:
        return logits.argmax(dim=-1)
    # In double precision: float32 sums over a large vocabulary would shift the rare tokens.
    heights = torch.softmax(logits.double() / temperature, dim=-1).cumsum(dim=-1)
    draws = torch.tensor([row.draw() for row in rows], dtype=heights.dtype, device=heights.device)
    marks = (draws * heights[:, -1])[:, None]
    return torch.searchsorted(heights, marks, right=True).squeeze(1).clamp(max=logits.shape[-1] - 1)


def _draws(seed: int | Sequence[int], count: int) -> list[Callable[[], float]]:
    """A stream of uniform numbers for every prompt."""
    if isinstance(seed, int):
        return [np.random.default_rng([seed, index]).random for index in range(count)]
    if len(seed) != count:
        raise ValueError(f"seed: {len(seed)} seeds for {count} prompts; give one per prompt, or a single number.")
    return [np.random.default_rng(one).random for one in seed]


def _stop_ids(tokenizer: Any, model: Any) -> frozenset[int]:
    """The end token that training appends, and those the model was made with."""
    configured = model.generation_config.eos_token_id
    several = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in (tokenizer.eos_token_id, *several) if token is not None)


def _load(student_dir: str, dtype: str) -> tuple[Any, Any]:
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
def _threads(count: int) -> Iterator[None]:
    """Torch computes on so many threads within the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
