"""An engine without a model: it writes the lines it was given, one token per character; and a way to run programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pad_ray.decode.engine import Completion
from pad_ray.outcomes import Outcome
from pad_ray.sandbox.execution import Execution


class Typist:
    """Goes on with a text as told: by what was written so far, the next lines with their mean log-probabilities.

    A line without a newline ends the reply. Which one it takes, the seed decides, so that enough seeds take them all.
    """

    def __init__(self, lines: Mapping[str, Sequence[tuple[str, float]]]) -> None:
        self.lines = lines
        self.calls: list[list[str]] = []
        """The prompts of every call."""

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int,
        temperature: float,
        seed: int | Sequence[int],
        stop: str = "",
        written: Sequence[Sequence[int]] = (),
    ) -> list[Completion]:
        self.calls.append(list(prompts))
        seeds = [seed] * len(prompts) if isinstance(seed, int) else seed
        befores = ["".join(map(chr, tokens)) for tokens in written] or [""] * len(prompts)
        found: list[Completion] = []
        for number, before in zip(seeds, befores, strict=True):
            options = self.lines[before]
            line, logprob = options[number % len(options)]
            cut = line[:max_tokens]
            at_stop = bool(stop) and stop in cut
            tokens = tuple(map(ord, cut))
            text = before + (cut.split(stop)[0] if stop else cut)
            reason = "stop" if at_stop or cut == line else "length"
            found.append(Completion(text, reason, 1, len(tokens), tokens, (logprob,) * len(tokens), at_stop))
        return found


class Runner:
    """Runs harmless programs in this process, and remembers them."""

    def __init__(self) -> None:
        self.programs: list[str] = []

    def __call__(self, programs: Sequence[str]) -> list[Execution]:
        self.programs += programs
        return [_run(program) for program in programs]


def _run(program: str) -> Execution:
    names: dict[str, object] = {}
    try:
        exec(compile(program, "<program>", "exec"), names)
        solution = names.get("solution")
        value = solution() if callable(solution) else None
    except SyntaxError as error:
        return Execution(Outcome.SYNTAX_ERROR, detail=f"SyntaxError: {error.msg}")
    except Exception as error:
        return Execution(Outcome.RUNTIME_ERROR, detail=f"{type(error).__name__}: {error}")
    return Execution(Outcome.NO_ANSWER) if value is None else Execution(Outcome.OK, str(value))
