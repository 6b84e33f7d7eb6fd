"""A learned opinion on a program on its way: a linear head on the student's own states (Cobbe et al. 2021, 2110.14168).

At every token the head says how likely it is that what began so ends in the right answer. Cobbe et al. train a whole
second model for this; here the student's weights stay as they are, so that all it costs is to read the program once.
`pad_ray.train.verifier` trains the head, on programs that the student wrote for training questions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pad_ray.decode.scorers import Written
from pad_ray.errors import StudentError

if TYPE_CHECKING:
    import torch

    from pad_ray.decode.transformers_engine import TransformersEngine

FOLDER = "verifier"
"""The folder of the head, in the student's."""
WEIGHTS = "head.safetensors"
CARD = "verifier.json"
FORMAT = 1
"""The `format_version` that this version writes and reads."""
PART = 4096
"""Tokens that are read at once."""


class Verifier:
    """A head beside the engine of its student; a scorer (see `Scorer`)."""

    def __init__(
        self, engine: TransformersEngine, weight: torch.Tensor, bias: torch.Tensor, card: dict[str, Any] | None = None
    ) -> None:
        """`weight` [width] and `bias` [] of the head; `card`: how it was trained, as verifier.json has it."""
        self._engine, self.card = engine, card or {}
        self._weight, self._bias = (part.to(engine.device).float() for part in (weight, bias))

    @classmethod
    def load(cls, engine: TransformersEngine, folder: Path) -> Self:
        """The head in the folder of a student. Raises StudentError if there is none, or not one of this student."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        head = folder / FOLDER
        try:
            card = json.loads((head / CARD).read_text(encoding="utf-8"))
            tensors = load_file(head / WEIGHTS)
            weight, bias = tensors["weight"], tensors["bias"]
        except FileNotFoundError as error:
            raise StudentError(
                f"decode.scorer is verifier, but {folder} holds none.",
                hint="Train one: `pad-ray verifier --student DIR --problems TRAINING_PROBLEMS`.",
            ) from error
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise StudentError(f"{head} is damaged: {error!r}.", hint="Train the verifier again.") from error
        width = engine.model.get_output_embeddings().weight.shape[1]
        if card.get("format_version") != FORMAT or tuple(weight.shape) != (width,):
            raise StudentError(
                f"{head} has format_version {card.get('format_version')} and width {tuple(weight.shape)}; this student"
                f" needs format_version {FORMAT} and width ({width},).",
                hint="Train the verifier again.",
            )
        return cls(engine, weight, bias, card)

    def score(self, paths: Sequence[Written]) -> list[float]:
        """The logarithm of the head's share at the last token of each."""
        import torch

        found = states(self._engine, [path.prompt for path in paths], [path.tokens for path in paths], last=True)
        with torch.inference_mode():
            logits = torch.cat(found) @ self._weight + self._bias
            return torch.nn.functional.logsigmoid(logits).tolist()


def states(
    engine: TransformersEngine, prompts: Sequence[str], written: Sequence[Sequence[int]], *, last: bool = False
) -> list[torch.Tensor]:
    """What the last layer makes of every written token, having read all up to it: [tokens, width] each, in fp32.

    With `last`, only of the last one. Nothing of a prompt is in it.
    """
    import torch

    rows = [(engine.ids(prompt), list(tokens)) for prompt, tokens in zip(prompts, written, strict=True)]
    ordered = sorted(range(len(rows)), key=lambda place: sum(map(len, rows[place])))
    found: dict[int, torch.Tensor] = {}
    while ordered:
        # The longest is the last: as many of its length as fit.
        longest = max(1, sum(map(len, rows[ordered[-1]])))
        places = [ordered.pop() for _ in range(min(len(ordered), max(1, PART // longest)))]
        with torch.inference_mode():
            parts = _read(engine, [rows[place] for place in places])
        found.update(zip(places, (part[-1:] if last else part for part in parts), strict=True))
    return [found[place] for place in range(len(rows))]


def _read(engine: TransformersEngine, rows: Sequence[tuple[list[int], list[int]]]) -> list[torch.Tensor]:
    """The same for rows that are read together, padded on the right, which no earlier token sees."""
    from pad_ray.decode.loading import decoder_start

    start = decoder_start(engine.model)
    if start is None:
        ids, mask = _padded([prompt + tokens for prompt, tokens in rows], engine.device)
        hidden = engine.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        begins = [len(prompt) for prompt, _ in rows]
    else:
        ids, mask = _padded([prompt for prompt, _ in rows], engine.device)
        decoded, _ = _padded([[start, *tokens] for _, tokens in rows], engine.device)
        out = engine.model(
            input_ids=ids, attention_mask=mask, decoder_input_ids=decoded, use_cache=False, output_hidden_states=True
        )
        hidden, begins = out.decoder_hidden_states[-1], [1] * len(rows)
    return [
        hidden[place, begin : begin + len(tokens)].float()
        for place, (begin, (_, tokens)) in enumerate(zip(begins, rows, strict=True))
    ]


def _padded(rows: Sequence[list[int]], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and where a token is, both [rows, columns]."""
    import torch

    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return ids, (torch.arange(width, device=device) < lengths[:, None]).long()
