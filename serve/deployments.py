"""What the Ingress asks: Model (writes programs in batches) and Executor (runs them, one sandbox each).

They scale apart from each other: more Models for more tokens, more Executors for more programs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from ray import serve as ray_serve
from ray.serve.handle import DeploymentHandle

from pad_ray.decode.answering import Ask, Choice, Draft, write
from pad_ray.decode.engine import Engine
from pad_ray.decode.loading import load_engine
from pad_ray.decode.solving import solve
from pad_ray.decode.stepwise import Standing, Watch
from pad_ray.outcomes import Outcome
from pad_ray.reasoner import decode_settings, student_thoughts
from pad_ray.sandbox import Execution, Sandbox
from pad_ray.thoughts.several import Forms
from serve.calls import execute
from serve.errands import Attended, Errand, errand
from serve.loopback import stay_local
from serve.merging import Merging
from serve.replies import Unavailable
from serve.watching import SANDBOX_FAILED

BATCH = 32
"""Programs that are decoded together."""
ONGOING = 2 * BATCH
"""Calls that a replica works on at once: one batch is decoded, another one gathers."""
STUDENTS_IN_MEMORY = 2
"""Of several students, how many one Model keeps loaded; the one not asked for longest leaves for another."""
QUEUE = 1024
"""Calls that may wait for a deployment. The Ingress lets in less (see `Admission`), so that this is never reached in
the middle of a request."""
NICENESS = 10
"""How far a Model stands back: what lets in, turns away and executes needs little of a core, but at once."""
SPINS = "10000"
"""How often a thread that computes looks for the next piece of work before it goes to sleep: a fraction of a
millisecond. In other workers of ours it sleeps at once, which costs as much again where it is woken for every step."""


@dataclass(frozen=True, slots=True)
class Student:
    """A student in memory."""

    engine: Engine
    """What generates its programs."""
    engine_name: str
    """What that is called, where one chooses."""
    thoughts: Forms
    """The form of reasoning it was trained in, or the forms."""


@ray_serve.deployment(
    num_replicas=1,
    max_ongoing_requests=ONGOING,
    max_queued_requests=QUEUE,
    max_constructor_retry_count=2,
    graceful_shutdown_timeout_s=60,
    ray_actor_options={"num_cpus": 1},
)
class Model:
    """Students that write programs; whatever waits when one gets free is decoded together."""

    def __init__(
        self, students: Mapping[str, str], threads: int | None, engine: str, executor: DeploymentHandle
    ) -> None:
        """`students`: folders by name, the usual one first. That one is loaded before Ray calls this replica ready."""
        stay_local()
        os.nice(NICENESS)
        # Read when torch is first imported, which is below.
        os.environ["GOMP_SPINCOUNT"] = SPINS
        self._folders, self._threads, self._engine = students, threads or os.cpu_count(), engine
        self._executor = executor
        # One thread for all students: two at once would slow each other down, and every thread that computes brings
        # helpers of its own, which go to sleep between any two steps as soon as they are more than the cores.
        self._desk = ThreadPoolExecutor(1, "engine")
        self._hands = ThreadPoolExecutor(ONGOING, "ask")
        for folder in students.values():
            student_thoughts(folder)
        self._usual = next(iter(students))
        self._ready = {self._usual: self._load(students[self._usual])}
        self._engine_name = self._ready[self._usual].engine_name

    def _load(self, folder: str) -> Student:
        load = partial(load_engine, folder, self._engine, batch_size=BATCH, threads=self._threads)
        engine = self._desk.submit(load).result()
        student = Student(Merging(engine, BATCH, self._desk), engine.name, student_thoughts(folder))
        # The first call allocates much; better now than in a request.
        warm_up = Ask("What is 1 + 1?", decode_settings("greedy", 1, max_tokens=2))
        write(student.engine, student.thoughts, [warm_up])
        return student

    @ray_serve.multiplexed(max_num_models_per_replica=STUDENTS_IN_MEMORY)
    async def _student(self, name: str) -> Student:
        """The student of this name, loaded when it is first asked for."""
        if name in self._ready:
            return self._ready.pop(name)
        return await asyncio.to_thread(self._load, self._folders[name])

    async def _asked(self) -> Student:
        """The student that the request names."""
        name = ray_serve.get_multiplexed_model_id() or self._usual
        return await self._student(name)  # pyright: ignore[reportCallIssue]  Ray's types forget methods

    async def engine(self) -> str:
        """What decodes the usual student."""
        return self._engine_name

    async def write(self, ask: Ask) -> list[Draft]:
        """The programs for a question."""
        student = await self._asked()
        with errand(ask) as one:

            def work() -> list[Draft]:
                return write(student.engine, student.thoughts, [ask], wanted=lambda _: one.wanted)[0]

            return await asyncio.get_running_loop().run_in_executor(self._hands, work)

    async def search(self, ask: Ask) -> Choice:
        """What beams or repairs come to, which write and execute by turns. Raises Unavailable if the sandbox fails."""
        with errand(ask) as one:
            return await self._solve(one)

    async def watch(self, ask: Ask) -> AsyncGenerator[Standing | Choice, None]:
        """The same search, where it stands after every step and at last what it comes to."""
        steps: asyncio.Queue[Standing] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        with errand(ask) as one:
            found = asyncio.ensure_future(
                self._solve(one, lambda _, step: loop.call_soon_threadsafe(steps.put_nowait, step))
            )
            try:
                while not found.done() or not steps.empty():
                    upcoming = asyncio.ensure_future(steps.get())
                    await asyncio.wait({upcoming, found}, return_when=asyncio.FIRST_COMPLETED)
                    if upcoming.done():
                        yield upcoming.result()
                    else:
                        upcoming.cancel()
                yield await found
            finally:
                # Its thread sees by the errand that nobody waits.
                found.cancel()

    async def _solve(self, one: Errand, watch: Watch | None = None) -> Choice:
        student, loop = await self._asked(), asyncio.get_running_loop()

        def run(programs: Sequence[str]) -> list[Execution]:
            ends = asyncio.run_coroutine_threadsafe(execute(self._executor, list(programs)), loop).result()
            if not all(end.outcome.trustworthy for end in ends):
                raise Unavailable(SANDBOX_FAILED, 5)
            return ends

        def work() -> Choice:
            return solve(Attended(student.engine, one), run, student.thoughts, [one.ask], watch=watch)[0]

        return await loop.run_in_executor(self._hands, work)


@ray_serve.deployment(
    num_replicas=1,
    max_ongoing_requests=ONGOING,
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
