"""Questions become prompts, programs become answers; nothing here needs a model or a sandbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pad_ray.decode.answering import Ask, Draft, answer_of, choose, write
from pad_ray.decode.engine import Completion
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Decode
from pad_ray.sandbox.execution import Execution
from pad_ray.thoughts import program as thought


class Scribe:
    """An engine that writes its prompt's question and its seed into the program, and remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, float]] = []
        self.wanted: list[bool] = []

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int,
        temperature: float,
        seed: int | Sequence[int],
        stop: str = "",
        wanted: Callable[[int], bool] | None = None,
    ) -> list[Completion]:
        assert not isinstance(seed, int)
        self.wanted = [wanted(place) for place in range(len(prompts))] if wanted else []
        self.calls.append((len(prompts), max_tokens, temperature))
        return [
            Completion(f"a = {prompt.splitlines()[0]!r}\nanswer = {one}\n", "stop", 5, 7)
            for prompt, one in zip(prompts, seed, strict=True)
        ]


VOTE = Decode(kind="vote", samples=3)


def test_each_question_gets_its_programs_and_asks_that_decode_alike_go_together() -> None:
    scribe = Scribe()
    asks = [Ask("one", VOTE), Ask("two", Decode()), Ask("three", VOTE)]
    drafts = write(scribe, thought, asks)
    assert [len(written) for written in drafts] == [3, 1, 3]
    assert all(ask.question in draft.program for ask, written in zip(asks, drafts, strict=True) for draft in written)
    assert sorted(scribe.calls) == [(1, 256, 0.0), (6, 256, 0.7)]


def test_a_questions_programs_do_not_depend_on_who_asks_beside_it() -> None:
    alone = write(Scribe(), thought, [Ask("one", VOTE, seed=4)])
    crowd = write(Scribe(), thought, [Ask("one", VOTE, seed=4), Ask("two", VOTE), Ask("one", VOTE, seed=4)])
    assert crowd[0] == crowd[2] == alone[0]
    assert len({draft.program for draft in alone[0]}) == 3
    assert write(Scribe(), thought, [Ask("one", VOTE, seed=5)]) != alone


def test_whether_a_question_is_still_wanted_is_said_of_each_of_its_programs() -> None:
    engine = Scribe()
    write(engine, thought, [Ask("one", VOTE), Ask("two", VOTE)], wanted=lambda place: place == 1)
    assert engine.wanted == [False] * 3 + [True] * 3


def draft(value: str, flaw: Outcome | None = None) -> Draft:
    return Draft(f"def solution():\n    return {value}\n", flaw, tokens=10)


def test_the_vote_decides_and_the_first_program_with_its_value_is_shown() -> None:
    drafts = [draft("3"), draft("oops"), draft("", Outcome.TRUNCATED), draft("7.0"), draft("7")]
    executions = [
        Execution(Outcome.OK, "3"),
        Execution(Outcome.RUNTIME_ERROR, detail="NameError: oops"),
        Execution(Outcome.OK, "7.0"),
        Execution(Outcome.OK, "7"),
    ]
    answer = answer_of(choose(drafts, executions), 0.5)
    assert (answer.answer, answer.outcome, answer.program) == ("7.0", Outcome.OK, drafts[3].program)
    assert answer.votes == {"3": 1, "7.0": 2}
    assert [step["state"] for step in answer.steps] == ["ran", "ran"]
    assert (answer.tokens, answer.seconds) == (50, 0.5)


def test_without_any_value_the_answer_is_none_and_the_first_program_says_why() -> None:
    answer = answer_of(
        choose([draft("oops"), draft("1 / 0")], [Execution(Outcome.RUNTIME_ERROR), Execution(Outcome.TIMEOUT)]), 0.1
    )
    assert (answer.answer, answer.outcome, answer.votes) == (None, Outcome.RUNTIME_ERROR, {})
    assert {step["state"] for step in answer.steps} == {"unknown"}


def test_a_reply_that_never_ran_says_so() -> None:
    answer = answer_of(choose([draft("1", Outcome.TRUNCATED)], []), 0.1)
    assert (answer.answer, answer.outcome) == (None, Outcome.TRUNCATED)
    assert {step["state"] for step in answer.steps} == {"not_run"}


def test_every_answer_has_an_id_of_its_own() -> None:
    choice = choose([draft("1")], [Execution(Outcome.OK, "1")])
    assert answer_of(choice, 0).id != answer_of(choice, 0).id
