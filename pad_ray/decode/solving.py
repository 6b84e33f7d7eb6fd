"""Questions to answers with any decoder: programs are written, executed, and where it is asked for written again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pad_ray.decode.answering import Ask, Choice, choose, conclude, write
from pad_ray.decode.engine import Engine
from pad_ray.decode.repair import repaired
from pad_ray.decode.scorers import Scorer
from pad_ray.decode.stepwise import Watch, search
from pad_ray.errors import UsageError
from pad_ray.recipe import Decode
from pad_ray.thoughts.protocol import Execute, RepairForm
from pad_ray.thoughts.several import Forms, words


def solve(
    engine: Engine,
    execute: Execute,
    thoughts: Forms,
    asks: Sequence[Ask],
    *,
    prompt: Callable[[str], str] | None = None,
    repair: RepairForm | None = None,
    stop: str = "",
    scorer: Scorer | None = None,
    watch: Watch | None = None,
) -> list[Choice]:
    """One choice per ask, in order, however each is to be decoded; those that decode alike go together.

    `prompt` and `repair` are what the student reads, by default the forms that the thought trains; `stop` ends a reply
    (see `Engine.generate`). `scorer` is for beams that name one, `watch` is told of their steps. Raises UsageError for
    what `check_decode` refuses.
    """
    for decode in dict.fromkeys(ask.decode for ask in asks):
        check_decode(thoughts, decode)
    choices: dict[int, Choice] = {}
    plain = [place for place, ask in enumerate(asks) if ask.decode.kind != "beam"]
    written = write(engine, thoughts, [asks[place] for place in plain], prompt=prompt, stop=stop)
    executions = iter(conclude(execute, thoughts, [draft for drafts in written for draft in drafts]))
    for place, drafts in zip(plain, written, strict=True):
        choices[place] = choose(drafts, [next(executions) for draft in drafts if draft.flaw is None])
    if isinstance(thoughts, tuple):
        return [choices[place] for place in plain]  # neither beams nor repairs are for several forms
    thought = thoughts
    searched: dict[Decode, list[int]] = {}
    for place, ask in enumerate(asks):
        if ask.decode.kind == "beam":
            searched.setdefault(ask.decode, []).append(place)
    for decode, places in searched.items():
        found = search(
            engine,
            execute,
            thought,
            [asks[place] for place in places],
            form=prompt or thought.student_prompt,
            stop=stop,
            scorer=scorer if decode.scorer else None,
            watch=watch,
        )
        choices.update(zip(places, found, strict=True))
    return repaired(
        engine, execute, thought, asks, [choices[place] for place in range(len(asks))], form=repair, stop=stop
    )


def check_decode(thoughts: Forms, decode: Decode) -> None:
    """Raises UsageError where a student of these forms of reasoning cannot be decoded so."""
    _, texts = words(thoughts).NAMES
    hint = "Use greedy, or vote."
    if decode.kind == "beam" and not words(thoughts).LINEWISE:
        raise UsageError(
            f"decode: beams execute what is written so far, and this student writes {texts}, which cannot be.",
            hint=hint,
        )
    if decode.repairs and (isinstance(thoughts, tuple) or thoughts.repair_prompt is None):
        raise UsageError(
            f"decode: repairs start from what an interpreter says of a program, and this student writes {texts}.",
            hint=hint,
        )
