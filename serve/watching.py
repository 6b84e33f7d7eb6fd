"""A question answered in the open: an event for each program as it is executed, for each step, and for the answer.

Plain async code around two calls, one that writes programs and one that runs them, wherever these go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pad_ray.decode.answering import Ask, Choice, Draft, answer_of, choose
from pad_ray.decode.stepwise import Standing
from pad_ray.outcomes import Outcome
from pad_ray.sandbox.execution import Execution
from pad_ray.thoughts import program
from pad_ray.thoughts.several import Forms, forms_of
from serve.replies import Unavailable
from serve.stepping import cut

Write = Callable[[], Awaitable[list[Draft]]]
Run = Callable[[list[Draft]], Awaitable[list[Execution]]]

SANDBOX_FAILED = "The sandbox failed; send the request again in a moment."


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    name: Literal["accepted", "path", "program", "step", "answer", "error"]
    """What: the request was let in, a search made a step, a program ended, a step of the chosen program was verified,
    all is done…"""
    data: dict[str, Any]
    """Its fields, ready for JSON."""


def is_searched(ask: Ask) -> bool:
    """Whether programs are written and executed by turns, rather than written once and then executed."""
    return ask.decode.kind == "beam" or ask.decode.repairs > 0


async def watch(ask: Ask, write: Write, run: Run, thoughts: Forms = program) -> AsyncGenerator[Event, None]:
    """The events of one question, in the order in which they happen; the last one is its answer.

    `run` says what drafts come to; where the lines of a form run one by one, those of the chosen text are steps.
    The answer is that of `choose`, the same as without watching. Raises Unavailable if the sandbox fails.
    """
    started = time.monotonic()
    yield Event("accepted", {"samples": ask.decode.samples})
    drafts = await write()
    ends: dict[int, Execution] = {}
    tasks = {asyncio.ensure_future(run([draft])): number for number, draft in enumerate(drafts) if draft.flaw is None}
    try:
        for number, draft in enumerate(drafts):
            if draft.flaw is not None:
                yield _program(number, draft, Execution(draft.flaw))
        waiting = set(tasks)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=tasks.__getitem__):
                number = tasks[task]
                [ends[number]] = task.result()
                yield _program(number, drafts[number], ends[number])
    finally:
        for task in tasks:
            task.cancel()
    async for event in _end(choose(drafts, [ends[number] for number in sorted(ends)]), run, started, thoughts):
        yield event


async def watch_search(
    ask: Ask, found: AsyncGenerator[Standing | Choice, None], run: Run, thoughts: Forms = program
) -> AsyncGenerator[Event, None]:
    """The same for a search: a `path` after each of its steps, the best one so far, then the program it came to."""
    started = time.monotonic()
    yield Event("accepted", {"samples": ask.decode.width})
    async with aclosing(found):
        async for one in found:
            if isinstance(one, Standing):
                yield Event("path", asdict(one))
                continue
            yield _program(0, one.draft, one.execution)
            async for event in _end(one, run, started, thoughts):
                yield event


async def _end(choice: Choice, run: Run, started: float, thoughts: Forms) -> AsyncGenerator[Event, None]:
    """The steps of the program that was chosen, and the answer."""
    if not choice.execution.outcome.trustworthy:
        raise Unavailable(SANDBOX_FAILED, 5)
    if choice.draft.flaw is None and forms_of(thoughts)[choice.draft.form].LINEWISE:
        async for event in _steps(choice, run):
            yield event
    yield Event("answer", asdict(answer_of(choice, time.monotonic() - started, thoughts)))


async def _steps(choice: Choice, run: Run) -> AsyncGenerator[Event, None]:
    """The statements of the chosen program, each executed with all before it, up to the first one that fails."""
    state = "ran"
    for number, step in enumerate(cut(choice.draft.program)):
        data: dict[str, Any] = {"number": number, "code": step.code, "state": "not_run", "value": None, "detail": ""}
        if state == "ran":
            end = choice.execution
            if step.program is not None:
                [end] = await run([replace(choice.draft, program=step.program)])
            if not end.outcome.trustworthy:
                raise Unavailable(SANDBOX_FAILED, 5)
            # A value that is no answer (a list of names, say) was set all the same.
            state = "ran" if end.outcome in (Outcome.OK, Outcome.NO_ANSWER) else "failed"
            if state == "failed":
                data["detail"] = f"{end.outcome}: {end.detail}".removesuffix(": ")
            elif step.shows:
                data["value"] = end.value or None
            data["state"] = state
        yield Event("step", data)


def _program(number: int, draft: Draft, end: Execution) -> Event:
    """One program and what became of it."""
    data = {
        "number": number,
        "program": draft.program,
        "outcome": end.outcome,
        "value": end.value if end.outcome is Outcome.OK else None,
        "detail": end.detail,
        "tokens": draft.tokens,
        "prompt_tokens": draft.prompt_tokens,
    }
    return Event("program", data)
