"""Asking an endpoint that fails in every way there is: one sample per request, nothing lost, nothing counted wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from pad_ray.errors import BudgetReached, TeacherError
from pad_ray.records import Sample
from pad_ray.thoughts.program import parse
from tests.fault_plan import FAULTS
from tests.fault_server import Running, running
from tests.teacher.asking import PRICE, Books, ask, ask_all, request, teacher

KEY = "sk-0123456789abcdef"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running("--key", KEY, "--latency", 0.02) as started:
        yield started


def asked(server: Running, *questions: str, **options: float) -> tuple[dict[str, Sample], Books]:
    """The samples of some questions, by question, from a server that wants the key."""
    books = Books()
    samples = ask_all(server, [request(number, text) for number, text in enumerate(questions)], books, KEY, **options)
    return {questions[int(id_[1 : id_.index("#")])]: sample for id_, sample in samples.items()}, books


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_ends_in_a_good_sample(server: Running, fault: str) -> None:
    hurt = f"What is 3 plus 4? [faults: {fault}]"
    samples, _ = asked(server, hurt, timeout_s=1.0)
    assert samples[hurt].error == ""
    assert samples[hurt].attempts >= 2
    assert "result = " in parse(samples[hurt].text).program


def test_neighbours_of_failing_calls_are_answered_at_once(server: Running) -> None:
    hurt = [f"What is 5 plus 6? [faults: {fault}]" for fault in FAULTS if fault not in ("refused", "slow")]
    well = [f"What is {number} plus 1?" for number in range(20)]
    samples, _ = asked(server, *hurt, *well)
    assert [samples[question].attempts for question in well] == [1] * 20
    assert all(sample.error == "" for sample in samples.values())


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_cannot_be_answered_is_a_permanent_error_of_its_own_and_asked_once(
    server: Running, status: int
) -> None:
    samples, _ = asked(server, f"Too long? [always: {status}]", "What is 1 plus 2?")
    bad, good = samples.values() if next(iter(samples)).startswith("Too") else reversed(samples.values())
    assert f"HTTP {status}" in bad.error
    assert (bad.transient, bad.attempts, bad.cost_usd, bad.unsettled_usd, good.error) == (False, 1, 0.0, 0.0, "")


def test_a_call_that_never_succeeds_is_a_transient_error_when_its_deadline_is_over(server: Running) -> None:
    samples, _ = asked(server, "Down? [always: 500]", "What is 1 plus 3?", deadline_s=3.0)
    down, fine = samples["Down? [always: 500]"], samples["What is 1 plus 3?"]
    assert down.transient
    assert down.attempts > 1
    assert down.error == "no reply within 3 s; the last call: HTTP 500: The server had an error."
    assert fine.error == ""


def test_replies_that_are_paid_for_in_vain_are_not_asked_for_without_end(server: Running) -> None:
    (sample,) = asked(server, "Empty? [always: null_content]")[0].values()
    assert (sample.transient, sample.attempts) == (True, 5)
    assert sample.prompt_tokens > 0
    assert "paid for in vain" in sample.error


@pytest.mark.parametrize(
    ("status", "mend"), [("401", "OPENAI_API_KEY"), ("403", "OPENAI_API_KEY"), ("404", "model"), ("quota", "credit")]
)
def test_a_teacher_that_refuses_everything_stops_all_with_one_sentence(status: str, mend: str) -> None:
    with running("--latency", 0.01) as server:
        with pytest.raises(TeacherError, match=mend) as raised:
            ask_all(server, [request(number, f"{number}? [always: {status}]") for number in range(200)], Books(), KEY)
        assert "'m' at http://127.0.0.1" in str(raised.value)
        assert server.stats()["calls"] <= 8  # those that were in flight


def test_a_wrong_key_is_refused_and_told_to_nobody(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    wrong = "sk-a-wrong-key-that-the-server-repeats"
    caplog.set_level(logging.DEBUG)
    samples: list[Sample] = []
    with pytest.raises(TeacherError) as raised:
        ask_all(server, [request(1, "What is 1 plus 2?")], Books(), wrong, into=samples)
    assert "Incorrect API key provided: ***." in str(raised.value)
    assert samples[0].transient  # asked again with another key
    for said in (str(raised.value), repr(raised.value.__cause__), repr(samples), caplog.text):
        assert wrong not in said


def test_a_refusal_after_good_replies_is_asked_again(server: Running) -> None:
    samples, _ = asked(server, "What is 1 plus 1?", "What is 2 plus 2? [faults: 404, 403, 401]", ceiling=1)
    assert [sample.error for sample in samples.values()] == ["", ""]


def test_a_reply_at_its_token_limit_says_so(server: Running) -> None:
    samples = ask_all(server, [request(1, "What is 2 plus 3?", max_tokens=4)], Books(), KEY)
    (sample,) = samples.values()
    assert (sample.finish_reason, sample.completion_tokens, sample.error) == ("length", 4, "")


def test_a_model_that_calls_the_token_limit_by_its_newer_name_is_asked_by_it() -> None:
    with running("--new-names") as server:
        samples = ask_all(
            server, [request(number, f"What is {number}?", max_tokens=4) for number in range(20)], Books()
        )
        assert server.stats()["faults"]["old_name"] <= 8  # those that were in flight
    assert {(sample.finish_reason, sample.completion_tokens) for sample in samples.values()} == {("length", 4)}


@pytest.mark.parametrize("bill_cut", [False, True])
def test_tokens_and_dollars_of_the_samples_are_what_the_server_billed(bill_cut: bool) -> None:
    kinds = [fault for fault in FAULTS if fault not in ("slow", "refused")]
    options = [
        "--faults",
        0.3,
        "--retry-after",
        0,
        "--seed",
        5,
        "--kinds",
        *kinds,
        *(["--bill-cut"] if bill_cut else []),
    ]
    with running(*options) as server:
        books = Books()
        asked_for = [request(number, f"What is {number} plus 1?") for number in range(200)]
        samples = ask_all(server, asked_for, books, ceiling=64)
        billed = server.stats()
    assert [sample.error for sample in samples.values()] == [""] * 200
    assert sum(sample.prompt_tokens for sample in samples.values()) == billed["prompt_tokens"]
    assert sum(sample.completion_tokens for sample in samples.values()) == billed["completion_tokens"]
    assert sum(sample.attempts for sample in samples.values()) == billed["calls"]
    assert billed["good_again"] == 0
    usd = PRICE.cost(billed["prompt_tokens"], billed["cached_tokens"], billed["completion_tokens"])
    assert sum(sample.cost_usd for sample in samples.values()) == pytest.approx(usd)
    unsettled = sum(sample.unsettled_usd for sample in samples.values())
    unknown = ["reset", "html"] if bill_cut else ["reset", "html", "cut", "truncated", "malformed"]
    worst = PRICE.worst(request(100, "What is 100 plus 1?")).usd
    assert unsettled == pytest.approx(worst * sum(billed["faults"].get(kind, 0) for kind in unknown), rel=0.01)
    assert books.spent == pytest.approx(usd + unsettled)
    assert books.open == pytest.approx(0)


def test_every_call_waits_for_the_cool_down_that_one_of_them_met(server: Running) -> None:
    questions = [f"What is {number} plus 7?" for number in range(12)]
    samples, books = asked(server, "First? [faults: 429_seconds]", *questions, ceiling=2)
    assert all(sample.error == "" for sample in samples.values())
    assert books.pauses == [1.0]
    told = books.told_at[0]
    assert not [start for start in books.starts if told < start < told + 1.0]


def test_at_the_cap_what_is_in_flight_is_finished_and_nothing_new_starts(server: Running) -> None:
    books, samples = Books(most=10), list[Sample]()
    with pytest.raises(BudgetReached):
        ask_all(
            server, [request(number, f"What is {number} plus 9?") for number in range(50)], books, KEY, into=samples
        )
    assert len(samples) == len(books.starts) == 10
    assert all(sample.error == "" for sample in samples)


def test_a_retry_that_the_cap_forbids_keeps_what_was_spent(server: Running) -> None:
    books, samples = Books(most=1), list[Sample]()
    with pytest.raises(BudgetReached):
        ask_all(server, [request(1, "What is 3 plus 9? [faults: no_choices]")], books, KEY, into=samples)
    assert samples[0].transient
    assert samples[0].cost_usd == pytest.approx(books.spent)
    assert samples[0].prompt_tokens > 0


def test_what_is_told_before_the_calls_covers_all_that_they_may_cost(server: Running) -> None:
    told: dict[str, float] = {}
    questions = ["[faults: cut, reset, 500]", "[faults: no_choices, 429]", "Well?"]
    samples = ask_all(server, [request(n, q) for n, q in enumerate(questions)], Books(), KEY, told=told)
    assert told.keys() == samples.keys()
    for id_, sample in samples.items():
        assert sample.cost_usd + sample.unsettled_usd <= told[id_]
    calls = PRICE.worst(request(0, questions[0])).usd * 3  # the 500 cost nothing and left its part to the next call
    assert told[next(iter(sorted(told)))] == pytest.approx(calls)


@pytest.mark.parametrize(("ceiling", "calls"), [(7, 60), (150, 151)])
def test_as_many_calls_are_in_flight_as_the_pace_allows_and_never_more(ceiling: int, calls: int) -> None:
    with running("--latency", 0.02 if ceiling < 10 else 3.0) as server:
        ask_all(server, [request(number, f"What is {number}?") for number in range(calls)], Books(), ceiling=ceiling)
        assert server.stats()["peak_in_flight"] == ceiling


def test_no_connection_costs_nothing() -> None:
    with running() as server:
        pass
    (sample,) = ask_all(server, [request(1, "Anybody?")], Books(), deadline_s=1.5).values()
    assert sample.transient
    assert "no connection" in sample.error
    assert (sample.cost_usd, sample.unsettled_usd) == (0.0, 0.0)


def test_calls_that_are_given_up_are_settled_as_the_worst_case(server: Running) -> None:
    books = Books()

    async def give_up() -> None:
        asking = ask(teacher(server, books, KEY), [request(n, "Slow? [always: slow]") for n in range(3)])
        waiting = asyncio.ensure_future(anext(asking))
        await asyncio.sleep(0.3)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(give_up())
    assert books.open == pytest.approx(0)
    assert books.spent == pytest.approx(3 * PRICE.worst(request(1, "Slow? [always: slow]")).usd)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000/v1", "ftp://host/v1", "http://"])
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(TeacherError, match=r"teacher\.base_url"):
        teacher(Running(url), Books(), KEY)


def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(server: Running) -> None:
    with pytest.raises(TeacherError, match="OPENAI_API_KEY") as raised:
        teacher(server, Books(), "sk-two\nlines")
    assert "two" not in str(raised.value)
    samples = ask_all(server, [request(1, "What is 4 plus 4?")], Books(), f"{KEY}\n")  # as files end
    assert [sample.error for sample in samples.values()] == [""]


def test_the_proxy_of_the_environment_is_used(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/v1"))
    behind = Running("http://teacher.invalid/v1")
    samples = ask_all(behind, [request(1, "What is 6 plus 4?")], Books(), KEY, deadline_s=5.0)
    assert [sample.error for sample in samples.values()] == [""]
