"""Calls from one deployment to another, made again where a replica dies or a sandbox fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from itertools import islice
from typing import Any, TypeVar

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from pad_ray.decode.answering import Draft, conclude
from pad_ray.outcomes import Outcome
from pad_ray.sandbox import Execution
from pad_ray.thoughts.several import Forms
from serve.replies import Unavailable

T = TypeVar("T")

ATTEMPTS = 3
RECOVERY_SECONDS = 0.5
RESTARTING = "A part of the service is restarting; send the request again in a moment."
GONE = (RayActorError, DeploymentUnavailableError)
"""A replica died with a request in its hands: what it did is lost, and may be done again by another."""


async def lasting(call: Callable[[], Awaitable[T]]) -> T:
    """What a call returns, made again where its replica dies. Raises Unavailable."""
    lost: Exception | None = None
    for _ in range(ATTEMPTS):
        try:
            return await call()
        except GONE as gone:
            lost = gone
            # Until Serve knows of it too, it would send the next call to the same replica.
            await asyncio.sleep(RECOVERY_SECONDS)
        except (BackPressureError, RayTaskError) as failed:
            raise _told(failed) from failed
    raise Unavailable(RESTARTING, 5) from lost


async def lasting_stream(call: Callable[[], Any]) -> AsyncGenerator[Any, None]:
    """The same for a call that streams: what comes is sent again from the beginning where the replica dies."""
    lost: Exception | None = None
    for _ in range(ATTEMPTS):
        pieces = call()
        try:
            async for piece in pieces:
                yield piece
            return
        except GONE as gone:
            lost = gone
            await asyncio.sleep(RECOVERY_SECONDS)
        except (BackPressureError, RayTaskError) as failed:
            raise _told(failed) from failed
        finally:
            pieces.cancel()
    raise Unavailable(RESTARTING, 5) from lost


def _told(failed: BackPressureError | RayTaskError) -> Exception:
    """A failure as whoever asked is to be told of it."""
    if isinstance(failed, BackPressureError):
        return Unavailable("The service is full; send the request again in a moment.")
    # A replica that found no other one itself says so in the same words.
    return failed.cause if isinstance(failed.cause, Unavailable) else failed


async def execute(executor: DeploymentHandle, programs: list[str]) -> list[Execution]:
    """What became of each program. Raises Unavailable."""
    if not programs:
        return []
    ends: list[Execution] = await lasting(lambda: executor.run.remote(programs))
    if all(end.outcome.trustworthy for end in ends):
        return ends
    # The sandbox failed, not the programs; it starts again by itself, or another one takes them.
    return await lasting(lambda: executor.run.remote(programs))


async def concluded(executor: DeploymentHandle, thoughts: Forms, drafts: Sequence[Draft]) -> list[Execution]:
    """What the drafts without a flaw come to, in their order. Raises Unavailable."""
    programs: list[str] = []

    def ask(wanted: Sequence[str]) -> list[Execution]:
        programs.extend(wanted)
        return [Execution(Outcome.OK)] * len(wanted)

    # First only what there is to execute, then what it means: nothing waits in a thread meanwhile.
    conclude(ask, thoughts, drafts)
    ends = iter(await execute(executor, programs))
    return conclude(lambda wanted: list(islice(ends, len(wanted))), thoughts, drafts)
