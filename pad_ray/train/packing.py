"""Which examples go through the model together: a pure function of lengths, settings and seed.

Rows of like length share a micro-batch and are padded on the right. A causal model never looks to the right, so no
token sees padding or another example and no mask is needed; what padding costs is counted. An encoder looks both ways:
a mask hides the padding from it, and from the decoder that looks at what was read. Such rows have two lengths, which
few rows share both: they are sought among more rows, and fewer of them go together until little is padding.

>>> plan([5, 9, 5, 9], workers=1, tokens_per_batch=20, micro_tokens=20, epochs=1, seed=0).padding_share
0.0
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pad_ray.train.encode import Encoded

WINDOW = 64
"""Micro-batches whose rows are sorted together: enough for little padding, few enough to keep an epoch well mixed.
Two lengths take its square."""
PADDING = 0.02
"""Most padding for which rows with two lengths share large micro-batches."""

MicroBatch = tuple[int, ...]
"""Rows that go through the model at once, as indices into the training set; empty where a worker only keeps pace."""

Step = tuple[tuple[MicroBatch, ...], ...]
"""One optimizer step: for every worker the same number of micro-batches, because collectives need it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole training, step by step."""

    steps: tuple[Step, ...]
    """Optimizer steps, in order."""
    padding_share: float
    """Share of the tokens put through the model that are padding."""
    tokens: tuple[int, ...]
    """Tokens of every step: what is read and what is written, without padding."""


def plan(
    *sides: Sequence[int],
    workers: int,
    tokens_per_batch: int,
    micro_tokens: int,
    epochs: float,
    seed: int,
    max_steps: int | None = None,
) -> Plan:
    """Lay out the training of rows with these lengths: one sequence, or what is read and what is written, for two.

    A micro-batch holds at most `micro_tokens` tokens, padding included (a longer row stands alone); a step about
    `tokens_per_batch` over all workers, the same rows for any number of them.
    """
    capacity = min(micro_tokens, tokens_per_batch)
    longest = max(map(sum, zip(*sides, strict=True)), default=0)
    while True:
        stream = list(_micro_batches(sides, capacity, epochs, seed))
        # Small micro-batches are seldom full: what they hold in the mean tells how many make a step.
        filled = _tokens(sides, stream) / len(stream) if stream and len(sides) > 1 else capacity
        per_step = max(1, round(tokens_per_batch / filled))
        groups = [stream[at : at + per_step] for at in range(0, len(stream), per_step)][:max_steps]
        padding = _padding_share(sides, [batch for group in groups for batch in group])
        if len(sides) == 1 or padding <= PADDING or capacity // 2 < longest:
            steps = tuple(_deal(group, workers) for group in groups)
            dealt = [batch for step in steps for of in step for batch in of]
            return Plan(steps, _padding_share(sides, dealt), tuple(_tokens(sides, group) for group in groups))
        capacity //= 2


def in_turn(stages: Sequence[tuple[Plan, Sequence[Sequence[int]]]]) -> Plan:
    """One plan after the other, over the rows of all stages together; each with the lengths (sides) of its rows."""
    steps: list[Step] = []
    each: list[int] = []
    shift, held, computed = 0, 0, 0.0
    for course, sides in stages:
        moved = [tuple(tuple(tuple(i + shift for i in micro) for micro in of) for of in step) for step in course.steps]
        steps += moved
        each += course.tokens
        tokens = _tokens(sides, [micro for step in course.steps for of in step for micro in of])
        held, computed, shift = held + tokens, computed + tokens / (1 - course.padding_share), shift + len(sides[0])
    return Plan(tuple(steps), 1 - held / computed if computed else 0.0, tuple(each))


def exactly(steps: int, lay_out: Callable[..., Plan]) -> Plan:
    """A plan of so many steps, over at least one row; `lay_out` is `plan` without `epochs` and `max_steps`."""
    passes = 1
    while len((course := lay_out(epochs=passes, max_steps=steps)).steps) < steps:
        passes *= 2
    return course


def _padding_share(sides: Sequence[Sequence[int]], batches: Sequence[MicroBatch]) -> float:
    computed = sum(len(batch) * sum(max(side[i] for i in batch) for side in sides) for batch in batches if batch)
    return 1 - _tokens(sides, batches) / computed if computed else 0.0


def _tokens(sides: Sequence[Sequence[int]], batches: Sequence[MicroBatch]) -> int:
    return sum(side[i] for side in sides for batch in batches for i in batch)


def _micro_batches(sides: Sequence[Sequence[int]], capacity: int, epochs: float, seed: int) -> Iterator[MicroBatch]:
    """Every epoch in its own order: shuffled, cut into windows, sorted inside them, the micro-batches shuffled."""
    lengths = [sum(row) for row in zip(*sides, strict=True)]
    rows = range(len(lengths))
    remaining = max(1, round(epochs * len(rows))) if lengths else 0
    epoch = 0
    while remaining > 0:
        dice = random.Random(f"{seed}/{epoch}")  # seeding with text is the same on every platform
        order = dice.sample(rows, len(rows))[:remaining]
        for window in _windows(order, lengths, capacity * WINDOW ** len(sides)):
            batches = list(_cut(_alike(window, sides, capacity), sides, capacity))
            dice.shuffle(batches)
            yield from batches
        remaining -= len(order)
        epoch += 1


def _windows(order: Sequence[int], lengths: Sequence[int], tokens: int) -> Iterator[Sequence[int]]:
    """Cut an epoch into parts of equal size with about so many tokens."""
    parts = max(1, round(sum(lengths[i] for i in order) / tokens))
    size = -(-len(order) // parts)
    for at in range(0, len(order), size):
        yield order[at : at + size]


def _alike(window: Sequence[int], sides: Sequence[Sequence[int]], capacity: int) -> list[int]:
    """The rows in an order in which neighbours have about the same lengths."""
    first = sorted(window, key=sides[0].__getitem__)
    if len(sides) == 1:
        return first
    read, written = ([side[i] for i in window] for side in sides)
    batches = (sum(read) + sum(written)) / capacity
    # Strips of what is read, each sorted by what is written: as many as make a micro-batch as wide as it is high.
    strips = max(1, round(math.sqrt(batches * (np.std(read) + 1) / (np.std(written) + 1))))
    size = -(-len(first) // strips)
    rows: list[int] = []
    for number, at in enumerate(range(0, len(first), size)):
        # There and back, so that a micro-batch with rows of two strips is alike too.
        rows += sorted(first[at : at + size], key=sides[1].__getitem__, reverse=bool(number % 2))
    return rows


def _cut(rows: Sequence[int], sides: Sequence[Sequence[int]], capacity: int) -> Iterator[MicroBatch]:
    """Fill micro-batches up to the capacity, padding included."""
    batch: list[int] = []
    longest = [0] * len(sides)
    for row in rows:
        longest = [max(most, side[row]) for most, side in zip(longest, sides, strict=True)]
        if batch and (len(batch) + 1) * sum(longest) > capacity:
            yield tuple(batch)
            batch = []
            longest = [side[row] for side in sides]
        batch.append(row)
    if batch:
        yield tuple(batch)


def _deal(group: Sequence[MicroBatch], workers: int) -> Step:
    """Give every worker the same number of micro-batches, each cut into so many parts that they come out even.

    Where there are too few rows for that, some are empty.
    """
    parts = workers // math.gcd(len(group), workers)
    cuts = [(batch, [len(batch) * part // parts for part in range(parts + 1)]) for batch in group]
    batches = [batch[start:stop] for batch, at in cuts for start, stop in pairwise(at) if start < stop]
    batches += [()] * (-len(batches) % workers)
    return tuple(tuple(batches[worker::workers]) for worker in range(workers))


@dataclass(frozen=True, slots=True)
class Batch:
    """A micro-batch as arrays: B rows padded to length L, N completion tokens."""

    ids: np.ndarray
    """int64 [B, L], padded on the right: whole rows, or of encoder-decoder students the prompts."""
    where: np.ndarray
    """int64 [N]: positions in the flattened ids (or `written`) whose next token is a completion token."""
    targets: np.ndarray
    """int64 [N]: those next tokens."""
    mask: np.ndarray | None = None
    """int64 [B, L]: 1 where the encoder may look; None for a causal student."""
    written: np.ndarray | None = None
    """int64 [B, T]: what the decoder has before it, its start token first; None for a causal student."""

    @property
    def inputs(self) -> tuple[np.ndarray, ...]:
        """What a student is given, in its order: all that is there but the targets."""
        every = (self.ids, self.where, self.mask, self.written)
        return tuple(one for one in every if one is not None)


def collate(rows: Sequence[Encoded], batch: MicroBatch, pad: int, start: int | None = None) -> Batch:
    """Arrays of one micro-batch; the loss sees completions (with their end-of-sequence) and nothing else.

    `start` is the token that a decoder begins with; None for a causal student.
    """
    if start is not None:
        return _collate_apart([rows[i] for i in batch], pad, start)
    length = max((len(rows[i].ids) for i in batch), default=1)
    ids = np.full((max(1, len(batch)), length), pad, dtype=np.int64)
    where = [np.zeros(0, dtype=np.int64)]
    for line, i in enumerate(batch):
        row = rows[i]
        ids[line, : len(row.ids)] = row.ids
        # The token at position p is predicted from position p - 1.
        last = len(row.ids) - 1
        where.append(np.arange(last - row.completion, last) + line * length)
    flat = np.concatenate(where)
    return Batch(ids, flat, ids.reshape(-1)[flat + 1])


def _collate_apart(rows: Sequence[Encoded], pad: int, start: int) -> Batch:
    # A worker without rows keeps pace with one that has no completion.
    read = [row.ids[: row.prompt] for row in rows] or [(pad,)]
    completions = [row.ids[row.prompt :] for row in rows] or [()]
    # Each token is predicted from those before it, the first one from the start token.
    written = _padded([(start, *tokens[:-1]) for tokens in completions], pad)
    lengths = np.array([len(tokens) for tokens in read])
    ids = _padded(read, pad)
    mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
    where = [np.arange(len(tokens)) + line * written.shape[1] for line, tokens in enumerate(completions)]
    targets = np.array([token for tokens in completions for token in tokens], dtype=np.int64)
    return Batch(ids, np.concatenate(where), targets, mask, written)


def _padded(lines: Sequence[Sequence[int]], pad: int) -> np.ndarray:
    """int64 [lines, the longest]."""
    width = max(map(len, lines))
    return np.array([[*line, *[pad] * (width - len(line))] for line in lines], dtype=np.int64)
