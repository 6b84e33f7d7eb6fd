"""Keys and values of a batch in room with a reserve: a step writes one column, a row that ends gives its place away.

The library's layers copy all they hold at every step, which costs more than the model itself once prompts are long.
Layers of another kind (sliding windows, linear attention) stay the library's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

RESERVE = 64
"""Columns of room beyond those in use, so that only every so many steps copy what is there."""


class RoomyLayer(DynamicLayer):
    """One layer of full attention. `keys` and `values` [rows, heads, columns, width] are the used part of the room."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append columns; returns all keys and values."""
        rows, _, new, _ = key_states.shape
        before = self.get_seq_length()
        after = before + new
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._key_room, self._value_room = _room(key_states, after), _room(value_states, after)
        elif after > self._key_room.shape[2]:
            self._key_room, self._value_room = _larger(self._key_room, after), _larger(self._value_room, after)
        self._key_room[:, :, before:after] = key_states
        self._value_room[:, :, before:after] = value_states
        return self._use(rows, after)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Row `indices[place]` moves to `place`; only rows whose place changes are copied."""
        moved = (indices != torch.arange(len(indices), device=indices.device)).nonzero().squeeze(1)
        for room in (self._key_room, self._value_room):
            room[moved] = room[indices[moved]]
        self._use(len(indices), self.get_seq_length())

    def spread(self, rows: int) -> RoomyLayer:
        """A layer of so many rows, each beginning with the one row of this layer."""
        layer, columns = RoomyLayer(), self.get_seq_length()
        keys, values = (room[:, :, :columns].expand(rows, -1, -1, -1) for room in (self._key_room, self._value_room))
        layer.update(keys, values)
        return layer

    def _use(self, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
        self._key_room, self._value_room = self._key_room[:rows], self._value_room[:rows]
        self.keys, self.values = keys, values = self._key_room[:, :, :columns], self._value_room[:, :, :columns]
        return keys, values


def _room(like: torch.Tensor, columns: int) -> torch.Tensor:
    """Room for so many columns and the reserve, nothing in it yet."""
    return like.new_empty(like.shape[0], like.shape[1], columns + RESERVE, like.shape[3])


def _larger(room: torch.Tensor, columns: int) -> torch.Tensor:
    larger = _room(room, columns)
    larger[:, :, : room.shape[2]] = room
    return larger


def new_cache(config: Any) -> Cache:
    """An empty cache for a model of this configuration."""
    layers = DynamicCache(config=config).layers
    return Cache(layers=[RoomyLayer() if type(layer) is DynamicLayer else layer for layer in layers])


def spread(cache: Cache, rows: int) -> Cache:
    """A cache of so many rows that all begin with the single row of `cache`, which stays as it is."""
    return Cache(layers=[layer.spread(rows) for layer in cache.layers])  # type: ignore[union-attr]


def repeated(cache: Cache, rows: torch.Tensor) -> Cache:
    """A cache whose row `place` begins with row `rows[place]` of `cache`."""
    layers: list[Any] = []
    for old in cache.layers:
        layer = RoomyLayer()
        layer.update(old.keys[rows], old.values[rows])  # type: ignore[index]
        layers.append(layer)
    return Cache(layers=layers)


def joined(caches: Sequence[Cache], columns: int, shared: int) -> Cache:
    """One cache of the rows of several; where one has fewer columns, the gap is behind its first `shared` ones."""
    parts_of_layers = zip(*(cache.layers for cache in caches), strict=True)
    return Cache(layers=[_join(parts, columns, shared) for parts in parts_of_layers])


def _join(parts: Sequence[Any], columns: int, shared: int) -> RoomyLayer:
    def padded(part: torch.Tensor) -> torch.Tensor:
        # Zeros, since what a mask hides is still multiplied: it must be a number.
        gap = part.new_zeros(part.shape[0], part.shape[1], columns - part.shape[2], part.shape[3])
        return torch.cat([part[:, :, :shared], gap, part[:, :, shared:]], dim=2)

    layer = RoomyLayer()
    layer.update(*(torch.cat([padded(getattr(part, name)) for part in parts]) for name in ("keys", "values")))
    return layer


def can_spread(config: Any) -> bool:
    """Whether rows may begin with shared columns and go on behind a gap: a window would count the gap."""
    return all(isinstance(layer, RoomyLayer) for layer in new_cache(config).layers)


def without_gaps(keep: Sequence[int]) -> list[int]:
    """The kept rows in an order that moves few: rows from the back take the places of those that are gone."""
    there = set(keep)
    behind = [row for row in keep if row >= len(keep)]
    return [place if place in there else behind.pop() for place in range(len(keep))]


def common(prompts: Sequence[list[int]]) -> int:
    """How many tokens all prompts begin with, so that at least one of each is left over; 0 for no prompts."""
    if not prompts:
        return 0
    # What the first and the last in order share, all between them share too.
    pairs = list(zip(min(prompts), max(prompts), strict=False))
    same = next((place for place, (one, other) in enumerate(pairs) if one != other), len(pairs))
    return min(same, min(map(len, prompts)) - 1)
