"""What others published for students of like size (`published.yaml`): to be set beside ours, never counted with it.

Other questions, other training data, other prompts, other ways of counting: such a figure says where a field stands,
and no difference to it means anything by itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict, Field

_WORDS = re.compile(r"[a-z0-9]+")
_PLAIN = re.compile(r"test|dev|eval|evaluation|main|full|openai|\d+")
CONDITIONS = "Figures of others, under other conditions: other questions, training data, prompts and ways of counting."
"""What has to stand wherever they are shown."""


class Published(BaseModel):
    """One published figure."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(gt=0)
    """Millions of parameters, nominal."""
    benchmark: str = Field(pattern="^(gsm8k|svamp|asdiv|multiarith)$")
    """What was asked."""
    accuracy: float = Field(ge=0, le=100)
    """Percent."""
    model: str = Field(min_length=1)
    """The student."""
    how: str
    """How it was trained or asked; greedy where nothing is said of it."""
    source: str = Field(min_length=1)
    """Where the figure was read."""


@cache
def published() -> tuple[Published, ...]:
    """Every figure of the file, in its order."""
    text = resources.files("pad_ray.evaluate").joinpath("published.yaml").read_text(encoding="utf-8")
    return tuple(Published.model_validate(row) for row in yaml.safe_load(text))


def benchmark_of(suite: str) -> str | None:
    """The benchmark that a suite's name tells: `gsm8k`, `gsm8k-test`, `SVAMP_100`; None where any other word stands.

    `gsm8k-hard` is something else than gsm8k, and so is `gsm8k-train`.
    """
    words = _WORDS.findall(suite.lower())
    found = [word for word in words if word in {one.benchmark for one in published()}]
    others = [word for word in words if word not in found]
    return found[0] if len(found) == 1 and all(_PLAIN.fullmatch(word) for word in others) else None


def nearest(benchmark: str, parameters: int) -> list[Published]:
    """The figures of the published size nearest to a student's, by ratio, best first; sizes within a fifth are one."""
    rows = [one for one in published() if one.benchmark == benchmark]
    if not rows:
        return []

    def apart(size: int) -> float:
        return abs(math.log(size * 1e6 / parameters))

    size = min((one.size for one in rows), key=apart)
    near = [one for one in rows if abs(math.log(one.size / size)) <= math.log(1.2)]
    return sorted(near, key=lambda one: -one.accuracy)


def markdown(rows: Sequence[Published]) -> str:
    """The figures as a Markdown table, for documents."""
    lines = ["| parameters | benchmark | accuracy | model | how | source |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {one.size}M | {one.benchmark} | {one.accuracy:g} % | {one.model} | {one.how} | {one.source} |"
        for one in rows
    ]
    return "\n".join(lines) + "\n"
