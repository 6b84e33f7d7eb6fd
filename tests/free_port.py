"""A port for a server that takes a while to start."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

PORTS = range(21_000, 32_000)
"""Above those that Ray gives its workers, and below those that the kernel hands out to whoever asks for any:
one of those might be taken by another process before the server gets to it."""


def free_port() -> int:
    """A port on loopback that nobody listens on, nor is likely to."""
    for port in random.sample(PORTS, 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("a hundred ports in a row are taken")
