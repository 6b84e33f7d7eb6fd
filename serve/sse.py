"""Events as a stream of text over HTTP (server-sent events), with a sign of life while nothing happens."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable

from fastapi.responses import StreamingResponse

from serve.replies import INTERNAL, Unavailable, error_body
from serve.watching import Event

SILENCE_SECONDS = 10.0
"""After so long without an event a comment is sent, or proxies on the way would close the connection."""


async def streamed(events: AsyncGenerator[Event, None], encode: Callable[[Event], bytes]) -> StreamingResponse:
    """The reply that sends events as they come.

    The first one is waited for, so that a request which is not let in is refused by its status. Whatever fails later is
    the last event. A client that leaves ends the events, and with them the work on them.
    """
    first = await anext(events)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(first, events, encode), media_type="text/event-stream", headers=headers)


def named(event: Event) -> bytes:
    """An event as it is: its name, and its data as JSON."""
    return f"event: {event.name}\ndata: {json.dumps(event.data)}\n\n".encode()


async def _lines(
    first: Event, events: AsyncGenerator[Event, None], encode: Callable[[Event], bytes]
) -> AsyncGenerator[bytes, None]:
    upcoming: asyncio.Future[Event] | None = None
    try:
        yield encode(first)
        while True:
            upcoming = asyncio.ensure_future(anext(events))
            while not (await asyncio.wait({upcoming}, timeout=SILENCE_SECONDS))[0]:
                yield b": still at work\n\n"
            try:
                yield encode(upcoming.result())
            except StopAsyncIteration:
                return
            except Unavailable as busy:
                yield encode(Event("error", error_body(503, str(busy))))
                return
            except Exception:
                # The status was sent long ago; the log must have it all the same.
                logging.getLogger("ray.serve").exception("a streamed request failed")
                yield encode(Event("error", error_body(500, INTERNAL)))
                return
    finally:
        # Either way the events end where they stand, and give back what they hold.
        if upcoming is not None and not upcoming.done():
            upcoming.cancel()
        else:
            await events.aclose()
