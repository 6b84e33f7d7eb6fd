"""What stands around the routes: who may pass, how much they may send, and the note that is made of each request."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.replies import error
from serve.schema import MAX_BODY_BYTES

OPEN = ("/", "/healthz", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json")
"""What is shown without a token: nothing a student wrote, and nothing of who asks what."""
NOTES = "pad_ray.notes"
"""Key of the scope under which a route leaves what the access log should say of its request."""
GONE = 499
"""The status, as nginx numbers it, of a request whose client left before the reply was complete."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, as the access log and the metrics know it: never what was asked, unless the service is told to."""

    time: str
    """When it came, ISO 8601 in UTC."""
    method: str
    """GET, POST…"""
    path: str
    """The path without its query."""
    route: str
    """The path as it is written in the routes, or empty where there is none."""
    status: int
    """The status of the reply; 499: the client left before it was complete."""
    seconds: float
    """From the first byte in to the last byte out."""
    notes: dict[str, Any]
    """What the route said: `model`, `samples`, `outcome`, `tokens`…"""


class Gate:
    """The token is checked before a body is read, and bodies stop at their limit."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode() if token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if scope["path"] not in OPEN and not self._may_pass(headers.get(b"authorization", b"")):
            reply = error(401, "This service asks for a bearer token.", "Authorization", {"WWW-Authenticate": "Bearer"})
            await reply(scope, receive, send)
            return
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > MAX_BODY_BYTES:
            await error(413, _TOO_LARGE, headers={"Connection": "close"})(scope, receive, send)
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


class Access:
    """Makes a Visit of each request when its reply is complete, also of those that the gate turned away."""

    def __init__(self, app: ASGIApp, record: Callable[[Visit], None]) -> None:
        self._app, self._record = app, record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        came, started = datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic()
        notes: dict[str, Any] = {}
        scope[NOTES] = notes
        status, complete = 500, False

        async def noted(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)
            complete = complete or (message["type"] == "http.response.body" and not message.get("more_body", False))

        failed = False
        try:
            await self._app(scope, receive, noted)
        except Exception:
            failed = True
            raise
        finally:
            # Neither complete nor failed: it was cancelled, or a stream ended because nobody reads it.
            shown = status if complete or failed else GONE
            route = getattr(scope.get("route"), "path", "")
            seconds = round(time.monotonic() - started, 6)
            self._record(Visit(came, scope["method"], scope["path"], route, shown, seconds, notes))


_TOO_LARGE = f"The body is over {MAX_BODY_BYTES} bytes."
