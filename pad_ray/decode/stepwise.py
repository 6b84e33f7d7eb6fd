"""Step-wise beam search: line by line, and only along lines that run (PaD 2305.13888, 3.4, with execution inside).

Every beam of a question is continued by several sampled lines. What can be executed of each is executed; what raises is
dropped, what is the same program is counted once, and the best ones by likelihood and step score go on. A question is
never held up by another one, yet all of them go through the model and the sandbox together, once a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from pad_ray.decode.answering import Ask, Choice, Draft
from pad_ray.decode.engine import Completion, Engine
from pad_ray.decode.prefixes import Prefix, look
from pad_ray.decode.scorers import Scorer, Written
from pad_ray.decode.voting import vote
from pad_ray.outcomes import Outcome
from pad_ray.sandbox.execution import Execution
from pad_ray.syntax import fingerprint
from pad_ray.thoughts.protocol import Execute, Thought


@dataclass(slots=True)
class Beam:
    """A reply on its way, line by line."""

    tokens: tuple[int, ...] = ()
    """What the model wrote."""
    logprob: float = 0.0
    """The sum over its tokens."""
    text: str = ""
    """The reply so far, in whole lines."""
    program: str = ""
    """The program in it."""
    flaw: Outcome | None = None
    """Why it cannot go on or be executed, or None."""
    ended: bool = False
    """Whether the model ended it."""
    prefix: Prefix = field(default_factory=lambda: Prefix(""))
    """What of the program can be executed."""
    execution: Execution | None = None
    """What became of that."""
    score: float = 0.0
    """The higher, the better."""

    @property
    def likelihood(self) -> float:
        """Mean log-probability of a token."""
        return self.logprob / max(1, len(self.tokens))

    @property
    def has_value(self) -> bool:
        """Whether it gave a value that no further line can change."""
        done = self.ended or self.prefix.is_function
        end = self.execution
        return done and end is not None and end.outcome is Outcome.OK and end.value != ""

    @property
    def may_go_on(self) -> bool:
        """Whether nothing has gone wrong so far, and more lines are wanted."""
        if self.flaw or self.ended or self.has_value:
            return False
        runs = self.execution is None or self.execution.outcome in (Outcome.OK, Outcome.NO_ANSWER)
        return runs and not self.prefix.returns

    def mark(self) -> tuple[bool, str]:
        """Equal for beams that are the same program so far."""
        try:
            return self.ended, fingerprint(self.program) if self.program else self.text.rstrip()
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return self.ended, self.program.rstrip()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the search for one answer stands after a step."""

    program: str
    """What was executed of the best path, and ran."""
    alive: int
    """Paths that go on."""
    finished: int
    """Programs that gave a value."""
    tokens: int
    """Tokens generated so far, also for what was dropped."""


Watch = Callable[[Ask, Standing], object]
"""Is told after every step of each question."""


@dataclass(slots=True)
class _Search:
    """One question."""

    ask: Ask
    prompt: str
    read: int = 0
    """Tokens of the prompt."""
    alive: list[Beam] = field(default_factory=lambda: [Beam()])
    finished: list[Beam] = field(default_factory=list[Beam])
    """Those that gave a value, the best first."""
    dropped: Beam | None = None
    """The best of those that cannot give one."""
    tokens: int = 0
    """Tokens generated, also for what was dropped."""

    def seed(self, step: int, place: int, number: int) -> int:
        return Random(f"{self.ask.seed}/{step}.{place}.{number}/{self.ask.question}").getrandbits(63)

    def select(self, grown: Sequence[Beam]) -> None:
        """Sort out what goes on, of scored beams that are all different."""
        values = sorted([*self.finished, *(one for one in grown if one.has_value)], key=_score)
        # Of equal programs the last one stays, which is the best.
        self.finished = sorted({one.mark()[1]: one for one in values}.values(), key=_score, reverse=True)
        room = max(0, self.ask.decode.beams - len(self.finished))
        self.alive = sorted((one for one in grown if one.may_go_on), key=_score, reverse=True)[:room]
        for one in grown:
            gone = not (one.has_value or one.may_go_on)
            if gone and (self.dropped is None or _worth(one) > _worth(self.dropped)):
                self.dropped = one

    def standing(self) -> Standing:
        best = max([*self.finished, *self.alive], key=_score, default=Beam())
        return Standing(best.prefix.runnable, len(self.alive), len(self.finished), self.tokens)

    def choice(self) -> Choice:
        best = self.finished[0] if self.finished else self.dropped or Beam(flaw=Outcome.REFUSED)
        draft = Draft(best.prefix.runnable or best.program, best.flaw, len(best.tokens), self.read)
        execution = best.execution or Execution(best.flaw or Outcome.NO_ANSWER)
        _, votes = vote([one.execution.value for one in self.finished if one.execution])
        answer = execution.value if self.finished else None
        return Choice(answer, draft, execution, votes, self.tokens)


