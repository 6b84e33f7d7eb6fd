"""Generation with transformers: batched, left-padded, with a KV cache that rows leave as soon as they end.

An own loop instead of the library's `generate`, because programs differ much in length: a finished row is taken out of
the batch at once, and every row draws from its own seed, so a sample does not depend on what was decoded beside it.
What all prompts of a call begin with (exemplars, a system prompt) is read once, and so is a prompt that comes several
times (samples of one question).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pad_ray.decode.engine import Completion
from pad_ray.decode.loading import load_student
from pad_ray.decode.precision import multiplies_bf16
from pad_ray.decode.rows import Row, choose, draws, logprobs
from pad_ray.decode.student_engine import StudentEngine, stop_ids

if TYPE_CHECKING:
    import torch
    from transformers.cache_utils import Cache

SMALL = 10_000_000
"""Models with fewer weights are decoded on one thread: sharing such small products costs more than it saves, and on a
busy machine, where threads wait for each other at every product, ten times more."""
SHARED = 32
"""Prompts that begin with at least so many equal tokens share what the model computed for them."""

PART = 768
"""Tokens of prompts that a CPU reads at once."""


class TransformersEngine(StudentEngine):
    """A causal language model from a Hugging Face folder, on the GPU if there is one, else on the CPU.

    On the CPU it computes in float32, or in bfloat16 where the processor has it and the model is not tiny; elsewhere in
    the precision of the weights. Not safe for calls from two threads.
    """

    name = "transformers"

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
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        tokenizer, model = load_student(str(student_dir), "float32" if self.device == "cpu" else "auto")
        super().__init__(student_dir, tokenizer, batch_size)
        self._small = self.device == "cpu" and model.num_parameters() < SMALL
        if self.device == "cpu" and not self._small and multiplies_bf16("cpu"):
            model = model.to(torch.bfloat16)
        self.model = model.to(self.device).eval()
        """The model itself."""
        self._stops = stop_ids(tokenizer, model.generation_config)
        self._context: int | None = getattr(model.config, "max_position_embeddings", None)

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int,
        temperature: float,
        seed: int | Sequence[int],
        stop: str = "",
        written: Sequence[Sequence[int]] = (),
        wanted: Callable[[int], bool] | None = None,
    ) -> list[Completion]:
        """See `Engine.generate`. Longest prompts are decoded first, so that a batch holds little padding."""
        import torch

        streams = draws(seed, len(prompts))
        rows: list[Row] = []
        for place, ids in enumerate(self._read(prompts)):
            before = list(written[place]) if written else []
            row = Row(ids, self._limit(len(ids), len(before), max_tokens), streams[place], before)
            if wanted:
                row.wanted = partial(wanted, place)
            rows.append(row)
        # Behind their length by their tokens, so that equal ones lie side by side and are read once.
        waiting = sorted((row for row in rows if not row.done), key=lambda row: (len(row.read), row.read), reverse=True)
        with torch.inference_mode(), _threads(1 if self._small else torch.get_num_threads()):
            prefix = self._read_prefix(waiting)
            for start in range(0, len(waiting), self.batch_size):
                self._complete(waiting[start : start + self.batch_size], prefix, temperature, stop)
        return [self._done(row, stop) for row in rows]

    def _limit(self, read: int, before: int, max_tokens: int) -> int:
        """Most tokens to write after so many were read, and so many written: those asked for, or what is left."""
        return max_tokens if self._context is None else min(max_tokens, self._context - read - before)

    def _read_prefix(self, rows: list[Row]) -> Cache | None:
        """The cache of what all prompts begin with, as one row; None where that is not worth it."""
        import torch

        from pad_ray.decode.kv_cache import can_spread, common, new_cache

        prompts = [row.read for row in rows]
        length = common(prompts)
        if len(prompts) < 2 or length < SHARED or not can_spread(self.model.config):
            return None
        cache = new_cache(self.model.config)
        ids = torch.tensor([prompts[0][:length]], device=self.device)
        self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return cache

    def _complete(self, rows: list[Row], prefix: Cache | None, temperature: float, stop: str) -> None:
        """Fill `tokens` of every row of one batch; their prompts begin with the tokens of `prefix`."""
        import torch

        from pad_ray.decode.kv_cache import can_spread, repeated

        read = prefix.get_seq_length() if prefix else 0
        texts = [tuple(row.read[read:]) for row in rows]
        # Equal ones are read once, where the cache can give what was read to several rows.
        distinct = list(dict.fromkeys(texts)) if can_spread(self.model.config) else texts
        width = max(map(len, distinct))
        gaps = [width - len(text) for text in distinct]
        ids = torch.tensor([[0] * gap + [*text] for gap, text in zip(gaps, distinct, strict=True)], device=self.device)
        own = torch.arange(width, device=self.device) >= torch.tensor(gaps, device=self.device)[:, None]
        mask = torch.cat([own.new_ones(len(distinct), read), own], dim=1).long()
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, read:]
        logits, cache = self._read_batch(ids, mask, positions, prefix)
        if len(distinct) < len(rows):
            place = {text: number for number, text in enumerate(distinct)}
            again = torch.tensor([place[text] for text in texts], device=self.device)
            logits, mask, positions, cache = logits[again], mask[again], positions[again], repeated(cache, again)
        while True:
            chosen = choose(logits, temperature, rows)
            keep = self._append(rows, logits, chosen, stop)
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
            logits = self._forward(ids, mask, positions, cache)

    def _append(
        self, rows: list[Row], logits: torch.Tensor, chosen: torch.Tensor, stop: str, column: int | None = None
    ) -> list[int]:
        """Give every row its next token; returns the places of the rows to go on with.

        With `column`, rows that have not yet written again so many tokens that were written before get none.
        """
        from pad_ray.decode.kv_cache import without_gaps

        for row, token, logprob in zip(rows, chosen.tolist(), logprobs(logits, chosen), strict=True):
            if column is not None and column < len(row.written):
                continue
            row.tokens.append(token)
            row.logprobs.append(logprob)
            row.at_stop = self._wrote(row, stop)
            row.stopped = row.at_stop or token in self._stops
        return without_gaps([place for place, row in enumerate(rows) if not row.done])

    def _read_batch(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, prefix: Cache | None
    ) -> tuple[torch.Tensor, Cache]:
        """Read prompts behind the prefix: scores of their next tokens, and the cache.

        A CPU reads few rows at a time, longest first: what they need stays near the core, and gaps are not computed.
        """
        import torch

        from pad_ray.decode.kv_cache import can_spread, joined, new_cache, spread

        config, (rows, width) = self.model.config, ids.shape
        whole = self.device != "cpu" or not can_spread(config)
        part = rows if whole else max(1, PART // width)
        read = mask.shape[1] - width
        scores: list[torch.Tensor] = []
        caches: list[Cache] = []
        for start in range(0, rows, part):
            some = slice(start, start + part)
            gap = 0 if whole else int((mask[some, read:] == 0).sum(dim=1).min())
            cache = spread(prefix, len(ids[some])) if prefix else new_cache(config)
            seen = torch.cat([mask[some, :read], mask[some, read + gap :]], dim=1)
            scores.append(self._forward(ids[some, gap:], seen, positions[some, gap:], cache))
            caches.append(cache)
        return torch.cat(scores), caches[0] if len(caches) == 1 else joined(caches, read + width, read)

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Cache) -> torch.Tensor:
        """Scores [rows, vocabulary] of the tokens that follow `ids` [rows, columns]; the cache grows by them."""
        out = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1]

    def _done(self, row: Row, stop: str) -> Completion:
        return self._completion(
            len(row.prompt),
            row.written,
            row.tokens,
            row.logprobs,
            stop=stop,
            stopped=row.stopped,
            at_stop=row.at_stop,
        )

    def _wrote(self, row: Row, stop: str) -> bool:
        """Whether the text holds the stop text; only its end is looked at, until it seems so."""
        return bool(stop) and stop in self._text(row.tokens[-2 * len(stop) :]) and stop in self._text(row.tokens)


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
