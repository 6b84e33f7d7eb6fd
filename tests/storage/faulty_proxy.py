"""An HTTP proxy that spoils a share of the requests in the ways object stores do, and answers as it is told to."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

FAULTS = ("500", "503", "refused", "lost", "cut")
"""Two errors; a connection reset before the request is done, one after it, one in the middle of the reply's body."""
_ERROR = "<?xml version='1.0'?><Error><Code>{0}</Code><Message>{1}</Message></Error>"


class FaultyProxy:
    """Listens on 127.0.0.1 while the block runs."""

    def __init__(self, target: str, share: float = 0.0, seed: int = 0) -> None:
        self.target, self.share = urlsplit(target), share
        self.met = Counter[str]()
        """How often each fault was met."""
        self.answer: tuple[int, str, str] | None = None
        """Status, code and message that every request gets instead of being passed on."""
        self.before: Callable[[str, str], None] = lambda method, path: None
        """Called with method and path of every request that is passed on."""
        self._dice, self._lock = random.Random(seed), threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fault(self) -> str:
        """What is to happen to the next request, or empty."""
        with self._lock:
            found = self._dice.choice(FAULTS) if self._dice.random() < self.share else ""
            self.met[found] += 1
            return found

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, list[Any], bytes]:
        """Pass a request on. Writes go one after the other: moto's threads know no atomic conditions, S3 does."""
        connection = http.client.HTTPConnection(self.target.hostname or "", self.target.port, timeout=30)
        if method == "PUT":
            self._lock.acquire()
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        finally:
            connection.close()
            if method == "PUT":
                self._lock.release()


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if proxy.answer:
                status, code, message = proxy.answer
                return self._reply(status, [], _ERROR.format(code, message).encode())
            fault = proxy.fault()
            if fault == "refused":
                return self._reset()
            if fault in ("500", "503"):
                code = {"500": "InternalError", "503": "SlowDown"}[fault]
                return self._reply(int(fault), [], _ERROR.format(code, "Please try again.").encode())
            proxy.before(self.command, self.path)
            status, headers, data = proxy.forward(self.command, self.path, dict(self.headers.items()), body)
            if fault == "lost":
                return self._reset()
            self._reply(status, headers, data, cut=fault == "cut" and len(data) > 1)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815

        def _reply(self, status: int, headers: list[tuple[str, str]], data: bytes, cut: bool = False) -> None:
            length = next((value for name, value in headers if name.lower() == "content-length"), str(len(data)))
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data[: len(data) // 2] if cut else data)
            if cut:
                self._reset()

        def _reset(self) -> None:
            self.wfile.flush()
            # Closing without lingering sends a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

        def finish(self) -> None:
            if self.connection.fileno() >= 0:
                super().finish()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
