"""Self-repair: a program that failed is shown to its author with what the interpreter said (PaD 2305.13888, 3.3).

The message is all there is to go by. A value is never called wrong here, since nobody knows the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pad_ray.decode.answering import Ask, Choice, Draft
from pad_ray.decode.engine import Engine
from pad_ray.outcomes import Outcome
from pad_ray.sandbox.execution import Execution
from pad_ray.thoughts.feedback import FEEDBACK
from pad_ray.thoughts.protocol import Execute, RepairForm, Thought


@dataclass(slots=True)
class _Mending:
    """One question on its way to a program that runs."""

    ask: Ask
    choice: Choice
    mark: Callable[[str], str]
    """Equal for texts that are the same."""
    program: str = ""
    """What failed last."""
    message: str = ""
    """What is said of it; empty: there is nothing to be mended, or no use in trying again."""
    seen: set[str] = field(default_factory=set[str])
    """Marks of all programs that were there."""

    def __post_init__(self) -> None:
        if self.choice.answer is None:
            self._note(self.choice.draft, self.choice.execution)

    def take(self, draft: Draft, execution: Execution) -> None:
        """What came of a turn."""
        self.choice = replace(self.choice, tokens=self.choice.tokens + draft.tokens)
        self._note(draft, execution)
        if execution.outcome is Outcome.OK and execution.value:
            votes = {execution.value: 1}
            self.choice = replace(self.choice, answer=execution.value, draft=draft, execution=execution, votes=votes)

    def _note(self, draft: Draft, execution: Execution) -> None:
        mark = self.mark(draft.program)
        told = FEEDBACK.get(execution.outcome, "") if mark not in self.seen else ""
        self.program, self.message = draft.program, told.format(detail=execution.detail)
        self.seen.add(mark)


def repaired(
    engine: Engine,
    execute: Execute,
    thought: Thought,
    asks: Sequence[Ask],
    choices: Sequence[Choice],
    *,
    form: RepairForm | None = None,
    stop: str = "",
) -> list[Choice]:
    """The choices, where those without a value were given up to `repairs` greedy turns of the student to mend them.

    The turns of a question end with a value, with a text that failed before, or with a failure that no message
    describes; without a form of repair there are none. What stays without a value keeps its first text. `tokens`
    counts all turns.
    """
    form = form or thought.repair_prompt
    if form is None:
        return list(choices)
    mending = [_Mending(ask, choice, thought.mark) for ask, choice in zip(asks, choices, strict=True)]
    turn = 0
    while going := [one for one in mending if one.message and one.ask.decode.repairs > turn]:
        turn += 1
        # What is decoded together shares its limit.
        for limit in dict.fromkeys(one.ask.decode.max_tokens for one in going):
            some = [one for one in going if one.ask.decode.max_tokens == limit]
            prompts = [form(one.ask.question, one.program, one.message) for one in some]
            completions = engine.generate(prompts, max_tokens=limit, temperature=0.0, seed=0, stop=stop)
            replies = [thought.parse(completion.text, completion.finish_reason) for completion in completions]
            runs = iter(thought.conclude(execute, [reply.program for reply in replies if reply.outcome is None]))
            for one, reply, completion in zip(some, replies, completions, strict=True):
                execution = next(runs) if reply.outcome is None else Execution(reply.outcome)
                # What was read is the question; that a turn reads it again is how a repair works.
                read = one.choice.draft.prompt_tokens
                one.take(Draft(reply.program, reply.outcome, completion.completion_tokens, read), execution)
    return [one.choice for one in mending]
