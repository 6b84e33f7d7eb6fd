"""The supervisor's side of the two pipes to its caller, and pages that no child inherits.

Both ways of losing the caller end the process: its end of a pipe is closed, or it is no longer this process's parent
while a fork of it still holds the pipes open.
"""

from __future__ import annotations

import mmap
import os
import select
import struct

REQUESTS, REPLIES = 0, 1
LENGTH = struct.Struct("<I")
_CALLER_CHECK = 2.0


class Requests:
    """What the caller sends."""

    def __init__(self) -> None:
        self._caller = os.getppid()
        self._poll = select.poll()
        self._poll.register(REQUESTS, select.POLLIN)

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        data = bytearray(size)
        self.read_into(memoryview(data))
        return bytes(data)

    def read_into(self, view: memoryview) -> None:
        """Fill the view; no copy of what it gets is left anywhere else."""
        while view:
            if not self._poll.poll(_CALLER_CHECK * 1000):
                self.check_caller()
                continue
            got = os.readv(REQUESTS, [view])
            if not got:
                os._exit(0)
            view = view[got:]

    def check_caller(self) -> None:
        """End this process if the caller is gone."""
        if os.getppid() != self._caller:
            os._exit(0)


def send(data: bytes | memoryview) -> None:
    """Write everything to the caller."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(REPLIES, view) :]
    except BrokenPipeError:
        os._exit(0)


def own_pages(size: int) -> mmap.mmap:
    """Pages that nobody shares; children get a copy, unless they are kept from them."""
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def keep_from_children(pages: mmap.mmap) -> None:
    """No child forked from now on has these pages."""
    if hasattr(mmap, "MADV_DONTFORK"):
        pages.madvise(mmap.MADV_DONTFORK)
