"""What commands with Ray share: the connection, and signals that end them like Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pad_ray.recipe import Recipe


@contextmanager
def connected(recipe: Recipe | None = None) -> Iterator[None]:
    """Ray for the length of the block, with room for the actors of a recipe."""
    from pad_ray.flow.cluster import connect

    actors = max(recipe.teacher.workers + recipe.sandbox.workers, recipe.train.least_workers + 1) if recipe else 1
    with connect(actors):
        end_like_ctrl_c()  # Ray puts its own handler in when it starts
        yield


def end_like_ctrl_c() -> None:
    """Let SIGTERM end this process as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    # Not one of our errors: libraries between here and main() swallow an Exception, never this.
    raise KeyboardInterrupt
