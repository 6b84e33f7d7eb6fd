"""`pad-ray execute IN.jsonl OUT.jsonl`: run and judge a file of programs, in order, in flat memory, without a teacher.

in    {"id": …, "program": "…", "answer": "…"?, "entry": "…"?}
out   {"id", "outcome", "value", "detail", "seconds", "sandbox"}
"""

from __future__ import annotations

import json
import queue
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from pad_ray.errors import ProblemError, UsageError
from pad_ray.grading.verdict import judge
from pad_ray.jsonl import json_lines
from pad_ray.sandbox import Sandbox
from pad_ray.storage import writing

CHUNK = 256
_AHEAD = 2
"""Chunks read ahead for each worker: enough to keep all busy, few enough to keep memory flat."""


class Row(NamedTuple):
    """One line of the input."""

    id: Any
    program: str
    answer: str | None
    entry: str


def execute_file(
    source: Path,
    target: Path,
    *,
    timeout_s: float,
    workers: int,
    level: str,
    rounded: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Run every program of `source`, write one row each to `target`. Returns how many had each outcome.

    With `rounded`, numbers are matched as in the PaD paper. `on_progress(done, total)` is called as rows are written.
    The first time it is with 0 done. The target appears whole or not at all. Raises ProblemError for a line that is no
    row, before anything runs; SandboxError if `level` cannot be reached.
    """
    if workers < 1:
        raise UsageError(f"workers is {workers}.", hint="At least one sandbox must run.")
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{target} is the file with the programs.", hint="Choose another name for the verdicts.")
    total = sum(1 for _ in read_rows(source))
    if total == 0:
        raise ProblemError(f"{source} holds no rows.", hint="Give one JSON object with id and program on each line.")
    counts: Counter[str] = Counter()
    done = 0
    with ExitStack() as stack:
        temporary = stack.enter_context(writing(target.absolute()))
        output = stack.enter_context(temporary.open("w", encoding="utf-8", errors="backslashreplace"))
        boxes = [stack.enter_context(Sandbox(level=level, timeout_s=timeout_s, confirm=True)) for _ in range(workers)]
        if on_progress:
            on_progress(0, total)
        for results in _executed(read_rows(source), boxes, rounded):
            for result in results:
                counts[result["outcome"]] += 1
                output.write(json.dumps(result, ensure_ascii=False) + "\n")
            done += len(results)
            if on_progress:
                on_progress(done, total)
    return dict(sorted(counts.items()))


def read_rows(source: Path) -> Iterator[Row]:
    """The rows of a JSONL file, one at a time. Raises ProblemError with file and line."""
    for place, row in json_lines(source):
        for key in ("id", "program"):
            if key not in row:
                raise ProblemError(f"{place}: {key!r} is missing.", hint='Write {"id": …, "program": "…"}.')
        program, answer, entry = row["program"], row.get("answer"), row.get("entry") or ""
        if not isinstance(program, str) or not isinstance(entry, str):
            raise ProblemError(f"{place}: program and entry must be strings.")
        yield Row(row["id"], program, None if answer is None else str(answer), entry)


def _executed(rows: Iterable[Row], boxes: list[Sandbox], rounded: bool) -> Iterator[list[dict[str, Any]]]:
    """Results chunk by chunk in the order of the rows, each chunk run by whichever sandbox is free."""
    free: queue.SimpleQueue[Sandbox] = queue.SimpleQueue()
    for box in boxes:
        free.put(box)
    running: deque[Future[list[dict[str, Any]]]] = deque()
    rows = iter(rows)
    pool = ThreadPoolExecutor(len(boxes))
    try:
        while chunk := list(islice(rows, CHUNK)):
            running.append(pool.submit(_execute_chunk, free, chunk, rounded))
            if len(running) >= _AHEAD * len(boxes):
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    except BaseException:
        for box in boxes:
            box.close()  # ends what still runs, so that the threads below are done at once
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _execute_chunk(free: queue.SimpleQueue[Sandbox], rows: list[Row], rounded: bool) -> list[dict[str, Any]]:
    box = free.get()
    try:
        executions = box.run([row.program for row in rows], entry=[row.entry for row in rows])
    finally:
        free.put(box)
    results: list[dict[str, Any]] = []
    for row, execution in zip(rows, executions, strict=True):
        outcome, value, detail = judge(execution, row.answer, rounded=rounded)
        seconds = round(execution.seconds, 6)
        results.append(
            {
                "id": row.id,
                "outcome": outcome.value,
                "value": value,
                "detail": detail,
                "seconds": seconds,
                "sandbox": box.level,
            }
        )
    return results
