"""What a step-wise search may ask besides the likelihood of a line: how well it stands to the question.

`Alignment` is the scorer of the PaD paper (2305.13888, 3.4; the step-to-source alignment of ROSCOE, 2212.07919): it
rewards lines that speak of what the question speaks of, which is not the same as being right. A learned one is in
`pad_ray.decode.verifier`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Embed = Callable[[Sequence[str]], np.ndarray]
"""Texts to vectors of length 1 [texts, width]."""

KEPT = 50_000
"""Most vectors that are kept; beams share nearly all their lines."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, slots=True)
class Written:
    """A program on its way, as a scorer sees it."""

    question: str
    """What is asked."""
    prompt: str
    """What the student read."""
    tokens: tuple[int, ...]
    """Token ids that it wrote since."""
    program: str
    """The program in them, up to the last line."""


class Scorer(Protocol):
    """Anything that has an opinion on programs on their way."""

    @property
    def card(self) -> dict[str, Any]:
        """What is known of it, where it is one of several of its kind; else empty."""
        ...

    def score(self, paths: Sequence[Written]) -> list[float]:
        """A number for each, at most 0 and the logarithm of a share between 0 and 1; the higher, the better."""
        ...


class Alignment:
    """The mean over the lines of log s, with s = max over the question's sentences of (1 + cosine) / 2.

    As in the paper a line is a step, also a comment, and the `def` line is none.
    """

    def __init__(self, embed: Embed) -> None:
        self._embed = embed
        self.card: dict[str, Any] = {}
        self._known: dict[str, np.ndarray] = {}

    def score(self, paths: Sequence[Written]) -> list[float]:
        """See `Scorer.score`; 0 for a path without a step."""
        texts = [(sentences(path.question), code_lines(path.program)) for path in paths]
        self._learn([text for pair in texts for part in pair for text in part])
        return [self._aligned(asked, written) for asked, written in texts]

    def _aligned(self, asked: Sequence[str], written: Sequence[str]) -> float:
        if not asked or not written:
            return 0.0
        cosines = self._vectors(written) @ self._vectors(asked).T
        shares = (1 + cosines.max(axis=1)) / 2
        return float(np.log(np.clip(shares, 1e-6, 1.0)).mean())

    def _vectors(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([self._known[text] for text in texts])

    def _learn(self, texts: Sequence[str]) -> None:
        """Have a vector of every text."""
        if len(self._known) > KEPT:
            self._known.clear()
        if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
            self._known.update(zip(new, self._embed(new), strict=True))


def sentences(question: str) -> list[str]:
    """The sentences of a question."""
    return [part.strip() for part in _SENTENCE_END.split(question) if part.strip()]


def code_lines(program: str) -> list[str]:
    """The steps of a program: its lines without blank ones and without the head of `solution()`."""
    lines = (line.strip() for line in program.splitlines())
    return [line for line in lines if line and not line.startswith("def solution(")]
