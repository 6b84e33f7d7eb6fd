"""The Reasoner: question → programs → execution → Answer, in one process."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError

from pad_ray.decode.answering import Ask, answer_of
from pad_ray.decode.scorers import Scorer
from pad_ray.decode.scoring import load_scorer
from pad_ray.decode.solving import solve
from pad_ray.errors import StudentError, UsageError
from pad_ray.recipe import Decode
from pad_ray.records import Answer
from pad_ray.sandbox import Sandbox
from pad_ray.storage import resolve_uri
from pad_ray.students import local_student
from pad_ray.thoughts import THOUGHTS
from pad_ray.thoughts.several import Forms, named

if TYPE_CHECKING:
    from pad_ray.decode.engine import Engine

CARD_FORMAT = 1
"""The `format_version` of pad_ray.json that this version reads."""


class Reasoner:
    """Answers questions with a trained student, whose programs run in a sandbox.

    >>> from pad_ray import Reasoner
    >>> with Reasoner.load("runs/quick/round-1/student") as reasoner:  # doctest: +SKIP
    ...     print(reasoner.solve("A box holds 3 rows of 4 eggs. How many eggs?").answer)
    12
    """

    def __init__(
        self,
        engine: Engine,
        box: Sandbox,
        thoughts: Forms,
        scorer: Callable[[Decode], Scorer | None] = lambda _: None,
        engine_name: str = "",
    ) -> None:
        """From parts; `load` is the usual way. The sandbox must be open and is closed with the Reasoner.

        `scorer` loads what beams are scored with; it is asked once for every kind.
        """
        self.engine_name = engine_name
        """What decodes, by the name one chooses it with; two engines may write different programs."""
        self._engine, self._box, self._thoughts, self._load_scorer = engine, box, thoughts, scorer
        self._scorers: dict[str | None, Scorer | None] = {}

    @classmethod
    def load(
        cls,
        student: str | Path,
        *,
        sandbox: str = "strict",
        timeout_s: float = 1.0,
        engine: str = "auto",
        batch_size: int = 32,
    ) -> Self:
        """The student of a folder, a hub id or a URI, with a sandbox of at least level `sandbox`.

        A program gets `timeout_s`; `engine` writes `batch_size` programs at a time (see `load_engine`). What must be
        fetched is announced on stderr and fetched once. Raises StudentError for what is not a student, SandboxError if
        this machine cannot reach the level.
        """
        from pad_ray.decode.loading import load_engine

        folder = local_student(str(student), say=partial(print, file=sys.stderr), key="student")
        thoughts = student_thoughts(folder)
        loaded = load_engine(folder, engine, batch_size=batch_size)
        box = Sandbox(level=sandbox, timeout_s=timeout_s).__enter__()
        return cls(loaded, box, thoughts, partial(load_scorer, engine=loaded), loaded.name)

    @property
    def thoughts(self) -> Forms:
        """The form of reasoning that its student writes, or the forms."""
        return self._thoughts

    def solve(
        self,
        question: str,
        decode: str | Decode = "greedy",
        samples: int = 1,
        max_tokens: int = 256,
        *,
        temperature: float = 0.7,
        seed: int = 0,
    ) -> Answer:
        """Answer one question.

        `greedy` runs the one program the student finds likeliest; `vote` draws `samples` programs at `temperature` and
        takes the value that most of them gave; `beam` writes programs line by line and drops what raises. A `Decode` of
        `pad_ray.recipe` says all there is to say (beams, scorer, repairs), and the other settings are left as they are.
        The same question and seed get the same programs again. Raises UsageError for settings that cannot be.
        """
        return self.solve_batch([question], decode, samples, max_tokens, temperature=temperature, seed=seed)[0]

    def solve_batch(
        self,
        questions: Sequence[str],
        decode: str | Decode = "greedy",
        samples: int = 1,
        max_tokens: int = 256,
        *,
        temperature: float = 0.7,
        seed: int = 0,
    ) -> list[Answer]:
        """Answer questions together, in order. `seconds` of each answer is the time all of them took."""
        started = time.monotonic()
        settings = decode if isinstance(decode, Decode) else decode_settings(decode, samples, max_tokens, temperature)
        check_questions(questions)
        if settings.scorer not in self._scorers:
            self._scorers[settings.scorer] = self._load_scorer(settings)
        choices = solve(
            self._engine,
            # Lane solo: programs of different questions never share a process.
            partial(self._box.run, lane="solo"),
            self._thoughts,
            [Ask(question, settings, seed) for question in questions],
            scorer=self._scorers[settings.scorer],
        )
        seconds = time.monotonic() - started
        return [answer_of(choice, seconds, self._thoughts) for choice in choices]

    def close(self) -> None:
        """End the sandbox's processes."""
        self._box.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_questions(questions: Sequence[str]) -> None:
    """Raises UsageError for an empty one."""
    if not all(question.strip() for question in questions):
        raise UsageError("question: it is empty.")


def decode_settings(
    decode: str, samples: int, max_tokens: int, temperature: float = 0.7, *, repairs: int = 0
) -> Decode:
    """The settings as one value. Raises UsageError that names the one that cannot be."""
    if decode == "greedy" and samples != 1:
        raise UsageError(
            f"samples is {samples}, but greedy decoding always writes the same one program.",
            hint="Use decode 'vote' for several.",
        )
    try:
        return Decode.model_validate(
            {
                "kind": decode,
                "samples": samples,
                "max_tokens": max_tokens,
                "temperature": temperature,
                "repairs": repairs,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise UsageError(f"{first['msg'].removeprefix('Value error, ')}.") from None
        name = "decode" if first["loc"] == ("kind",) else str(first["loc"][0])
        raise UsageError(f"{name} is {first['input']!r}: {first['msg']}.") from None


def student_thoughts(student_dir: str | Path) -> Forms:
    """The form of reasoning a student was trained in, or the forms, from its pad_ray.json; without one: `program`.

    Raises StudentError for a card that this version cannot read.
    """
    path = Path(resolve_uri(str(student_dir))) / "pad_ray.json"
    if not path.is_file():
        return THOUGHTS["program"]
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        version, wanted = card["format_version"], card["thought"]
        names: list[Any] = [wanted] if isinstance(wanted, str) else list(wanted)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudentError(f"student: {path} is damaged: {error!r}.", hint="Export the student again.") from error
    if version != CARD_FORMAT or not names or any(name not in THOUGHTS for name in names):
        raise StudentError(
            f"student: {path} says format_version {version} and thought {wanted!r}; this version of pad_ray reads"
            f" format_version {CARD_FORMAT} and the thoughts {', '.join(THOUGHTS)}.",
            hint="Use the version of pad_ray that trained it, or a newer one.",
        )
    return named(wanted)
