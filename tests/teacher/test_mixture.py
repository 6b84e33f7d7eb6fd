"""Several endpoints as one teacher."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

import pytest

from pad_ray.errors import BudgetReached, PadRayError, TeacherError
from pad_ray.records import Message, Request, Sample
from pad_ray.teacher.bill import Reserved
from pad_ray.teacher.mixture import Mixture


class Fake:
    """Answers with its name; with an error after the first reply it stops there."""

    def __init__(self, name: str, error: Exception | None = None, turns: int = 1) -> None:
        self.name, self._error, self._turns = name, error, turns
        self.asked: list[str] = []
        self.closed = False

    async def sample(self, requests: Iterable[Request], reserved: Reserved | None = None) -> AsyncGenerator[Sample]:
        try:
            for request in requests:
                self.asked.append(request.sample_id)
                for _ in range(self._turns):
                    await asyncio.sleep(0)
                yield Sample(request.sample_id, self.name)
                if self._error:
                    raise self._error
        finally:
            self.closed = True


def requests(*models: str) -> list[Request]:
    return [Request(f"p{n}", "p", 0, (Message("user", "q"),), model, 0, 1, 0) for n, model in enumerate(models)]


async def gather(mixture: Mixture, models: tuple[str, ...]) -> tuple[list[Sample], Exception | None]:
    found: list[Sample] = []
    try:
        async for sample in mixture.sample(requests(*models)):
            found.append(sample)
    except (PadRayError, ValueError) as error:
        return found, error
    return found, None


def test_every_request_goes_to_the_endpoint_of_its_model_and_comes_back_once() -> None:
    shared, other = Fake("one"), Fake("two")
    mixture = Mixture({"a": shared, "b": other, "c": shared})
    found, error = asyncio.run(gather(mixture, ("a", "b", "c", "a", "b")))
    assert error is None
    assert {sample.sample_id: sample.text for sample in found} == {
        "p0": "one", "p1": "two", "p2": "one", "p3": "one", "p4": "two"
    }  # fmt: skip
    assert len(found) == 5
    assert shared.asked == ["p0", "p2", "p3"]


def test_when_one_endpoint_stops_what_the_others_have_is_not_lost() -> None:
    mixture = Mixture({"a": Fake("one", BudgetReached("cap")), "b": Fake("two", turns=20)})
    found, error = asyncio.run(gather(mixture, ("a", "a", "b", "b", "b")))
    assert sorted(sample.sample_id for sample in found) == ["p0", "p2", "p3", "p4"]
    assert isinstance(error, BudgetReached)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (BudgetReached("cap"), TeacherError("bad key"), "bad key"),
        (TeacherError("bad key"), ValueError("a bug"), "a bug"),
    ],
)
def test_of_several_reasons_to_stop_the_one_that_says_most_is_told(
    first: Exception, second: Exception, told: str
) -> None:
    mixture = Mixture({"a": Fake("one", first), "b": Fake("two", second)})
    assert told in str(asyncio.run(gather(mixture, ("a", "b")))[1])


def test_nothing_goes_on_behind_a_mixture_that_is_given_up() -> None:
    slow = Fake("two", turns=10**6)

    async def first_only() -> None:
        async with aclosing(Mixture({"a": Fake("one"), "b": slow}).sample(requests("a", "b"))) as samples:
            assert (await anext(samples)).text == "one"

    asyncio.run(first_only())
    assert slow.closed
