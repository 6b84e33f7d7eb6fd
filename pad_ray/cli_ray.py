"""What commands with Ray share: the connection, and signals that end them like Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pad_ray.flow.placement import Needs
    from pad_ray.recipe import Recipe

AGAIN_S = 0.1
"""Seconds after which an interruption that got lost is made again."""


@contextmanager
def connected(recipe: Recipe | None = None) -> Iterator[None]:
    """Ray for the length of the block, with room for the actors of a recipe."""
    from pad_ray.flow.cluster import connect

    with connect(stages_of(recipe) if recipe else [{"teacher": 1}]):
        end_like_ctrl_c()  # Ray puts its own handler in when it starts
        yield


def stages_of(recipe: Recipe) -> list[Needs]:
    """The actors of a run that are there at the same time; beside the training workers one task waits for them."""
    return [
        {"teacher": recipe.teacher.workers, "sandbox": recipe.sandbox.workers},
        {"train": recipe.train.least_workers + 1},
    ]


def end_like_ctrl_c() -> None:
    """Let SIGTERM end this process as Ctrl-C does, wherever in the program either of them arrives."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.unraisablehook = _interrupt_again


def _interrupt(number: int, frame: object) -> None:
    # Not one of our errors: libraries between here and main() swallow an Exception, never this.
    raise KeyboardInterrupt


def _interrupt_again(lost: sys.UnraisableHookArgs) -> None:
    # What is raised in a destructor, and Ray has many, Python only reports: the command would go on to its end.
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)
        return
    main = threading.main_thread().ident or 0
    threading.Timer(AGAIN_S, signal.pthread_kill, (main, signal.SIGTERM)).start()
