"""From questions to answers, in two halves with the sandbox between them: write programs, then settle on an answer.

The halves are plain functions, so that one process can do all of it, or one machine each (the service). Decoders that
need the sandbox in between (beams, repairs) are in `solving`, which does all of it for every decoder.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from pad_ray.decode.engine import Engine
from pad_ray.decode.socratic import InSteps
from pad_ray.decode.steps import Ending, steps
from pad_ray.decode.voting import vote
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Decode
from pad_ray.records import Answer
from pad_ray.sandbox.execution import Execution
from pad_ray.thoughts import socratic
from pad_ray.thoughts.protocol import Thought


@dataclass(frozen=True, slots=True)
class Ask:
    """One question and how it is to be answered."""

    question: str
    """The question."""
    decode: Decode
    """How many programs, how drawn, how long."""
    seed: int = 0
    """Seed of the drawing; the same question with the same seed gets the same programs, whoever asks beside it."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One program a student wrote, not yet executed."""

    program: str
    """Its text, or empty."""
    flaw: Outcome | None
    """Why it cannot be executed, or None if it can."""
    tokens: int
    """Tokens generated for it."""
    prompt_tokens: int = 0
    """Tokens that the student read for it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the drafts of one question come to."""

    answer: str | None
    """The value that most programs gave, or None if none gave one."""
    draft: Draft
    """The first draft that gave it, else the first one."""
    execution: Execution
    """What became of that draft; a flaw counts as its end."""
    votes: dict[str, int]
    """How many programs gave each value."""
    tokens: int
    """Tokens generated for all drafts."""
    values: tuple[str | None, ...] = ()
    """The value of each draft, where several voted."""


def write(
    engine: Engine,
    thought: Thought,
    asks: Sequence[Ask],
    *,
    prompt: Callable[[str], str] | None = None,
    stop: str = "",
    wanted: Callable[[int], bool] | None = None,
) -> list[list[Draft]]:
    """The programs for each question: one for greedy, `samples` for vote. Asks that decode alike go together.

    `prompt` turns a question into what the student reads, by default the form that the thought trains; `stop` ends a
    reply, and `wanted` says of an ask, by its place, whether anybody waits for it (see `Engine.generate`).
    """
    form: Callable[[str], str] = prompt or thought.student_prompt
    if thought is socratic and not isinstance(engine, InSteps):
        engine = InSteps(engine)
    drafts: list[list[Draft]] = [[] for _ in asks]
    groups: dict[tuple[int, float], list[tuple[int, int]]] = {}
    for place, ask in enumerate(asks):
        greedy = ask.decode.kind == "greedy"
        group = groups.setdefault((ask.decode.max_tokens, 0.0 if greedy else ask.decode.temperature), [])
        group += [(place, number) for number in range(1 if greedy else ask.decode.samples)]
    for (max_tokens, temperature), group in groups.items():
        places = [place for place, _ in group]
        heed: dict[str, Any] = {"wanted": lambda row, places=places: wanted(places[row])} if wanted else {}
        completions = engine.generate(
            [form(asks[place].question) for place in places],
            max_tokens=max_tokens,
            temperature=temperature,
            seed=[_seed(asks[place], number) for place, number in group],
            stop=stop,
            **heed,
        )
        for place, completion in zip(places, completions, strict=True):
            parsed = thought.parse(completion.text, completion.finish_reason)
            written, read = completion.completion_tokens, completion.prompt_tokens
            drafts[place].append(Draft(parsed.program, parsed.outcome, written, read))
    return drafts


def choose(drafts: Sequence[Draft], executions: Iterable[Execution]) -> Choice:
    """Let the drafts of one question vote, given the executions of those without a flaw, in the same order."""
    runs = iter(executions)
    ends = [next(runs) if draft.flaw is None else Execution(draft.flaw) for draft in drafts]
    values = tuple(end.value if end.outcome is Outcome.OK else None for end in ends)
    winner, votes = vote(values)
    chosen = next((place for place, end in enumerate(ends) if winner and end.value == winner), 0)
    tokens = sum(draft.tokens for draft in drafts)
    return Choice(winner, drafts[chosen], ends[chosen], votes, tokens, values if len(values) > 1 else ())


def answer_of(choice: Choice, seconds: float, *, linewise: bool = True) -> Answer:
    """A choice as the answer that is given to whoever asked; `linewise` is whether its lines run one by one."""
    ending: Ending = "value" if choice.answer else "failed" if choice.draft.flaw is None else "not_run"
    if not linewise:
        ending = "not_run"
    return Answer(
        id=f"answer-{uuid.uuid4().hex}",
        answer=choice.answer,
        outcome=choice.execution.outcome,
        program=choice.draft.program,
        detail="" if choice.answer else choice.execution.detail,
        steps=steps(choice.draft.program, ending),
        votes=choice.votes,
        tokens=choice.tokens,
        seconds=round(seconds, 6),
    )


def _seed(ask: Ask, number: int) -> int:
    """The seed of one program of an ask."""
    return Random(f"{ask.seed}/{number}/{ask.question}").getrandbits(63)
