"""Which verified programs become examples: canonical, different from each other, few enough, in balance."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pad_ray.curate.comments import with_comments
from pad_ray.outcomes import Outcome
from pad_ray.records import Example, Problem, Verdict
from pad_ray.thoughts.protocol import Thought
from pad_ray.thoughts.rewriting import root_of


@dataclass(frozen=True, slots=True)
class Candidate:
    """A correct text in the form that is taught, not yet judged in that form."""

    sample_id: str
    problem: Problem
    program: str


def candidates(
    thought: Thought,
    verdicts: Iterable[tuple[Problem, Verdict, str]],
    known: Mapping[str, Sequence[str]],
    max_chars: int,
    dropped: Counter[str],
    *,
    comments: bool = False,
) -> list[Candidate]:
    """Distinct texts of the correct verdicts in the form that is taught; what falls away is counted in `dropped`.

    `verdicts` brings each Verdict with its Problem and entry name; `known` holds the texts by problem id that
    earlier rounds already teach. With `comments`, those of programs are taught too.
    """
    seen = defaultdict[str, set[str]](set)
    for problem_id, programs in known.items():
        seen[problem_id].update(thought.mark(program) for program in programs)
    kept: list[Candidate] = []
    for problem, verdict, entry in verdicts:
        if verdict.outcome is not Outcome.CORRECT:
            dropped[verdict.outcome.value] += 1
            continue
        program, reason = thought.target(verdict.program, entry)
        program = with_comments(verdict.program, program) if comments else program
        if reason:
            dropped[reason] += 1
        elif len(program) > max_chars:
            dropped["too_long"] += 1
        elif (mark := thought.mark(program)) in seen[problem.problem_id]:
            dropped["duplicate_program"] += 1
        else:
            seen[problem.problem_id].add(mark)
            kept.append(Candidate(verdict.sample_id, problem, program))
    return kept


def capped(found: Sequence[Candidate], max_per_problem: int, dropped: Counter[str]) -> list[Candidate]:
    """At most so many programs of one problem, in the order of sampling."""
    taken = Counter[str]()
    kept: list[Candidate] = []
    for candidate in found:
        taken[candidate.problem.problem_id] += 1
        if taken[candidate.problem.problem_id] <= max_per_problem:
            kept.append(candidate)
        else:
            dropped["over_cap"] += 1
    return kept


def quotas(by_source: Mapping[str, int], max_ratio: float | None) -> dict[str, float]:
    """Share of each source's examples to keep so that none has more than `max_ratio` times the smallest source.

    Problems that were made of others count with the source of those.
    """
    together = Counter[str]()
    for source, count in by_source.items():
        together[root_of(source)] += count
    smallest = min((count for count in together.values() if count), default=0)
    if max_ratio is None or not smallest:
        return dict.fromkeys(by_source, 1.0)
    return {source: min(1.0, max_ratio * smallest / max(together[root_of(source)], 1)) for source in by_source}


def in_balance(example: Example, share: Mapping[str, float]) -> bool:
    """Whether an example is inside its source's share; decided by its id alone, so any worker decides alike."""
    digest = hashlib.blake2b(example.example_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64 < share.get(example.source, 1.0)


def mix(
    new: Sequence[Example], earlier: Sequence[Example], replay: float, seed: int, repair_ratio: float | None = None
) -> list[Example]:
    """What a round trains on: the new examples, and `replay` earlier ones per new one, in a seeded order.

    Of the repairs at most `repair_ratio` per other example stay, drawn by the same seed.
    """
    generator = random.Random(seed)
    count = min(len(earlier), round(replay * len(new)))
    mixture = [*new, *generator.sample(list(earlier), count)]
    generator.shuffle(mixture)
    if repair_ratio is None:
        return mixture
    most = int(repair_ratio * sum(not _is_repair(example) for example in mixture))
    surplus = {example.example_id for example in [*filter(_is_repair, mixture)][most:]}
    return [example for example in mixture if example.example_id not in surplus]


def _is_repair(example: Example) -> bool:
    return example.task == "repair"
