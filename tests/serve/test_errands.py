"""What nobody waits for any more is not worked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pad_ray.decode.answering import Ask
from pad_ray.decode.engine import Completion
from pad_ray.recipe import Decode
from serve.errands import Abandoned, Attended, errand


class Counting:
    """Repeats what it reads."""

    def __init__(self) -> None:
        self.calls = 0

    def generate(self, prompts: Sequence[str], **settings: Any) -> list[Completion]:
        self.calls += 1
        return [Completion(prompt, "stop", 1, 1) for prompt in prompts]


def test_a_search_goes_on_as_long_as_somebody_waits_for_it() -> None:
    engine = Counting()
    with errand(Ask("a question", Decode())) as one:
        search = Attended(engine, one)
        assert search.generate(["a", "b"], max_tokens=1)[1].text == "b"
    with pytest.raises(Abandoned):
        search.generate(["a"], max_tokens=1)
    assert engine.calls == 1
