"""From problems to graded answers: with programs that are executed, or with the answer asked for directly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pad_ray.decode.answering import Ask, Choice
from pad_ray.decode.engine import Engine
from pad_ray.decode.scorers import Scorer
from pad_ray.decode.socratic import InSteps
from pad_ray.decode.solving import solve
from pad_ray.evaluate.asking import Asking
from pad_ray.evaluate.metrics import GradedAnswer, summarise
from pad_ray.grading import compare
from pad_ray.grading.verdict import MEANING, judge
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Decode
from pad_ray.records import Problem
from pad_ray.sandbox import Sandbox
from pad_ray.thoughts import direct
from pad_ray.thoughts.several import Forms, names_of


def answer_batch(
    engine: Engine,
    box: Sandbox,
    problems: Sequence[Problem],
    decode: Decode,
    seed: int,
    asking: Asking,
    *,
    scorer: Scorer | None = None,
    rounded: bool = False,
) -> list[GradedAnswer]:
    """Answer problems together in the form they are asked for; one graded answer per problem, in order.

    `scorer` is for beams that name one. With `rounded`, numbers are matched as in the PaD paper (see
    `pad_ray.grading.compare`).
    """
    asks = [Ask(problem.question, decode, seed) for problem in problems]
    # Without the gold answer: it may decide what is right, never which program is chosen, or written again.
    choices = solve(
        engine,
        box.run,
        asking.thoughts,
        asks,
        prompt=None if isinstance(asking.thoughts, tuple) else asking.prompt,
        repair=asking.repair,
        stop=asking.stop,
        scorer=scorer,
    )
    return [
        _graded(problem, choice, rounded, asking.thoughts) for problem, choice in zip(problems, choices, strict=True)
    ]


def answer_given(
    engine: Engine,
    box: Sandbox,
    problems: Sequence[Problem],
    decode: Decode,
    seed: int,
    asking: Asking,
    *,
    rounded: bool = False,
) -> dict[str, Any]:
    """What a student of dialogues reaches where annotated sub-questions are given to it: `oracle_sub_questions`.

    That is what it could reach if it asked the right sub-questions; nothing where no problem has any.
    """
    # A dialogue in which one sub-question is empty could not be read back.
    annotated = [one for one in problems if one.steps and all(step.question.strip() for step in one.steps)]
    if not annotated:
        return {}
    given = {problem.question: [step.question for step in problem.steps] for problem in annotated}
    graded = answer_batch(InSteps(engine, given), box, annotated, decode, seed, asking, rounded=rounded)
    whole = summarise(graded, seconds=0)
    return {"oracle_sub_questions": {key: whole[key] for key in ("n", "correct", "accuracy", "ci95")}}


def answer_directly(
    engine: Engine, problems: Sequence[Problem], asking: Asking, *, rounded: bool = False
) -> list[GradedAnswer]:
    """Have problems answered together without any program; `detail` is the reply that the answer was read from."""
    completions = engine.generate(
        [asking.prompt(problem.question) for problem in problems],
        max_tokens=direct.MAX_TOKENS,
        temperature=0.0,
        seed=0,
        stop=asking.stop,
    )
    answers: list[GradedAnswer] = []
    for problem, completion in zip(problems, completions, strict=True):
        value = direct.read_answer(completion.text, problem.answer)
        outcome = MEANING[compare(value, problem.answer, rounded=rounded)] if value else Outcome.NO_ANSWER
        answers.append(
            GradedAnswer(
                problem_id=problem.problem_id,
                question=problem.question,
                gold=problem.answer,
                answer=value or None,
                outcome=outcome,
                detail=completion.text.strip(),
                program="",
                tokens=completion.completion_tokens,
                source=problem.source,
            )
        )
    return answers


def _graded(problem: Problem, choice: Choice, rounded: bool, thoughts: Forms) -> GradedAnswer:
    alone = [judge(end, problem.answer, rounded=rounded).outcome.value for end in choice.alone]
    outcome, value, detail = judge(choice.execution, problem.answer, rounded=rounded)
    return GradedAnswer(
        problem_id=problem.problem_id,
        question=problem.question,
        gold=problem.answer,
        answer=value or None,
        outcome=outcome,
        detail=detail,
        program=choice.draft.program,
        tokens=choice.tokens,
        source=problem.source,
        forms=dict(zip(names_of(thoughts), alone, strict=True)) if alone else {},
        values=choice.values,
    )
