"""Questions to answers with any decoder: programs are written, executed, and where it is asked for written again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pad_ray.decode.answering import Ask, Choice, choose, write
from pad_ray.decode.engine import Engine
from pad_ray.decode.repair import repaired
from pad_ray.decode.scorers import Scorer
from pad_ray.decode.stepwise import Watch, search
from pad_ray.errors import UsageError
from pad_ray.recipe import Decode
from pad_ray.thoughts.protocol import Execute, RepairForm, Thought


def solve(
    engine: Engine,
    execute: Execute,
    thought: Thought,
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
        check_decode(thought, decode)
    choices: dict[int, Choice] = {}
    plain = [place for place, ask in enumerate(asks) if ask.decode.kind != "beam"]
    written = write(engine, thought, [asks[place] for place in plain], prompt=prompt, stop=stop)
    executions = iter(
        thought.conclude(execute, [draft.program for drafts in written for draft in drafts if draft.flaw is None])
    )
    for place, drafts in zip(plain, written, strict=True):
        choices[place] = choose(drafts, [next(executions) for draft in drafts if draft.flaw is None])
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


def check_decode(thought: Thought, decode: Decode) -> None:
    """Raises UsageError where a form of reasoning cannot be decoded so."""
    _, texts = thought.NAMES
    hint = "Use greedy, or vote."
    if decode.kind == "beam" and not thought.LINEWISE:
        raise UsageError(
            f"decode: beams execute what is written so far, and this student writes {texts}, which cannot be.",
            hint=hint,
        )
    if decode.repairs and thought.repair_prompt is None:
        raise UsageError(
            f"decode: repairs start from what an interpreter says of a program, and this student writes {texts}.",
            hint=hint,
        )
