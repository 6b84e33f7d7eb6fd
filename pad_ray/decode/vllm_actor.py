"""What runs where vLLM is: an actor that takes token ids and gives plain rows, and what goes in and out of it.

Here stands no import but vLLM's own, as the actor lives in an environment of other releases. Names and meanings are
those of vLLM 0.33: `LLM.generate`, `SamplingParams`, `RequestOutput`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class VllmActor:
    """A model in vLLM."""

    def __init__(self, model: str, batch_size: int) -> None:
        from vllm import LLM  # type: ignore[import-not-found]  # only in the actor's environment

        self._llm: Any = LLM(model=model, **engine_settings(batch_size))

    def generate(self, prompts: Sequence[Sequence[int]], settings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """One row per prompt, in order; see `row`."""
        from vllm import SamplingParams  # type: ignore[import-not-found]

        outputs = self._llm.generate(
            [{"prompt_token_ids": list(ids)} for ids in prompts],
            [SamplingParams(**one) for one in settings],
            use_tqdm=False,
        )
        return [row(output) for output in outputs]


def engine_settings(batch_size: int) -> dict[str, Any]:
    """What `LLM` is made with, besides the model."""
    return {
        "max_num_seqs": batch_size,
        # All prompts begin alike.
        "enable_prefix_caching": True,
        # At temperature 1, whatever is drawn at.
        "logprobs_mode": "raw_logprobs",
        # Nothing is drawn otherwise than it was asked for here.
        "generation_config": "vllm",
    }


def sampling(
    max_tokens: int, temperature: float, seed: int, stop: str, stop_token_ids: Sequence[int]
) -> dict[str, Any]:
    """The arguments of `SamplingParams`."""
    return {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "seed": seed,
        "stop": [stop] if stop else None,
        "stop_token_ids": list(stop_token_ids),
        # None beside the one that was drawn.
        "logprobs": 0,
    }


def row(output: Any) -> dict[str, Any]:
    """What there is to tell of a `RequestOutput`: tokens, their log-probabilities, and why it ended."""
    [one] = output.outputs
    tokens = list(one.token_ids)
    return {
        "tokens": tokens,
        "logprobs": [told[token].logprob for token, told in zip(tokens, one.logprobs, strict=True)],
        "stopped": one.finish_reason == "stop",
        # A text, where a text ended it; a token or nothing, where the model did.
        "at_stop": isinstance(one.stop_reason, str),
    }
