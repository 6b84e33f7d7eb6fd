"""What calls cost: the bill, a worst case that is never too low, and how amounts are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.records import Message, Request
from pad_ray.teacher.money import Outlook, Price, dollars, outlook, price_of, spend_sentence

PRICE = Price(2.0, 8.0, 0.5)


def request(text: str, max_tokens: int = 100) -> Request:
    return Request("p#program.r0.k0", "p", 0, (Message("system", "s"), Message("user", text)), "m", 0.7, max_tokens, 1)


def test_cached_prompt_tokens_cost_their_own_price_and_without_one_what_others_cost() -> None:
    assert PRICE.cost(1000, 400, 10) == pytest.approx((600 * 2.0 + 400 * 0.5 + 10 * 8.0) / 1e6)
    assert price_of({"input": 3.0, "output": 4.0}).cost(10, 10, 0) == pytest.approx(30e-6)
    assert price_of("unknown_ok") == Price(known=False)


@given(st.text(max_size=200), st.integers(1, 500), st.floats(0, 1), st.floats(0, 1))
def test_no_usage_costs_more_than_the_worst_case(text: str, limit: int, cached: float, written: float) -> None:
    """Even if every byte of the prompt is a token of its own, and whatever the cache does."""
    asked = request(text, limit)
    worst = PRICE.worst(asked)
    prompt = 1 + len(text.encode(errors="backslashreplace")) + 2 * 8
    usage = (prompt, int(cached * prompt), int(written * limit))
    assert PRICE.cost(*usage) <= worst.usd
    assert prompt + int(written * limit) <= worst.tokens


def test_an_outlook_adds_up_and_lies_between_nothing_and_the_worst() -> None:
    looks = [outlook(request("word " * count)) for count in (3, 50)]
    both = looks[0].plus(looks[1])
    assert both.requests == 2
    assert both.usd(PRICE) == pytest.approx(sum(look.usd(PRICE) for look in looks))
    assert 0 < both.usd(PRICE) < both.most_usd(PRICE)
    assert both.most_usd(PRICE) == pytest.approx(sum(PRICE.worst(request("word " * n)).usd for n in (3, 50)))
    assert both.largest_call == PRICE.worst(request("word " * 50)).tokens
    assert Outlook(**both._asdict()) == both


@pytest.mark.parametrize(
    ("usd", "said"),
    [(0, "$0.00"), (0.01, "$0.01"), (0.00123, "$0.0012"), (0.5, "$0.50"), (1234.5, "$1,234.50"), (3e-7, "$0.0000003")],
)
def test_amounts_are_told_in_cents_and_small_ones_to_two_digits(usd: float, said: str) -> None:
    assert dollars(usd) == said


def test_the_spend_of_a_run_names_what_may_still_come() -> None:
    spend = {"prompt_tokens": 1000, "completion_tokens": 20, "usd": 0.5, "unsettled": 0.25, "unsettled_calls": 1}
    said = "$0.50 for 1,000 prompt and 20 completion tokens"
    assert spend_sentence(spend) == f"{said}; 1 call unsettled, at most $0.25 more"
    assert spend_sentence({**spend, "unsettled_calls": 0}) == said
