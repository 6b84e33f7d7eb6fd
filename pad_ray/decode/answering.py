"""From questions to answers, in two halves with the sandbox between them: write programs, then settle on an answer.

The halves are plain functions, so that one process can do all of it (the Reasoner), or one machine each (the service).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from types import ModuleType

from pad_ray.decode.engine import Engine
from pad_ray.decode.steps import Ending, steps
from pad_ray.decode.voting import vote
from pad_ray.grading.verdict import judge
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Decode
from pad_ray.records import Answer
from pad_ray.sandbox.execution import Execution


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


def write(engine: Engine, thought: ModuleType, asks: Sequence[Ask]) -> list[list[Draft]]:
    """The programs for each question: one for greedy, `samples` for vote. Asks that decode alike go together."""
    drafts: list[list[Draft]] = [[] for _ in asks]
    groups: dict[tuple[int, float], list[tuple[int, int]]] = {}
    for place, ask in enumerate(asks):
        greedy = ask.decode.kind == "greedy"
        group = groups.setdefault((ask.decode.max_tokens, 0.0 if greedy else ask.decode.temperature), [])
        group += [(place, number) for number in range(1 if greedy else ask.decode.samples)]
    for (max_tokens, temperature), group in groups.items():
        completions = engine.generate(
            [thought.student_prompt(asks[place].question) for place, _ in group],
            max_tokens=max_tokens,
            temperature=temperature,
            seed=[_seed(asks[place], number) for place, number in group],
        )
        for (place, _), completion in zip(group, completions, strict=True):
            parsed = thought.parse(completion.text, completion.finish_reason)
            drafts[place].append(Draft(parsed.program, parsed.outcome, completion.completion_tokens))
    return drafts


def settle(drafts: Sequence[Draft], executions: Sequence[Execution], seconds: float) -> Answer:
    """The answer to one question, from its drafts and the executions of those without a flaw, in the same order.

    The value that most programs gave wins, with the first program that gave it. If none gave one, the answer is None
    and the outcome is what became of the first program.
    """
    runs = iter(executions)
    judged = [(draft.flaw, None) if draft.flaw is not None else judge(next(runs), None)[:2] for draft in drafts]
    winner, votes = vote([value for _, value in judged])
    chosen = next((place for place, (_, value) in enumerate(judged) if winner and value == winner), 0)
    program, outcome = drafts[chosen].program, judged[chosen][0]
    ending: Ending = "value" if winner else "failed" if drafts[chosen].flaw is None else "not_run"
    return Answer(
        id=f"answer-{uuid.uuid4().hex}",
        answer=winner,
        outcome=outcome,
        program=program,
        steps=steps(program, ending),
        votes=votes,
        tokens=sum(draft.tokens for draft in drafts),
        seconds=round(seconds, 6),
    )


def _seed(ask: Ask, number: int) -> int:
    """The seed of one program of an ask."""
    return Random(f"{ask.seed}/{number}/{ask.question}").getrandbits(63)
