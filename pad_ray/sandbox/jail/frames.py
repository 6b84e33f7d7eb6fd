"""Results as bounded bytes: a fixed header and two short texts. Read from hostile memory, so nothing is trusted here.

No pickle and no JSON on this path: a child can write what it likes, and the reader must stay a few lines long.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, cast

HEADER = struct.Struct("<IBIHH")
OUTCOMES = (
    "ok",
    "no_answer",
    "syntax_error",
    "runtime_error",
    "timeout",
    "memory",
    "output_limit",
    "forbidden",
    "crashed",
    "sandbox_error",
)
ALONE = "alone"
"""Said by a shared child: this program was not run here and must have a child of its own."""
_CODES = (*OUTCOMES, ALONE)
MAX_VALUE = 12_000
MAX_DETAIL = 400


class Frame(NamedTuple):
    """What became of one program; `job` is its place in the request."""

    job: int
    outcome: str
    value: str
    detail: str
    seconds: float


def encode(frame: Frame) -> bytes:
    """Bytes of a frame; a value or detail over its bound is cut, never refused."""
    value = frame.value.encode("utf-8", "backslashreplace")[:MAX_VALUE]
    detail = frame.detail.encode("utf-8", "backslashreplace")[:MAX_DETAIL]
    micros = min(int(frame.seconds * 1e6), 0xFFFFFFFF)
    code = _CODES.index(frame.outcome)
    return HEADER.pack(frame.job, code, micros, len(value), len(detail)) + value + detail


def look(buffer: bytes | bytearray | memoryview, offset: int) -> tuple[int, str, int] | None:
    """Job and outcome of the frame at `offset`, and the offset behind it; else like `decode`. Copies no text."""
    body = offset + HEADER.size
    if len(buffer) < body:
        return None
    job, code, _, value_size, detail_size = cast("tuple[int, ...]", HEADER.unpack_from(buffer, offset))
    if code >= len(_CODES) or value_size > MAX_VALUE or detail_size > MAX_DETAIL:
        raise ValueError("not a result frame")
    end = body + value_size + detail_size
    return (job, _CODES[code], end) if end <= len(buffer) else None


def decode(buffer: bytes | bytearray, offset: int) -> tuple[Frame, int] | None:
    """The frame at `offset` and the offset behind it; None while bytes are missing; ValueError if it cannot be one."""
    seen = look(buffer, offset)
    if seen is None:
        return None
    job, outcome, end = seen
    _, _, micros, value_size, _ = HEADER.unpack_from(buffer, offset)
    middle = offset + HEADER.size + value_size
    value = bytes(buffer[middle - value_size : middle]).decode("utf-8", "replace")
    detail = bytes(buffer[middle:end]).decode("utf-8", "replace")
    return Frame(job, outcome, value, detail, micros / 1e6), end
