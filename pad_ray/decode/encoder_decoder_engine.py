"""Generation with encoder-decoder students (T5, CodeT5): the prompts are read once, the decoder writes beside them.

Padding is on the right of what the encoder reads, behind a mask; what the decoders write begins in the same column in
every row, so nothing is padded there; what was written before is written once more, word for word. Rows leave the batch
as soon as they end, as in the engine for causal models.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from pad_ray.decode.loading import decoder_start
from pad_ray.decode.rows import Row, choose
from pad_ray.decode.transformers_engine import TransformersEngine

if TYPE_CHECKING:
    import torch
    from transformers.cache_utils import Cache


class EncoderDecoderEngine(TransformersEngine):
    """An encoder-decoder model from a Hugging Face folder; everything else is as in TransformersEngine."""

    def _ids(self, prompt: str) -> list[int]:
        return source_ids(self._tokenizer, [prompt])[0]

    def _limit(self, read: int, before: int, max_tokens: int) -> int:
        """What is read takes no room from what is written; each has the context's length for itself."""
        if self._context is None:
            return max_tokens
        return min(max_tokens, self._context - before) if read <= self._context else 0

    def _read_prefix(self, rows: list[Row]) -> None:
        """Nothing is shared: an encoder looks both ways, so the same beginning is read differently in every prompt."""

    def _complete(self, rows: list[Row], prefix: Cache | None, temperature: float, stop: str) -> None:
        """Fill `tokens` of every row of one batch."""
        import torch

        states, mask = self._encode(rows)
        cache = self._new_cache()
        chosen = torch.tensor([decoder_start(self.model)] * len(rows), device=self.device)
        for column in count():
            logits = self._write(chosen, states, mask, cache)
            chosen = choose(logits, temperature, rows)
            for place, row in enumerate(rows):
                if column < len(row.written):
                    chosen[place] = row.written[column]
            keep = self._append(rows, logits, chosen, stop, column)
            if not keep:
                return
            if len(keep) < len(rows):
                rows = [rows[place] for place in keep]
                kept = torch.tensor(keep, device=self.device)
                cache.self_attention_cache.batch_select_indices(kept)
                cache.cross_attention_cache.batch_select_indices(kept)
                chosen, states, mask = chosen[kept], states[kept], mask[kept]

    def _encode(self, rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
        """What the encoder makes of the prompts [rows, columns, width], and where a token is [rows, columns]."""
        import torch

        width = max(len(row.prompt) for row in rows)
        ids = torch.tensor([row.prompt + [0] * (width - len(row.prompt)) for row in rows], device=self.device)
        lengths = torch.tensor([len(row.prompt) for row in rows], device=self.device)
        mask = (torch.arange(width, device=self.device) < lengths[:, None]).long()
        return self.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state, mask

    def _new_cache(self) -> Any:
        """Keys and values of what is written, which grow, and of what was read, which the first step fills."""
        from transformers.cache_utils import EncoderDecoderCache

        from pad_ray.decode.kv_cache import new_cache

        config = self.model.get_decoder().config
        return EncoderDecoderCache(new_cache(config), new_cache(config))

    def _write(self, last: torch.Tensor, states: torch.Tensor, mask: torch.Tensor, cache: Any) -> torch.Tensor:
        """Scores [rows, vocabulary] of the tokens that follow the `last` ones [rows]; the cache grows by these."""
        out = self.model(
            encoder_outputs=(states,),
            attention_mask=mask,
            decoder_input_ids=last[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        return out.logits[:, -1]


def source_ids(tokenizer: Any, prompts: list[str]) -> list[list[int]]:
    """The token ids that an encoder reads: what the tokenizer makes of each text by itself, its end token included.

    That is how the encoder was pretrained (T5 has an end token only, CodeT5 a beginning too); training reads the same.
    """
    return tokenizer(prompts)["input_ids"]
