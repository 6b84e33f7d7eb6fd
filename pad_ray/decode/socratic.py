"""A student that answers in steps: it asks its sub-questions, then answers them in order, each with what it found.

One model has both tasks (Socratic CoT, 2212.00193, has two). To whoever calls it, it is an engine: the prompt that asks
for sub-questions comes back with the whole dialogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pad_ray.decode.engine import Completion, Engine
from pad_ray.records import Step
from pad_ray.thoughts import socratic

MOST = 16
"""Sub-questions that are answered; a student that asks more has lost its thread."""


@dataclass(slots=True)
class _Dialogue:
    """One problem on its way."""

    place: int
    """Its place among the prompts."""
    question: str
    seed: int
    asked: list[str] = field(default_factory=list[str])
    """Its sub-questions."""
    answered: list[Step] = field(default_factory=list[Step])
    read: int = 0
    """Tokens of its prompts."""
    tokens: int = 0
    """Tokens that were generated."""
    cut: bool = False
    """Whether its limit was reached."""
    text: str = ""
    """What it wrote where no sub-question was found in it."""

    def take(self, completion: Completion, limit: int) -> None:
        """Count a turn."""
        self.read += completion.prompt_tokens
        self.tokens += completion.completion_tokens
        self.cut = completion.finish_reason == "length" or self.tokens > limit

    @property
    def goes_on(self) -> bool:
        """Whether another sub-question is to be answered: not where one was left without a value."""
        valued = not self.answered or bool(socratic.value(self.answered[-1]))
        return not self.cut and valued and len(self.answered) < len(self.asked)

    def completion(self) -> Completion:
        """The dialogue as one text."""
        text = socratic.render(self.answered) or self.text
        return Completion(text, "length" if self.cut else "stop", self.read, self.tokens)


class InSteps:
    """An engine that answers prompts for sub-questions with dialogues, and any other prompt as it is."""

    def __init__(self, engine: Engine, given: Mapping[str, Sequence[str]] | None = None) -> None:
        """`given` are sub-questions by question, for problems whose own ones are not to be asked."""
        self._engine, self._given = engine, given or {}

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int,
        temperature: float,
        seed: int | Sequence[int],
        stop: str = "",
        written: Sequence[Sequence[int]] = (),
        wanted: Callable[[int], bool] | None = None,
    ) -> list[Completion]:
        """See `Engine.generate`; `max_tokens` bounds a whole dialogue, whose token ids are not told."""
        settings: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature, "stop": stop}
        questions = [question for prompt in prompts if (question := socratic.question_of(prompt)) is not None]
        if len(questions) < len(prompts):
            # Asked for in another way, as an untrained model is in a chat.
            return self._engine.generate(prompts, seed=seed, written=written, wanted=wanted, **settings)
        seeds = [
            Random(f"{seed}/{place}").getrandbits(63) if isinstance(seed, int) else seed[place]
            for place in range(len(prompts))
        ]
        dialogues = [_Dialogue(place, *one) for place, one in enumerate(zip(questions, seeds, strict=True))]
        self._ask(dialogues, wanted, settings)
        while going := [one for one in dialogues if one.goes_on]:
            self._answer(going, wanted, settings)
        return [one.completion() for one in dialogues]

    def _ask(
        self,
        dialogues: Sequence[_Dialogue],
        wanted: Callable[[int], bool] | None,
        settings: Mapping[str, Any],
    ) -> None:
        """Every dialogue's sub-questions, in one call."""
        asking = [one for one in dialogues if one.question not in self._given]
        for one in dialogues:
            one.asked = list(self._given.get(one.question, ()))[:MOST]
        prompts = [socratic.student_prompt(one.question) for one in asking]
        for one, completion in zip(asking, self._turn(asking, prompts, wanted, settings), strict=True):
            one.take(completion, settings["max_tokens"])
            # Asked once more, a sub-question has its answer; weak students go round in circles like that.
            one.text, one.asked = completion.text, list(dict.fromkeys(socratic.sub_questions(completion.text)))[:MOST]

    def _answer(
        self,
        going: Sequence[_Dialogue],
        wanted: Callable[[int], bool] | None,
        settings: Mapping[str, Any],
    ) -> None:
        """The next answer of every dialogue that goes on, in one call."""
        prompts = [socratic.answer_prompt(one.question, one.answered, one.asked[len(one.answered)]) for one in going]
        for one, completion in zip(going, self._turn(going, prompts, wanted, settings), strict=True):
            one.take(completion, settings["max_tokens"])
            one.answered.append(Step(one.asked[len(one.answered)], " ".join(completion.text.split())))

    def _turn(
        self,
        some: Sequence[_Dialogue],
        prompts: Sequence[str],
        wanted: Callable[[int], bool] | None,
        settings: Mapping[str, Any],
    ) -> list[Completion]:
        if not some:
            return []
        heed: dict[str, Any] = {"wanted": lambda row: wanted(some[row].place)} if wanted else {}
        seeds = [Random(f"{one.seed}/{len(one.answered)}/{one.tokens}").getrandbits(63) for one in some]
        return self._engine.generate(prompts, seed=seeds, **settings, **heed)