def search(
    engine: Engine,
    execute: Execute,
    thought: Thought,
    asks: Sequence[Ask],
    *,
    form: Callable[[str], str],
    stop: str = "",
    scorer: Scorer | None = None,
    watch: Watch | None = None,
) -> list[Choice]:
    """Answer questions by beams; one choice per ask, in order. All asks must decode alike.

    The score of a beam is the mean log-probability of its tokens plus `weight` times what the scorer says. It is
    finished when a `return` gave a value, or when the model ended it and it gave one; a question is when it has
    `beams` finished ones or none that may go on. The answer is the value of the best; `votes` counts those of all.
    """
    searches = [_Search(ask, form(ask.question)) for ask in asks]
    step = 0
    while going := [one for one in searches if one.alive]:
        grown = _lengthen(engine, thought, going, step, stop)
        distinct = [_distinct(beams) for beams in grown]
        _run(execute, [beam for beams in distinct for beam in beams])
        _rate(scorer, going, distinct)
        for one, beams in zip(going, distinct, strict=True):
            one.select(beams)
            if watch:
                watch(one.ask, one.standing())
        step += 1
    return [one.choice() for one in searches]


def _lengthen(engine: Engine, thought: Thought, going: Sequence[_Search], step: int, stop: str) -> list[list[Beam]]:
    """Several further lines for every beam of every question, in one call."""
    decode = going[0].ask.decode
    wanted = [
        (index, beam, one.seed(step, place, number))
        for index, one in enumerate(going)
        for place, beam in enumerate(one.alive)
        for number in range(decode.continuations)
    ]
    room = decode.max_tokens - min(len(beam.tokens) for _, beam, _ in wanted)
    completions = engine.generate(
        [going[index].prompt for index, _, _ in wanted],
        max_tokens=room,
        temperature=decode.temperature,
        seed=[seed for _, _, seed in wanted],
        stop="\n",
        written=[beam.tokens for _, beam, _ in wanted],
    )
    grown: list[list[Beam]] = [[] for _ in going]
    for (index, beam, _), completion in zip(wanted, completions, strict=True):
        going[index].tokens += completion.completion_tokens
        going[index].read = completion.prompt_tokens
        grown[index].append(_continued(thought, beam, completion, decode.max_tokens, stop))
    return grown


def _continued(thought: Thought, beam: Beam, completion: Completion, max_tokens: int, stop: str) -> Beam:
    tokens = (*beam.tokens, *completion.tokens)
    text, ended = completion.text, completion.finish_reason == "stop" and not completion.at_stop
    if completion.at_stop:
        text += "\n"
    if stop and stop in text:
        text, ended = text.split(stop, 1)[0], True
    # The room of a call is that of its shortest beam.
    cut = completion.finish_reason == "length" or len(tokens) > max_tokens
    parsed = thought.parse(text, "length" if cut else "stop")
    flaw = parsed.outcome if ended or cut else None
    prefix = Prefix("")
    if flaw is None:
        prefix = Prefix(parsed.program) if ended else look(parsed.program)
    return Beam(tokens, beam.logprob + sum(completion.logprobs), text, parsed.program, flaw, ended, prefix)


def _distinct(beams: Sequence[Beam]) -> list[Beam]:
    """The likeliest of those that are the same program."""
    ordered = sorted(beams, key=lambda beam: beam.likelihood, reverse=True)
    kept: dict[tuple[bool, str], Beam] = {}
    for beam in ordered:
        kept.setdefault(beam.mark(), beam)
    return list(kept.values())


def _run(execute: Execute, beams: Sequence[Beam]) -> None:
    """Execute what can be executed of every beam, equal programs once."""
    programs = list(dict.fromkeys(beam.prefix.runnable for beam in beams if beam.prefix.runnable))
    ends = dict(zip(programs, execute(programs) if programs else [], strict=True))
    for beam in beams:
        beam.execution = ends.get(beam.prefix.runnable)


def _rate(scorer: Scorer | None, going: Sequence[_Search], grown: Sequence[Sequence[Beam]]) -> None:
    """Give every beam its score; a scorer is asked only about those that may still answer."""
    weight = going[0].ask.decode.weight
    wanted: list[tuple[Beam, Written]] = []
    for one, beams in zip(going, grown, strict=True):
        for beam in beams:
            beam.score = beam.likelihood
            if beam.has_value or beam.may_go_on:
                wanted.append((beam, Written(one.ask.question, one.prompt, beam.tokens, beam.program)))
    if scorer and wanted:
        said = scorer.score([path for _, path in wanted])
        for (beam, _), value in zip(wanted, said, strict=True):
            beam.score += weight * value


def _score(beam: Beam) -> float:
    return beam.score


def _worth(beam: Beam) -> tuple[bool, bool, float]:
    """How much a beam that failed can say: best why its program failed, then that it was cut."""
    return beam.execution is not None, bool(beam.program), beam.score
