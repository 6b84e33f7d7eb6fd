"""Sentences as vectors, with a small BERT: the mean of its last states over the tokens, at length 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pad_ray.decode.loading import no_progress_bars

LONGEST = 256
"""Tokens of a text that are read, as the model was trained."""
BATCH = 128
"""Texts read at once."""


class Embedder:
    """A sentence encoder from a Hugging Face folder (all-MiniLM-L6-v2), on the GPU if there is one."""

    def __init__(self, folder: Path, device: str | None = None) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        with no_progress_bars():
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = AutoModel.from_pretrained(folder, local_files_only=True).to(self._device).eval()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of length 1 [texts, width]."""
        ordered = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors: dict[int, np.ndarray] = {}
        for start in range(0, len(ordered), BATCH):
            places = ordered[start : start + BATCH]
            vectors.update(zip(places, self._embed([texts[place] for place in places]), strict=True))
        return np.stack([vectors[place] for place in range(len(texts))])

    def _embed(self, texts: list[str]) -> np.ndarray:
        import torch

        read = self._tokenizer(texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
        with torch.inference_mode():
            states = self._model(**read.to(self._device)).last_hidden_state.float()
        weights = read["attention_mask"][:, :, None].float()
        means = (states * weights).sum(dim=1) / weights.sum(dim=1)
        return torch.nn.functional.normalize(means, dim=1).cpu().numpy()
