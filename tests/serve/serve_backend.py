"""What stands behind the routes in tests without Ray: it repeats the question, and some questions make it fail."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from pad_ray.decode.answering import Ask
from pad_ray.outcomes import Outcome
from pad_ray.records import Answer
from pad_ray.thoughts import program
from pad_ray.thoughts.several import Forms
from serve.api import make_api
from serve.gate import Visit
from serve.replies import Replied, Unavailable
from serve.schema import Writing
from serve.watching import Event


class Echo:
    """Answers each question with itself."""

    students = ("small", "org/large")
    thoughts: tuple[Forms, ...] = (program, program)

    def __init__(self, level: str = "strict") -> None:
        self.level = level
        self.asks: list[Ask] = []
        self.asked: list[str] = []
        self.visits: list[Visit] = []
        self.watched = 0

    async def solve(self, student: str, asks: Sequence[Ask]) -> list[Replied]:
        if asks[0].question == "full":
            raise Unavailable("The service is full.", retry_after=3)
        if asks[0].question == "broken":
            raise RuntimeError("secret of the inside")
        self.asks += asks
        self.asked.append(student)
        outcome = Outcome.OK if asks[0].question != "none" else Outcome.RUNTIME_ERROR
        values = [ask.question if outcome is Outcome.OK else None for ask in asks]
        return [Replied(Answer("answer-1", value, outcome, "p", (STEP,), {"x": 1}, 9, 0.5), 21) for value in values]

    async def watch(self, student: str, ask: Ask) -> AsyncGenerator[Event, None]:
        self.watched += 1
        try:
            if ask.question == "full":
                raise Unavailable("The service is full.", retry_after=3)
            yield Event("accepted", {"samples": 1})
            if ask.question == "broken later":
                raise RuntimeError("secret of the inside")
            if ask.question == "busy later":
                raise Unavailable("The sandbox failed.")
            if ask.question == "for ever":
                await asyncio.Event().wait()
            yield Event(
                "program",
                {"number": 0, "program": "p", "outcome": "ok", "value": "7", "tokens": 9, "prompt_tokens": 21},
            )
            yield Event("step", {"number": 0, "code": "x = 3", "state": "ran", "value": "3", "detail": ""})
            [replied] = await self.solve(student, [ask])
            yield Event("answer", asdict(replied.answer))
        finally:
            self.watched -= 1

    async def health(self) -> dict[str, Any]:
        writes = {name: Writing.of(forms) for name, forms in zip(self.students, self.thoughts, strict=True)}
        return {"sandbox": {"level": self.level}, "engine": "parrot", "writes": writes}

    async def metrics(self) -> str:
        return "# TYPE ray_pad_ray_requests_total counter\nray_pad_ray_requests_total 1.0\n"

    def record(self, visit: Visit) -> None:
        self.visits.append(visit)


STEP = {"code": "p", "state": "ran"}


def call(method: str, path: str, *, backend: Echo | None = None, token: str = "", **request: Any) -> httpx.Response:
    """One request to the routes."""
    return visiting(make_api(backend or Echo(), token), lambda client: client.request(method, path, **request))


def visiting(api: FastAPI, visit: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    """What a visit with a client returns."""

    async def run() -> Any:
        transport = httpx.ASGITransport(api, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await visit(client)

    return asyncio.run(run())


def solve(body: Any, **request: Any) -> httpx.Response:
    """One question."""
    return call("POST", "/v1/solve", json=body, **request)


def failure(reply: httpx.Response) -> dict[str, Any]:
    """The error of a reply, which has the one shape of errors and tells nothing of the inside."""
    body = reply.json()
    assert set(body) == {"error"} and set(body["error"]) == {"type", "message", "param"}
    assert "Traceback" not in reply.text and "secret" not in reply.text
    return body["error"]


@contextmanager
def listening(backend: Echo, token: str = "", **options: Any) -> Iterator[str]:
    """The address of a real server with the routes, within the block."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        server = uvicorn.Server(uvicorn.Config(make_api(backend, token, **options), log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            thread.join()
