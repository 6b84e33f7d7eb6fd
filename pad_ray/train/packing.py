"""Which examples go through the model together: a pure function of lengths, settings and seed.

Rows of like length share a micro-batch and are padded on the right. A causal model never looks to the right, so no
token sees padding or another example and no mask is needed; what padding costs is counted.

>>> plan([5, 9, 5, 9], workers=1, tokens_per_batch=20, micro_tokens=20, epochs=1, seed=0).padding_share
0.0
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pad_ray.train.encode import Encoded

WINDOW = 64
"""Micro-batches whose rows are sorted together: enough for little padding, few enough to keep an epoch well mixed."""

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


def plan(
    lengths: Sequence[int],
    *,
    workers: int,
    tokens_per_batch: int,
    micro_tokens: int,
    epochs: float,
    seed: int,
    max_steps: int | None = None,
) -> Plan:
    """Lay out the training of rows with these lengths.

    A micro-batch holds at most `micro_tokens` tokens, padding included (a longer row stands alone); a step about
    `tokens_per_batch` over all workers.
    """
    capacity = min(micro_tokens, -(-tokens_per_batch // workers))
    per_step = workers * max(1, round(tokens_per_batch / (workers * capacity)))
    stream = list(_micro_batches(lengths, capacity, epochs, seed))
    groups = [stream[at : at + per_step] for at in range(0, len(stream), per_step)][:max_steps]
    used = [batch for group in groups for batch in group]
    computed = sum(len(batch) * max(lengths[i] for i in batch) for batch in used)
    real = sum(lengths[i] for batch in used for i in batch)
    return Plan(tuple(_deal(group, workers) for group in groups), 1 - real / computed if computed else 0.0)


def _micro_batches(lengths: Sequence[int], capacity: int, epochs: float, seed: int) -> Iterator[MicroBatch]:
    """Every epoch in its own order: shuffled, cut into windows, sorted inside them, the micro-batches shuffled."""
    rows = range(len(lengths))
    remaining = max(1, round(epochs * len(rows))) if lengths else 0
    epoch = 0
    while remaining > 0:
        dice = random.Random(f"{seed}/{epoch}")  # seeding with text is the same on every platform
        order = dice.sample(rows, len(rows))[:remaining]
        for window in _windows(order, lengths, capacity * WINDOW):
            batches = list(_cut(sorted(window, key=lengths.__getitem__), lengths, capacity))
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


def _cut(ascending: Sequence[int], lengths: Sequence[int], capacity: int) -> Iterator[MicroBatch]:
    """Fill micro-batches up to the capacity, padding included."""
    batch: list[int] = []
    for row in ascending:
        if batch and (len(batch) + 1) * lengths[row] > capacity:
            yield tuple(batch)
            batch = []
        batch.append(row)
    if batch:
        yield tuple(batch)


def _deal(group: Sequence[MicroBatch], workers: int) -> Step:
    """Give every worker the same number of micro-batches, empty ones where they do not come out even."""
    batches = [*group, *[()] * (-len(group) % workers)]
    return tuple(tuple(batches[worker::workers]) for worker in range(workers))


@dataclass(frozen=True, slots=True)
class Batch:
    """A micro-batch as arrays: B rows padded to length L, N completion tokens."""

    ids: np.ndarray
    """int64 [B, L], padded on the right."""
    where: np.ndarray
    """int64 [N]: positions in the flattened ids whose next token is a completion token."""
    targets: np.ndarray
    """int64 [N]: those next tokens."""


def collate(rows: Sequence[Encoded], batch: MicroBatch, pad: int) -> Batch:
    """Arrays of one micro-batch; the loss sees completions (with their end-of-sequence) and nothing else."""
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
