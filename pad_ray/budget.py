"""How large a run may be in the time it is given: from measured speeds to training tokens and questions a suite.

Pure arithmetic; `flow.calibrate` measures. What it assumes is written down here, each as one constant.
"""

from __future__ import annotations

from dataclasses import dataclass

QUESTIONS = (30, 60)
"""Fewest and most questions of a suite: fewer say nothing, more cost training time."""
PASSES = 2.5
"""Passes over the examples after which more questions, for narrower intervals, begin to cost training time."""
EVALUATION_SHARE = 0.3
"""Most of the time left then that questions beyond the fewest may take."""
REFINEMENT_SHARE = 0.05
"""Share of the remaining time in which the student writes programs for one refinement round."""
REFINEMENT_WEIGHT = 0.25
"""Training tokens of a refinement round, for each of round 0."""
STAGE_S = 20.0
"""Seconds a stage takes before and after its work: starting processes, importing torch, loading and saving weights."""
DIRECT_TOKENS = 48
"""Tokens of an answer without a program."""
TAIL = 1.5
"""Decoding slows down with the length of what was read, and when only a few long rows of a batch are left."""
RAMBLING = 0.8
"""An untrained student that is asked for a program without examples mostly writes on to the limit."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """What a calibration measured."""

    train_tokens_per_s: float
    """Tokens (prompt and completion) through forward, backward and optimizer."""
    read_tokens_per_s: float
    """Prompt tokens read before the first token is generated."""
    decode_tokens_per_s: float
    """Tokens generated after that, in full batches."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the recipe and the examples of round 0 ask for."""

    suites: int
    """Evaluation suites."""
    longest_suite: int
    """Questions of the largest."""
    probes: int
    """Suites that every student is asked in all ways."""
    prompts: tuple[str, ...]
    """Ways in which the untrained student is asked."""
    max_tokens: int
    """Limit on a decoded program."""
    prompt: float
    """Mean length of a question as the student reads it, in tokens."""
    completion: float
    """Mean length of a program to learn, in tokens."""
    epoch: int
    """Tokens (prompt and completion) of all examples of round 0."""
    epochs: float
    """Passes over them that the recipe wants."""
    most_tokens: int | None
    """Most training tokens that the recipe wants, or None."""
    rounds: int
    """Refinement rounds."""
    samples: int
    """Programs per problem in a refinement round."""
    problems: int
    """Training problems."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the run is made."""

    questions: int
    """Questions of a suite, at most."""
    train_tokens: int
    """Training tokens of round 0."""
    refine_tokens: int
    """Training tokens of a refinement round."""
    refine_problems: int
    """Training problems the student writes programs for in a refinement round."""
    seconds: float
    """Time it should take from here."""


def fit(seconds: float, speeds: Speeds, shape: Shape) -> Sizes:
    """The largest run that should end within so many seconds from now, or the smallest that makes sense."""
    overhead = STAGE_S * (bool(shape.prompts) + 2 + 4 * shape.rounds)
    left = max(0.0, seconds - overhead)
    read = shape.prompt / speeds.read_tokens_per_s
    program = read + TAIL * shape.completion / speeds.decode_tokens_per_s
    baselines = len(shape.prompts) * read + _baselines(shape) / speeds.decode_tokens_per_s
    question = shape.suites * (baselines + (shape.rounds + 1) * program) + shape.probes * (shape.rounds + 2) * baselines
    problem = shape.rounds * shape.samples * program
    weights = 1 + REFINEMENT_WEIGHT * shape.rounds
    wanted = max(1, min(round(shape.epochs * shape.epoch), shape.most_tokens or shape.epoch * 1000))
    # A pass over a quarter of the examples is the least that deserves the name of training.
    least = max(1, min(wanted, shape.epoch // 4))
    few, many = QUESTIONS
    first = min(wanted, max(least, round(PASSES * shape.epoch)))
    spare = max(0.0, left - few * (question + problem) - weights * first / speeds.train_tokens_per_s)
    questions = few + int(EVALUATION_SHARE * spare / question) if question else few
    questions = max(1, min(shape.longest_suite, many, questions))
    problems = min(shape.problems, few + int(REFINEMENT_SHARE * spare / problem)) if shape.rounds else 0
    written = problems * problem
    rest = left - questions * question - written
    tokens = min(wanted, max(int(rest * speeds.train_tokens_per_s / weights), least))
    refine_tokens = round(REFINEMENT_WEIGHT * tokens) if shape.rounds else 0
    training = (tokens + shape.rounds * refine_tokens) / speeds.train_tokens_per_s
    return Sizes(
        questions=questions,
        train_tokens=tokens,
        refine_tokens=refine_tokens,
        refine_problems=problems,
        seconds=overhead + questions * question + written + training,
    )


def _baselines(shape: Shape) -> float:
    """Tokens that the untrained student writes for one question, over all the ways it is asked."""
    costs = {
        "direct": DIRECT_TOKENS,
        "zero_shot": RAMBLING * shape.max_tokens,
        "few_shot": TAIL * shape.completion,
    }
    return sum(costs[prompt] for prompt in shape.prompts)
