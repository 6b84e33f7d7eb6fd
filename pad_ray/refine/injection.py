"""Error injection: verified programs are broken on purpose and paired with what they were (PaD, 2305.13888).

The paper edits the syntax tree, names NameError and SyntaxError, and feeds back the interpreter's message. Its script
is not public, so operators and numbers are ours (docs/decisions/0007-error-injection.md). Nothing is executed here:
`mutants` draws the broken programs; once they are executed, `injected` keeps what failed as it was meant to.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pad_ray.grading.verdict import judge
from pad_ray.outcomes import Outcome
from pad_ray.recipe_refine import Refine
from pad_ray.records import Example, Problem
from pad_ray.refine.token_edits import with_losses
from pad_ray.refine.tree_edits import with_edits
from pad_ray.sandbox.execution import Execution
from pad_ray.thoughts.feedback import FEEDBACK
from pad_ray.thoughts.program import repair_prompt

TWICE = 0.2
"""Share of the programs that are broken in two places, by one operator, so that the message to expect stays one."""
RAISED = {
    "name_error": "NameError",
    "unbound_local": "UnboundLocalError",
    "syntax_error": "SyntaxError",
    "type_error": "TypeError",
    "zero_division": "ZeroDivisionError",
}
"""What the interpreter must raise, by operator; `wrong_value` must give a value that is not the answer."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A verified program that was broken on purpose, not executed yet."""

    of: Example
    """The example whose program it was."""
    operator: str
    """How it was broken."""
    number: int
    """Running number among the mutants of that program, over all rounds."""
    program: str
    """What is left of it."""

    @property
    def example_id(self) -> str:
        """`<sample_id>!<operator><i>`."""
        return f"{self.of.example_id}!{self.operator}{self.number}"


def mutants(
    examples: Iterable[Example], refine: Refine, *, round_: int, seed: int, dropped: Counter[str]
) -> list[Mutant]:
    """So many mutants of each program as the recipe says, the same ones whenever and wherever they are drawn.

    Every round draws others. Operators that have no place in a program are counted in `dropped`.
    """
    weights = refine.operators.model_dump()
    most = math.ceil(refine.injected)
    made: list[Mutant] = []
    for example in examples:
        share = random.Random(f"{seed} {example.example_id} round {round_}").random()
        first = (round_ - 1) * most
        for number in range(first, first + math.floor(refine.injected + share)):
            generator = random.Random(f"{seed} {example.example_id} mutant {number}")
            [operator] = generator.choices([*weights], [*weights.values()])
            program = broken(example.completion, operator, generator)
            if program is None:
                dropped["mutant_without_place"] += 1
            else:
                made.append(Mutant(example, operator, number, program))
    return made


def broken(program: str, operator: str, generator: random.Random) -> str | None:
    """The program with one error or, seldom, two of one operator; None if there is no place for it.

    After `syntax_error` it does not parse; after any other it does, with another syntax tree than it had.
    """
    edits = 2 if generator.random() < TWICE else 1
    if operator == "syntax_error":
        return with_losses(program, generator, edits)
    return with_edits(program, operator, generator, edits)


def injected(
    executed: Iterable[tuple[Mutant, Execution]],
    problems: Mapping[str, Problem],
    *,
    round_: int,
    taught: Iterable[str],
    dropped: Counter[str],
) -> list[Example]:
    """Repair examples from the mutants that failed as they were meant to; the others are counted in `dropped`.

    `taught` are the prompts that there are already.
    """
    made: list[Example] = []
    seen = set(taught)
    for mutant, execution in executed:
        of, problem = mutant.of, problems[mutant.of.problem_id]
        outcome, _, detail = judge(execution, problem.answer)
        if outcome is Outcome.CORRECT:
            dropped["mutant_still_correct"] += 1
        elif not _as_meant(mutant.operator, outcome, detail):
            dropped["mutant_failed_otherwise"] += 1
        else:
            error = FEEDBACK[outcome].format(detail=detail)
            prompt = repair_prompt(problem.question, mutant.program, error)
            if prompt in seen:
                dropped["duplicate_mutant"] += 1
                continue
            seen.add(prompt)
            made.append(
                Example(
                    example_id=mutant.example_id,
                    task="repair",
                    thought=of.thought,
                    prompt=prompt,
                    completion=of.completion,
                    problem_id=of.problem_id,
                    origin="injected",
                    round=round_,
                    source=of.source,
                )
            )
    return made


def by_operator(examples: Sequence[Example]) -> dict[str, int]:
    """How many injected repairs there are of each operator."""
    names = [
        example.example_id.rpartition("!")[2].rstrip("0123456789")
        for example in examples
        if example.origin == "injected"
    ]
    return dict(Counter(names))


def _as_meant(operator: str, outcome: Outcome, detail: str) -> bool:
    if operator == "wrong_value":
        return outcome is Outcome.WRONG_ANSWER
    raised = outcome in (Outcome.SYNTAX_ERROR, Outcome.RUNTIME_ERROR)
    return raised and detail.partition(":")[0] == RAISED[operator]
