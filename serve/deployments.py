"""What the Ingress asks: Model (writes programs in batches) and Executor (runs them, one sandbox each).

They scale apart from each other: more Models for more tokens, more Executors for more programs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray import serve as ray_serve

from pad_ray.decode.answering import Ask, Draft, write
from pad_ray.decode.engine import Engine
from pad_ray.decode.loading import load_engine
from pad_ray.outcomes import Outcome
from pad_ray.reasoner import decode_settings, student_thought
from pad_ray.sandbox import Execution, Sandbox
from pad_ray.thoughts.protocol import Thought
from serve.loopback import stay_local

BATCH = 32
STUDENTS_IN_MEMORY = 2
"""Of several students, how many one Model keeps loaded; the one not asked for longest leaves for another."""
QUEUE = 1024
"""Calls that may wait for a deployment. The Ingress lets in less (see `Admission`), so that this is never reached in
the middle of a request."""


@dataclass(frozen=True, slots=True)
class Student:
    """A student in memory."""

    engine: Engine
    """What generates its programs."""
    thought: Thought
    """The form of reasoning it was trained in."""


@ray_serve.deployment(
    num_replicas=1,
    max_ongoing_requests=2 * BATCH,
    max_queued_requests=QUEUE,
    max_constructor_retry_count=2,
    graceful_shutdown_timeout_s=60,
    ray_actor_options={"num_cpus": 1},
)
class Model:
    """Students that write programs; whatever waits when it gets free is decoded together, a batch per student."""

    def __init__(self, students: Mapping[str, str], threads: int | None) -> None:
        """`students`: folders by name, the usual one first. That one is loaded before Ray calls this replica ready."""
        stay_local()
        self._folders, self._threads = students, threads or os.cpu_count()
        # Torch's threads belong to the process, and two students at once would only slow each other down.
        self._turn = asyncio.Lock()
        for folder in students.values():
            student_thought(folder)
        self._usual = next(iter(students))
        self._ready = {self._usual: self._load(students[self._usual])}

    def _load(self, folder: str) -> Student:
        student = Student(load_engine(folder, batch_size=BATCH, threads=self._threads), student_thought(folder))
        # The first call allocates much; better now than in a request.
        warm_up = Ask("What is 1 + 1?", decode_settings("greedy", 1, max_tokens=2))
        write(student.engine, student.thought, [warm_up])
        return student

    @ray_serve.multiplexed(max_num_models_per_replica=STUDENTS_IN_MEMORY)
    async def _student(self, name: str) -> Student:
        """The student of this name, loaded when it is first asked for."""
        if name in self._ready:
            return self._ready.pop(name)
        async with self._turn:
            return await asyncio.to_thread(self._load, self._folders[name])

    # No waiting for company: while one batch is decoded, the next one gathers by itself. Serve makes a batch for each
    # student, and leaves out requests that were cancelled while they waited.
    @ray_serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0)
    async def write(self, asks: list[Ask]) -> list[list[Draft]]:
        """The programs for each question."""
        name = ray_serve.get_multiplexed_model_id() or self._usual
        student: Student = await self._student(name)  # pyright: ignore[reportCallIssue]  Ray's types forget methods
        async with self._turn:
            return await asyncio.to_thread(write, student.engine, student.thought, asks)


@ray_serve.deployment(
    num_replicas=1,
    max_ongoing_requests=2 * BATCH,
    max_queued_requests=QUEUE,
    max_constructor_retry_count=2,
    graceful_shutdown_timeout_s=30,
    # A check waits its turn behind programs that may run until their limit.
    health_check_timeout_s=120,
    # With the Ingress all three fit onto two cores.
    ray_actor_options={"num_cpus": 0.5},
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
