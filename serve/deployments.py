"""The three deployments: Ingress (HTTP), Model (writes programs in batches), Executor (runs them, one sandbox each).

They scale apart from each other: more Models for more tokens, more Executors for more programs.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from fastapi import FastAPI
from ray import serve as ray_serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from pad_ray.decode.answering import Ask, Draft, settle, write
from pad_ray.decode.loading import load_engine
from pad_ray.outcomes import Outcome
from pad_ray.reasoner import decode_settings, student_thought
from pad_ray.records import Answer
from pad_ray.sandbox import Execution, Sandbox
from serve.api import Unavailable, make_api
from serve.loopback import stay_local

BATCH = 32
HEALTH_SECONDS = 5.0


@ray_serve.deployment(
    num_replicas=1,
    max_ongoing_requests=2 * BATCH,
    max_queued_requests=2 * BATCH,
    max_constructor_retry_count=2,
    ray_actor_options={"num_cpus": 1},
)
class Model:
    """A student that writes programs; whatever waits when it gets free is decoded together."""

    def __init__(self, student: str, threads: int | None) -> None:
        stay_local()
        self._thought = student_thought(student)
        self._engine = load_engine(student, batch_size=BATCH, threads=threads or os.cpu_count())
        # The first call loads and allocates much; better before Ray calls this replica healthy than in a request.
        write(self._engine, self._thought, [Ask("What is 1 + 1?", decode_settings("greedy", 1, max_tokens=2))])

    # No waiting for company: while one batch is decoded, the next one gathers by itself.
    @ray_serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0)
    async def write(self, asks: list[Ask]) -> list[list[Draft]]:
        """The programs for each question."""
        return await asyncio.to_thread(write, self._engine, self._thought, asks)


@ray_serve.deployment(
    num_replicas=1,
    max_ongoing_requests=2 * BATCH,
    max_queued_requests=2 * BATCH,
    max_constructor_retry_count=2,
    # A check waits its turn behind programs that may run until their limit.
    health_check_timeout_s=120,
    ray_actor_options={"num_cpus": 1},
)
class Executor:
    """A sandbox whose every program runs in a process of its own, as programs of different users must."""

    def __init__(self, level: str, timeout_s: float) -> None:
        stay_local()
        self._box = Sandbox(level=level, timeout_s=timeout_s).__enter__()

    async def run(self, programs: list[str]) -> list[Execution]:
        """What became of each program."""
        return await asyncio.to_thread(self._box.run, programs, "solo")

    async def report(self) -> dict[str, Any]:
        """The level reached and the layers that make it."""
        return {"level": self._box.level, "layers": self._box.report["layers"], "restarts": self._box.restarts}

    async def check_health(self) -> None:
        """Ray asks now and then; a sandbox that cannot run the simplest program is replaced."""
        [execution] = await self.run(["def solution():\n    return 1\n"])
        if execution.outcome is not Outcome.OK:
            raise RuntimeError(f"the sandbox cannot run a program: {execution.outcome} {execution.detail}")

    def __del__(self) -> None:
        self._box.close()


@ray_serve.deployment(
    num_replicas=1,
    # Far above what the Models take, so that it is this process which refuses, with a readable error.
    max_ongoing_requests=1000,
    max_queued_requests=1000,
    backpressure_config={"status_code": 503, "retry_after_s": 1},
    ray_actor_options={"num_cpus": 0.5},
)
@ray_serve.ingress()
class Ingress:
    """The HTTP front: validates, asks a Model, has the programs run, and settles on an answer."""

    def __init__(self, model: DeploymentHandle, executor: DeploymentHandle, student: str, token: str) -> None:
        stay_local()
        self._model, self._executor = model, executor
        self._student, self._token = student, token

    def __serve_build_asgi_app__(self) -> FastAPI:
        return make_api(self, self._token)

    async def solve(self, asks: list[Ask]) -> list[Answer]:
        """See `Backend.solve`."""
        return list(await asyncio.gather(*(self._solve(ask) for ask in asks)))

    async def _solve(self, ask: Ask) -> Answer:
        started = time.monotonic()
        try:
            drafts: list[Draft] = await self._model.write.remote(ask)
            programs = [draft.program for draft in drafts if draft.flaw is None]
            executions: list[Execution] = await self._executor.run.remote(programs) if programs else []
        except BackPressureError as full:
            raise Unavailable("The service is full; send the request again in a moment.") from full
        except (RayActorError, DeploymentUnavailableError) as gone:
            raise Unavailable("A part of the service is restarting; send the request again in a moment.", 5) from gone
        answer = settle(drafts, executions, time.monotonic() - started)
        if not answer.outcome.trustworthy:
            raise Unavailable("The sandbox failed; send the request again in a moment.", 5)
        return answer

    async def health(self) -> dict[str, Any]:
        """See `Backend.health`."""
        try:
            sandbox = await asyncio.wait_for(self._executor.report.remote(), HEALTH_SECONDS)
        except (TimeoutError, BackPressureError, RayActorError, DeploymentUnavailableError) as gone:
            raise Unavailable("The sandbox does not answer.", 5) from gone
        return {"sandbox": sandbox, "student": self._student}
