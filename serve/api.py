"""The HTTP side, without Ray: routes, limits, token and errors around anything that answers."""

from __future__ import annotations

import hmac
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pad_ray import __version__
from pad_ray.decode.answering import Ask
from pad_ray.records import Answer
from serve.schema import MAX_BODY_BYTES, BatchAnswer, BatchBody, ErrorBody, ErrorDetail, Health, SolveBody

ERROR_TYPES = {
    400: "bad_request",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    422: "invalid_request",
    500: "internal",
    503: "unavailable",
}


class Backend(Protocol):
    """Whatever stands behind the routes."""

    async def solve(self, asks: list[Ask]) -> list[Answer]:
        """The answers, in order. Raises Unavailable when it is full or restarting."""
        ...

    async def health(self) -> dict[str, Any]:
        """`sandbox` and `student` of a working service. Raises Unavailable."""
        ...


class Unavailable(Exception):
    """Nothing is wrong with the request; it may be sent again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def make_api(backend: Backend, token: str = "") -> FastAPI:
    """The application. With a token, everything under /v1 asks for it as a bearer token."""
    errors: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorBody} for status in (400, 401, 413, 422, 500, 503)
    }
    api = FastAPI(
        title="pad_ray",
        version=__version__,
        description="Answers questions with small programs that are executed and shown.",
    )

    @api.post("/v1/solve", responses=errors)
    async def solve(body: SolveBody) -> Answer:
        """Answer one question: the value, the program it comes from, and the votes."""
        return (await backend.solve(body.asks()))[0]

    @api.post("/v1/solve/batch", responses=errors)
    async def solve_batch(body: BatchBody) -> BatchAnswer:
        """Answer several questions together, in order."""
        return BatchAnswer(answers=await backend.solve(body.asks()))

    @api.get("/healthz", responses={503: {"model": ErrorBody}})
    async def healthz() -> Health:
        """Whether the service works, with the level its sandbox really reached."""
        return Health(status="ok", version=__version__, **await backend.health())

    @api.get("/")
    async def index() -> dict[str, Any]:
        """What there is."""
        return {
            "name": "pad_ray",
            "version": __version__,
            "endpoints": ["POST /v1/solve", "POST /v1/solve/batch", "GET /healthz", "GET /docs", "GET /openapi.json"],
        }

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, failure: RequestValidationError) -> JSONResponse:
        return _validation_error(failure)

    @api.exception_handler(HTTPException)
    async def refused(request: Request, failure: HTTPException) -> JSONResponse:
        return error(failure.status_code, str(failure.detail), headers=failure.headers)

    @api.exception_handler(Unavailable)
    async def unavailable(request: Request, failure: Unavailable) -> JSONResponse:
        return error(503, str(failure), headers={"Retry-After": str(failure.retry_after)})

    @api.exception_handler(Exception)
    async def broken(request: Request, failure: Exception) -> JSONResponse:
        # Starlette raises it again after this reply, so that the server's log has the traceback.
        return error(500, "The service failed on this request; its log says why.")

    api.add_middleware(Gate, token=token)
    return api


class Gate:
    """In front of the routes: the token is checked before a body is read, and bodies stop at their limit."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode() if token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if scope["path"].startswith("/v1/") and not self._may_pass(headers.get(b"authorization", b"")):
            reply = error(401, "This service asks for a bearer token.", "Authorization", {"WWW-Authenticate": "Bearer"})
            await reply(scope, receive, send)
            return
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > MAX_BODY_BYTES:
            await _too_large()(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise HTTPException(413, _TOO_LARGE)
            return message

        await self._app(scope, counted, send)

    def _may_pass(self, given: bytes) -> bool:
        return not self._expected or hmac.compare_digest(given, self._expected)


_TOO_LARGE = f"The body is over {MAX_BODY_BYTES} bytes."


def _too_large() -> JSONResponse:
    return error(413, _TOO_LARGE, headers={"Connection": "close"})


def error(status: int, message: str, param: str | None = None, headers: Any = None) -> JSONResponse:
    """A reply in the one shape of errors."""
    detail = ErrorDetail(type=ERROR_TYPES.get(status, "error"), message=message, param=param)
    return JSONResponse(ErrorBody(error=detail).model_dump(), status_code=status, headers=headers)


def _validation_error(failure: RequestValidationError) -> JSONResponse:
    """The first thing wrong with a body, in words for whoever sent it. What they sent is not repeated."""
    first = failure.errors()[0]
    place = [str(part) for part in first["loc"] if part != "body"]
    if first["type"] == "json_invalid":
        return error(400, f"The body is not JSON: {first['ctx']['error']}.")
    if not place and first["type"] in ("missing", "model_attributes_type"):
        return error(422, "The body must be a JSON object, sent with Content-Type: application/json.")
    param = ".".join(place).encode("utf-8", "replace").decode() or None
    message = str(first["msg"]).removeprefix("Value error, ")
    return error(422, f"{param}: {message}." if param else f"{message}.", param)
