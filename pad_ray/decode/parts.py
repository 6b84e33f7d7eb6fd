"""A student of two parts as one engine: each prompt goes to the part that was trained on its task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from pad_ray.decode.engine import Completion
from pad_ray.decode.student_engine import StudentEngine
from pad_ray.thoughts import socratic


class InParts(StudentEngine):
    """The decomposer gets the prompts that ask for sub-questions, the solver all others (2212.00193, section 3)."""

    def __init__(self, solver: StudentEngine, decomposer: StudentEngine) -> None:
        """From both engines, whose models are in memory together. As a whole it is named as the solver is."""
        super().__init__(solver.student_dir, solver._tokenizer, solver.batch_size)
        self.name, self.device = solver.name, solver.device
        self.solver, self.decomposer = solver, decomposer

    def ids(self, prompt: str) -> list[int]:
        """See `StudentEngine.ids`."""
        return (self.decomposer if _asks(prompt) else self.solver).ids(prompt)

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
        """See `Engine.generate`; each part completes its prompts in one call."""
        if isinstance(seed, int):
            # Drawn here, so that a prompt's seed does not depend on which part it goes to.
            seed = [Random(f"{seed}/{place}").getrandbits(63) for place in range(len(prompts))]
        found: dict[int, Completion] = {}
        asking = {place for place, prompt in enumerate(prompts) if _asks(prompt)}
        for part, places in (
            (self.decomposer, sorted(asking)),
            (self.solver, [place for place in range(len(prompts)) if place not in asking]),
        ):
            part.batch_size, part.wraps = self.batch_size, self.wraps
            if places:
                completions = part.generate(
                    [prompts[place] for place in places],
                    max_tokens=max_tokens,
                    temperature=temperature,
                    seed=[seed[place] for place in places],
                    stop=stop,
                    written=[written[place] for place in places] if written else (),
                    wanted=_heeded(wanted, places),
                )
                found.update(zip(places, completions, strict=True))
        return [found[place] for place in range(len(prompts))]


def _asks(prompt: str) -> bool:
    return socratic.question_of(prompt) is not None


def _heeded(wanted: Callable[[int], bool] | None, places: Sequence[int]) -> Callable[[int], bool] | None:
    """Whether somebody waits, by the place among the prompts of one part."""
    return wanted and (lambda row: wanted(places[row]))
