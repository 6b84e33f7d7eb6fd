"""An engine that several callers share: what nobody waits for any more is not worked for."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import pytest

from pad_ray.decode.answering import Ask
from pad_ray.decode.engine import Completion
from pad_ray.recipe import Decode
from serve.errands import Abandoned, Searching, Shared, errand


class Once:
    """Says whether its turn was taken while it wrote."""

    def __init__(self, turn: Lock) -> None:
        self.turn, self.calls = turn, 0

    def generate(self, prompts: Sequence[str], **settings: Any) -> list[Completion]:
        assert self.turn.locked()
        self.calls += 1
        return [Completion(prompt, "stop", 1, 1) for prompt in prompts]


def test_the_engine_is_used_in_turn_and_given_back_after_every_call() -> None:
    turn = Lock()
    engine = Once(turn)
    assert Shared(engine, turn).generate(["a", "b"], max_tokens=1)[1].text == "b"
    assert engine.calls == 1 and not turn.locked()


def test_a_search_goes_on_as_long_as_anybody_waits_for_it() -> None:
    turn = Lock()
    engine = Once(turn)
    with errand(Ask("first", Decode())) as first:
        with errand(Ask("second", Decode())) as second:
            search = Searching(engine, turn, [first, second])
            search.generate(["a"])
        assert not second.wanted
        search.generate(["a"])
    with pytest.raises(Abandoned):
        search.generate(["a"])
    assert engine.calls == 2 and not turn.locked()
