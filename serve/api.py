"""The HTTP side, without Ray: routes, limits, token and errors around anything that answers."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException

from pad_ray import __version__
from pad_ray.decode.answering import Ask
from pad_ray.records import Answer
from serve.chat import ChatBody, chunks, completion, model_card
from serve.gate import NOTES, Access, Gate, Visit
from serve.page import playground
from serve.replies import INTERNAL, Replied, Unavailable, Unfit, UnknownStudent, error, validation_error
from serve.schema import BatchAnswer, BatchBody, ErrorBody, Health, SolveBody
from serve.sse import named, streamed
from serve.watching import Event

_EVENT = {"type": "object", "properties": {"event": {"type": "string"}, "data": {"type": "string"}}}
EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": _EVENT}}}}
"""What a route says of its replies with `stream`."""


class Backend(Protocol):
    """Whatever stands behind the routes."""

    @property
    def students(self) -> tuple[str, ...]:
        """The names of the students that can be asked, the usual one first."""
        ...

    async def solve(self, student: str, asks: Sequence[Ask]) -> list[Replied]:
        """The answers, in order. Raises Unavailable when it is full or restarting."""
        ...

    def watch(self, student: str, ask: Ask) -> AsyncGenerator[Event, None]:
        """What happens on the way to one answer; see `watching`. Raises Unavailable."""
        ...

    async def health(self) -> dict[str, Any]:
        """`sandbox` with its level, `engine`, and what each student `writes`. Raises Unavailable."""
        ...

    async def metrics(self) -> str:
        """What is counted, in the text format of Prometheus."""
        ...

    def record(self, visit: Visit) -> None:
        """Take note of a request that is over."""
        ...


def make_api(backend: Backend, token: str = "", log_questions: bool = False) -> FastAPI:
    """The application. With a token, everything that a student says or that tells of others asks for it.

    `log_questions` adds the questions to what is noted of a request.
    """
    errors: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorBody} for status in (400, 401, 404, 413, 422, 500, 503)
    }
    created = int(time.time())
    api = FastAPI(
        title="pad_ray",
        version=__version__,
        description="Answers questions with small programs that are executed and shown.",
    )

    def student(name: str) -> str:
        if name and name not in backend.students:
            raise UnknownStudent(name, backend.students)
        return name or backend.students[0]

    def note(request: Request, name: str, asks: Sequence[Ask], stream: bool = False) -> None:
        request.scope[NOTES] |= {"model": name, "samples": sum(ask.decode.width for ask in asks), "stream": stream}
        if log_questions:
            request.scope[NOTES]["questions"] = [ask.question for ask in asks]

    async def answers(request: Request, name: str, asks: Sequence[Ask]) -> list[Replied]:
        note(request, name, asks)
        found = await backend.solve(name, asks)
        request.scope[NOTES]["outcomes"] = [one.answer.outcome for one in found]
        request.scope[NOTES]["tokens"] = sum(one.answer.tokens for one in found)
        return found

    async def watched(request: Request, name: str, ask: Ask) -> AsyncGenerator[Event, None]:
        note(request, name, [ask], stream=True)
        async with aclosing(backend.watch(name, ask)) as events:
            async for event in events:
                if event.name == "answer":
                    request.scope[NOTES] |= {"outcomes": [event.data["outcome"]], "tokens": event.data["tokens"]}
                yield event

    @api.post("/v1/solve", response_model=Answer, responses=errors | EVENTS)
    async def solve(body: SolveBody, request: Request) -> Any:
        """Answer one question: the value, the program it comes from, and the votes. With `stream`, step by step."""
        name, [ask] = student(body.model), body.asks()
        if body.stream:
            return await streamed(watched(request, name, ask), named)
        return (await answers(request, name, [ask]))[0].answer

    @api.post("/v1/solve/batch", responses=errors)
    async def solve_batch(body: BatchBody, request: Request) -> BatchAnswer:
        """Answer several questions together, in order."""
        found = await answers(request, student(body.model), body.asks())
        return BatchAnswer(answers=[one.answer for one in found])

    @api.post("/v1/chat/completions", response_model=None, responses=errors | EVENTS)
    async def chat(body: ChatBody, request: Request) -> dict[str, Any] | Response:
        """The same for clients of the OpenAI API: the last message is the question, the value is the reply."""
        name, ask = student(body.model), body.ask()
        if body.stream:
            usage = body.stream_options is not None and body.stream_options.include_usage
            return await streamed(watched(request, name, ask), chunks(name, usage))
        return completion((await answers(request, name, [ask]))[0], name)

    @api.get("/v1/models", responses={401: {"model": ErrorBody}})
    async def models() -> dict[str, Any]:
        """The students that can be asked."""
        return {"object": "list", "data": [model_card(name, created) for name in backend.students]}

    @api.get("/v1/models/{name:path}", responses={401: {"model": ErrorBody}, 404: {"model": ErrorBody}})
    async def model(name: str) -> dict[str, Any]:
        """One of them."""
        return model_card(student(name), created)

    @api.get("/healthz", responses={503: {"model": ErrorBody}})
    async def healthz() -> Health:
        """Whether the service works, with the level its sandbox really reached."""
        found = await backend.health()
        status = "ok" if found["sandbox"]["level"] == "strict" else "degraded"
        names = list(backend.students)
        return Health(status=status, student=names[0], students=names, version=__version__, **found)

    @api.get("/metrics", response_class=PlainTextResponse, responses={401: {"model": ErrorBody}})
    async def metrics() -> str:
        """What is counted, for Prometheus."""
        return await backend.metrics()

    @api.get("/", response_class=HTMLResponse)
    async def index() -> Response:
        """The playground: ask, and watch the steps."""
        return playground()

    _explain_failures(api)
    api.add_middleware(Gate, token=token)
    api.add_middleware(Access, record=backend.record)
    return api


def _explain_failures(api: FastAPI) -> None:
    """Give every failure the one shape of errors."""

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, failure: RequestValidationError) -> JSONResponse:
        return validation_error(failure)

    @api.exception_handler(HTTPException)
    async def refused(request: Request, failure: HTTPException) -> JSONResponse:
        return error(failure.status_code, str(failure.detail), headers=failure.headers)

    @api.exception_handler(UnknownStudent)
    async def unknown(request: Request, failure: UnknownStudent) -> JSONResponse:
        return error(404, str(failure), "model")

    @api.exception_handler(Unfit)
    async def unfit(request: Request, failure: Unfit) -> JSONResponse:
        return error(422, str(failure), "decode")

    @api.exception_handler(Unavailable)
    async def unavailable(request: Request, failure: Unavailable) -> JSONResponse:
        return error(503, str(failure), headers={"Retry-After": str(failure.retry_after)})

    @api.exception_handler(Exception)
    async def broken(request: Request, failure: Exception) -> JSONResponse:
        # Starlette raises it again after this reply, so that the server's log has the traceback.
        return error(500, INTERNAL)
