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
from pad_ray.thoughts import program, socratic
from pad_ray.thoughts.protocol import Execute
from pad_ray.thoughts.several import Forms, forms_of


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
    form: int = 0
    """Of several forms of reasoning, the place of the one that it is written in."""


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
    alone: tuple[Execution, ...] = ()
    """Of several forms of reasoning, what each of them comes to alone."""
    values: tuple[str | None, ...] = ()
    """The value of each draft, where several voted."""


def write(
    engine: Engine,
    thoughts: Forms,
    asks: Sequence[Ask],
    *,
    prompt: Callable[[str], str] | None = None,
    stop: str = "",
    wanted: Callable[[int], bool] | None = None,
) -> list[list[Draft]]:
    """The texts for each question, in every form one for greedy, `samples` for vote; alike decoded ones go together.

    `prompt` turns a question into what the student reads, by default the form that the thought trains; `stop` ends a
    reply, and `wanted` says of an ask, by its place, whether anybody waits for it (see `Engine.generate`).
    """
    forms = forms_of(thoughts)
    drafts: list[list[Draft]] = [[] for _ in asks]
    # In steps the engine is asked several times for a text, so those go by themselves.
    groups: dict[tuple[int, float, bool], list[tuple[int, int, int]]] = {}
    for place, ask in enumerate(asks):
        greedy = ask.decode.kind == "greedy"
        for form, thought in enumerate(forms):
            key = (ask.decode.max_tokens, 0.0 if greedy else ask.decode.temperature, thought is socratic)
            group = groups.setdefault(key, [])
            group += [(place, form, number) for number in range(1 if greedy else ask.decode.samples)]
    for (max_tokens, temperature, in_steps), group in groups.items():
        places = [place for place, _, _ in group]
        heed: dict[str, Any] = {"wanted": lambda row, places=places: wanted(places[row])} if wanted else {}
        asked = InSteps(engine) if in_steps and not isinstance(engine, InSteps) else engine
        completions = asked.generate(
            [(prompt or forms[form].student_prompt)(asks[place].question) for place, form, _ in group],
            max_tokens=max_tokens,
            temperature=temperature,
            seed=[_seed(asks[place], number) for place, _, number in group],
            stop=stop,
            **heed,
        )
        for (place, form, _), completion in zip(group, completions, strict=True):
            parsed = forms[form].parse(completion.text, completion.finish_reason)
            written, read = completion.completion_tokens, completion.prompt_tokens
            drafts[place].append(Draft(parsed.program, parsed.outcome, written, read, form))
    # Who was asked in steps came last, whatever is believed first.
    return [sorted(some, key=lambda draft: draft.form) for some in drafts]


def conclude(execute: Execute, thoughts: Forms, drafts: Sequence[Draft]) -> list[Execution]:
    """What the drafts without a flaw come to, each by its own form, in their order.

    `execute` is called at most once for each form.
    """
    ends: dict[int, Execution] = {}
    for form, thought in enumerate(forms_of(thoughts)):
        places = [place for place, draft in enumerate(drafts) if draft.flaw is None and draft.form == form]
        if places:
            ends |= zip(places, thought.conclude(execute, [drafts[place].program for place in places]), strict=True)
    return [ends[place] for place in sorted(ends)]


def choose(drafts: Sequence[Draft], executions: Iterable[Execution]) -> Choice:
    """Let the drafts of one question vote, given the executions of those without a flaw, in the same order.

    Of several forms that disagree the first one with a value is believed.
    """
    runs = iter(executions)
    ends = [next(runs) if draft.flaw is None else Execution(draft.flaw) for draft in drafts]
    values = tuple(end.value if end.outcome is Outcome.OK else None for end in ends)
    winner, votes, chosen = _elect(values)
    forms = sorted({draft.form for draft in drafts})
    alone: list[Execution] = []
    for form in forms if len(forms) > 1 else ():
        mine = [place for place, draft in enumerate(drafts) if draft.form == form]
        alone.append(ends[mine[_elect([values[place] for place in mine])[2]]])
    tokens = sum(draft.tokens for draft in drafts)
    # Texts in several forms are not several samples of one thing.
    sampled = values if len(values) > 1 and not alone else ()
    return Choice(winner, drafts[chosen], ends[chosen], votes, tokens, tuple(alone), sampled)


def _elect(values: Sequence[str | None]) -> tuple[str | None, dict[str, int], int]:
    """The value with most votes, the votes, and the place of the first that gave it, or 0."""
    winner, votes = vote(values)
    return winner, votes, next((place for place, value in enumerate(values) if winner and value == winner), 0)


def answer_of(choice: Choice, seconds: float, thoughts: Forms = program) -> Answer:
    """A choice as the answer that is given to whoever asked; its steps are lines, where these run one by one."""
    linewise = forms_of(thoughts)[choice.draft.form].LINEWISE
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
