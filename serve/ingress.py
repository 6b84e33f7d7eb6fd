"""The HTTP front: lets in what there is room for, asks a Model, has the programs run, and settles on an answer."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import FastAPI
from ray import serve as ray_serve
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from pad_ray.decode.answering import Ask, Choice, Draft, answer_of, choose
from pad_ray.reasoner import student_thoughts
from serve.admission import Admission
from serve.api import make_api
from serve.calls import GONE, concluded, lasting, lasting_stream
from serve.gate import Visit
from serve.loopback import stay_local
from serve.measures import AccessLog, Measures, exposition
from serve.replies import Replied, Unavailable, check
from serve.schema import TOKEN_VARIABLE, Writing
from serve.watching import SANDBOX_FAILED, Event, is_searched, watch, watch_search

HEALTH_SECONDS = 5.0


@ray_serve.deployment(
    num_replicas=1,
    # Far above what is let in, so that it is this process which refuses, with a readable error.
    max_ongoing_requests=1000,
    max_queued_requests=1000,
    backpressure_config={"status_code": 503, "retry_after_s": 1},
    graceful_shutdown_timeout_s=60,
    ray_actor_options={"num_cpus": 0.25},
)
@ray_serve.ingress()
class Ingress:
    """What stands behind the routes; see `Backend`."""

    def __init__(
        self,
        model: DeploymentHandle,
        executor: DeploymentHandle,
        students: Mapping[str, str],
        settings: Mapping[str, Any],
    ) -> None:
        """`students`: folders by name; `settings`: token, capacity, access_log and log_questions, see `Arguments`."""
        stay_local()
        self._model, self._executor = model, executor
        self.students = tuple(students)
        self._thoughts = {name: student_thoughts(folder) for name, folder in students.items()}
        # On a cluster the application is composed on any node, and perhaps not all of them know the token.
        self._settings = {**settings, "token": settings["token"] or os.environ.get(TOKEN_VARIABLE, "")}
        self._admission = Admission(settings["capacity"])
        self._measures, self._log = Measures(), AccessLog(settings["access_log"])
        self._engine = ""

    def __serve_build_asgi_app__(self) -> FastAPI:
        return make_api(self, self._settings["token"], self._settings["log_questions"])

    async def solve(self, student: str, asks: Sequence[Ask]) -> list[Replied]:
        """See `Backend.solve`."""
        for ask in asks:
            check(self._thoughts[student], ask.decode)
        with self._admission.enter(sum(ask.decode.width for ask in asks)):
            tasks = [asyncio.ensure_future(self._solve(student, ask)) for ask in asks]
            try:
                return list(await asyncio.gather(*tasks))
            finally:
                # If one fails, or the client leaves, nobody waits for the others.
                for task in tasks:
                    task.cancel()

    async def _solve(self, student: str, ask: Ask) -> Replied:
        started, model, thoughts = time.monotonic(), self._model_of(student), self._thoughts[student]
        if is_searched(ask):
            choice: Choice = await lasting(lambda: model.search.remote(ask))
        else:
            drafts: list[Draft] = await lasting(lambda: model.write.remote(ask))
            choice = choose(drafts, await concluded(self._executor, thoughts, drafts))
        if not choice.execution.outcome.trustworthy:
            raise Unavailable(SANDBOX_FAILED, 5)
        self._measures.answer(student, choice.execution.outcome, choice.tokens)
        answer = answer_of(choice, time.monotonic() - started, thoughts)
        return Replied(answer, choice.draft.prompt_tokens)

    async def watch(self, student: str, ask: Ask) -> AsyncGenerator[Event, None]:
        """See `Backend.watch`."""
        model, thoughts = self._model_of(student), self._thoughts[student]
        check(thoughts, ask.decode)
        run = partial(concluded, self._executor, thoughts)
        with self._admission.enter(ask.decode.width):
            if is_searched(ask):
                found = lasting_stream(lambda: model.options(stream=True).watch.remote(ask))
                happening = watch_search(ask, found, run, thoughts)
            else:
                happening = watch(ask, lambda: lasting(lambda: model.write.remote(ask)), run, thoughts)
            async with aclosing(happening) as events:
                async for event in events:
                    if event.name == "answer":
                        self._measures.answer(student, event.data["outcome"], event.data["tokens"])
                    yield event

    def _model_of(self, student: str) -> DeploymentHandle:
        # By name Serve prefers the Models that have the student in memory. With one student all have it, and new ones
        # should get their share at once.
        return self._model.options(multiplexed_model_id=student) if len(self.students) > 1 else self._model

    async def health(self) -> dict[str, Any]:
        """See `Backend.health`."""
        try:
            sandbox = await asyncio.wait_for(self._executor.report.remote(), HEALTH_SECONDS)
            # Once is enough, and a busy Model would let a health check wait.
            self._engine = self._engine or await asyncio.wait_for(self._model.engine.remote(), HEALTH_SECONDS)
            return {
                "sandbox": sandbox,
                "engine": self._engine,
                "writes": {name: Writing.of(thoughts) for name, thoughts in self._thoughts.items()},
            }
        except (TimeoutError, BackPressureError, *GONE) as gone:
            raise Unavailable("The sandbox or the student does not answer.", 5) from gone

    async def metrics(self) -> str:
        """See `Backend.metrics`."""
        return await exposition()

    async def drain(self, seconds: float) -> None:
        """Take no more questions, and return when those under way are answered; after so long in any case."""
        await self._admission.drain(seconds)

    def record(self, visit: Visit) -> None:
        """See `Backend.record`."""
        self._measures.visit(visit)
        self._measures.inside(self._admission.inside)
        self._log.write(visit)
