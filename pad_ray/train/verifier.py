"""Training a verifier: a linear head that tells from the student's states whether a program will be right.

The student writes several programs for every training question; each is executed and judged. Every token of a program
has the program's verdict as its label (Cobbe et al. 2021, 2110.14168), and a logistic regression learns it from what
the student's last layer makes of that token. Questions that are held out say how well it tells them apart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pad_ray.decode.verifier import CARD, FOLDER, FORMAT, WEIGHTS, states
from pad_ray.errors import NothingToTrainOn
from pad_ray.grading.verdict import judge
from pad_ray.outcomes import Outcome
from pad_ray.records import Problem
from pad_ray.storage import Storage
from pad_ray.thoughts.protocol import Execute, Thought

if TYPE_CHECKING:
    import torch

    from pad_ray.decode.transformers_engine import TransformersEngine

HELD_OUT = 0.1
"""Share of the questions on which the head is measured, decided by a hash of their ids."""
DECAY = 1e-3
"""Weight of the squared length of the head, per standardised state."""
ROUNDS = 200
"""Most iterations of L-BFGS."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the programs are drawn that the head learns from."""

    samples: int = 8
    """Programs per question."""
    temperature: float = 0.7
    """Their sampling temperature."""
    max_tokens: int = 256
    """Limit on one program, in tokens."""
    seed: int = 0
    """Seed of the drawing."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A program that the student wrote, with its verdict."""

    problem_id: str
    """The question's."""
    prompt: str
    """What the student read."""
    tokens: tuple[int, ...]
    """What it wrote, as token ids."""
    right: bool
    """Whether its value is the gold answer."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A head, and what is known of it."""

    weight: torch.Tensor
    """[width]"""
    bias: torch.Tensor
    """[]"""
    questions: int
    """Questions it has learned from."""
    programs: int
    """Programs it has learned from."""
    right: float
    """Share of all programs that are right."""
    held_out: int
    """Programs of held-out questions."""
    auc: float | None
    """How often it puts a right held-out program above a wrong one, at their last tokens; None: there are not both."""


def judged_programs(
    engine: TransformersEngine,
    execute: Execute,
    thought: Thought,
    problems: Sequence[Problem],
    sampling: Sampling,
    *,
    at_once: int = 32,
) -> Iterator[list[Judged]]:
    """The student's programs for training problems with their verdicts, `at_once` problems at a time."""
    for start in range(0, len(problems), at_once):
        asked = [problem for problem in problems[start : start + at_once] for _ in range(sampling.samples)]
        prompts = [thought.student_prompt(problem.question) for problem in asked]
        completions = engine.generate(
            prompts,
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            seed=[_seed(sampling.seed, place, problem) for place, problem in enumerate(asked)],
        )
        replies = [thought.parse(one.text, one.finish_reason) for one in completions]
        runs = iter(thought.conclude(execute, [reply.program for reply in replies if reply.outcome is None]))
        rows: list[Judged] = []
        for problem, prompt, completion, reply in zip(asked, prompts, completions, replies, strict=True):
            right = reply.outcome is None and judge(next(runs), problem.answer).outcome is Outcome.CORRECT
            if completion.tokens:
                rows.append(Judged(problem.problem_id, prompt, completion.tokens, right))
        yield rows


def train_head(engine: TransformersEngine, programs: Sequence[Judged]) -> Trained:
    """The head that tells right programs from wrong ones. Keeps a state of every token in memory.

    Raises NothingToTrainOn where the programs to learn from are all right or all wrong.
    """
    import torch

    learned = [one for one in programs if not _is_held_out(one.problem_id)]
    apart = [one for one in programs if _is_held_out(one.problem_id)]
    rights = {one.right for one in learned}
    if len(rights) < 2:
        what = "there are none" if not rights else "all of them are right" if rights == {True} else "none is right"
        raise NothingToTrainOn(
            f"a verifier learns from right and wrong programs, and of {len(learned)} that the student wrote {what}.",
            hint="Take more or other training problems, more samples, or a higher temperature.",
        )
    parts = _states(engine, learned)
    labels = torch.cat([torch.full((len(part),), float(one.right)) for part, one in zip(parts, learned, strict=True)])
    # A long program is one program too.
    weights = torch.cat([torch.full((len(part),), 1 / len(part)) for part in parts])
    weight, bias = fit(torch.cat(parts), labels, weights / weights.sum())
    ends = [float(part[-1] @ weight + bias) for part in _states(engine, apart)]
    return Trained(
        weight=weight,
        bias=bias,
        questions=len({one.problem_id for one in learned}),
        programs=len(learned),
        right=sum(one.right for one in programs) / len(programs),
        held_out=len(apart),
        auc=area(ends, [one.right for one in apart]),
    )


def fit(inputs: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight [width] and bias [] of the logistic regression of labels [rows] on inputs [rows, width].

    `weights` [rows] sum to 1. Inputs are standardised for the fit, so that the decay means the same for all of them.
    """
    import torch

    mean, deviation = inputs.mean(dim=0), inputs.std(dim=0).clamp(min=1e-6)
    standard = (inputs - mean) / deviation
    weight = torch.zeros(inputs.shape[1], requires_grad=True)
    bias = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        each = torch.nn.functional.binary_cross_entropy_with_logits(standard @ weight + bias, labels, reduction="none")
        total = (each * weights).sum() + DECAY * weight.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    plain = (weight / deviation).detach()
    return plain, (bias - (mean / deviation) @ weight).detach()


def area(scores: Sequence[float], rights: Sequence[bool]) -> float | None:
    """The area under the ROC curve; None unless there are both right and wrong ones."""
    from scipy.stats import mannwhitneyu

    above = [score for score, right in zip(scores, rights, strict=True) if right]
    below = [score for score, right in zip(scores, rights, strict=True) if not right]
    if not above or not below:
        return None
    return float(mannwhitneyu(above, below).statistic) / (len(above) * len(below))


def save(trained: Trained, student: Storage, about: dict[str, Any]) -> dict[str, Any]:
    """Write the head into the folder of its student; returns its card."""
    from safetensors.torch import save as to_bytes

    facts = {name: value for name, value in asdict(trained).items() if name not in ("weight", "bias")}
    card = {"format_version": FORMAT, **facts, **about}
    weights = {"weight": trained.weight.contiguous(), "bias": trained.bias.contiguous()}
    student.write(f"{FOLDER}/{WEIGHTS}", to_bytes(weights))
    student.write(f"{FOLDER}/{CARD}", (json.dumps(card, indent=2) + "\n").encode())
    return card


def _states(engine: TransformersEngine, programs: Sequence[Judged]) -> list[torch.Tensor]:
    found = states(engine, [one.prompt for one in programs], [one.tokens for one in programs])
    return [part.cpu() for part in found]


def _is_held_out(problem_id: str) -> bool:
    return int(hashlib.sha256(f"verifier/{problem_id}".encode()).hexdigest()[:8], 16) / 2**32 < HELD_OUT


def _seed(seed: int, place: int, problem: Problem) -> int:
    return int(hashlib.sha256(f"{seed}/{place}/{problem.problem_id}".encode()).hexdigest()[:15], 16)
