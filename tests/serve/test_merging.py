"""Calls that wait for an engine go through it together, and each gets what it would have got alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

import serve.merging as merging_module
from pad_ray.decode.engine import Completion
from serve.merging import Merging


class Slow:
    """An engine that works when it is let, and remembers what came together."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.begun, self.go_on = threading.Semaphore(0), threading.Semaphore(0)

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int,
        temperature: float,
        seed: int | Sequence[int],
        stop: str = "",
        written: Sequence[Sequence[int]] = (),
        wanted: Callable[[int], bool] | None = None,
    ) -> list[Completion]:
        assert not isinstance(seed, int) and wanted and len(seed) == len(written) == len(prompts)
        self.batches.append(list(prompts))
        self.begun.release()
        self.go_on.acquire()
        if "bad" in prompts:
            raise ValueError("bad prompt")
        return [
            Completion(f"{prompt}/{own}/{max_tokens}/{len(before)}", "stop", 1, 1, at_stop=wanted(row))
            for row, (prompt, own, before) in enumerate(zip(prompts, seed, written, strict=True))
        ]


def gathered(engine: Slow, merging: Merging, calls: Sequence[Callable[[], list[Completion]]]) -> list[Future]:
    """All calls, made while the engine is busy with another one."""
    pool = ThreadPoolExecutor(len(calls) + 1)
    first = pool.submit(merging.generate, ["first"], max_tokens=1, temperature=0.0, seed=0)
    engine.begun.acquire()
    made = []
    for number, call in enumerate(calls):
        made.append(pool.submit(call))
        while len(merging._waiting) <= number:
            pass
    for _ in range(20):
        engine.go_on.release()
    assert first.result(10)[0].text == "first/0/1/0"
    for one in made:
        one.exception(10)
    return made


def test_what_waits_goes_together_and_everybody_gets_their_own() -> None:
    engine = Slow()
    merging = Merging(engine, 8, ThreadPoolExecutor(1))
    one, two = gathered(
        engine,
        merging,
        [
            lambda: merging.generate(
                ["a", "b"], max_tokens=9, temperature=0.7, seed=[5, 6], wanted=lambda row: row == 1
            ),
            lambda: merging.generate(["c"], max_tokens=9, temperature=0.7, seed=[7], written=[[1, 2, 3]]),
        ],
    )
    assert engine.batches == [["first"], ["a", "b", "c"]]
    assert [(row.text, row.at_stop) for row in one.result()] == [("a/5/9/0", False), ("b/6/9/0", True)]
    assert [(row.text, row.at_stop) for row in two.result()] == [("c/7/9/3", True)]


def test_calls_that_decode_otherwise_wait_for_their_turn() -> None:
    engine = Slow()
    merging = Merging(engine, 8, ThreadPoolExecutor(1))
    gathered(
        engine,
        merging,
        [
            lambda: merging.generate(["a"], max_tokens=9, temperature=0.0, seed=0),
            lambda: merging.generate(["b"], max_tokens=8, temperature=0.0, seed=0),
            lambda: merging.generate(["c"], max_tokens=9, temperature=0.0, seed=0),
        ],
    )
    assert engine.batches == [["first"], ["a", "c"], ["b"]]


def test_no_more_go_together_than_are_allowed_but_a_large_call_goes_whole() -> None:
    engine = Slow()
    merging = Merging(engine, 2, ThreadPoolExecutor(1))
    gathered(
        engine,
        merging,
        [
            lambda: merging.generate(["a", "b", "c"], max_tokens=9, temperature=0.0, seed=0),
            lambda: merging.generate(["d"], max_tokens=9, temperature=0.0, seed=0),
            lambda: merging.generate(["e"], max_tokens=9, temperature=0.0, seed=0),
        ],
    )
    assert engine.batches == [["first"], ["a", "b", "c"], ["d", "e"]]


def test_the_error_of_one_is_not_that_of_the_others() -> None:
    engine = Slow()
    merging = Merging(engine, 8, ThreadPoolExecutor(1))
    good, bad = gathered(
        engine,
        merging,
        [
            lambda: merging.generate(["a"], max_tokens=9, temperature=0.0, seed=0),
            lambda: merging.generate(["bad"], max_tokens=9, temperature=0.0, seed=0),
        ],
    )
    assert good.result()[0].text == "a/0/9/0"
    with pytest.raises(ValueError, match="bad prompt"):
        bad.result()


def test_a_sample_may_not_depend_on_who_else_calls() -> None:
    with pytest.raises(ValueError, match="one per prompt"):
        Merging(Slow(), 8, ThreadPoolExecutor(1)).generate(["a"], max_tokens=9, temperature=0.7, seed=3)


def test_clients_that_ask_again_and_again_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    # So long that the test would not end if it ever came to that.
    monkeypatch.setattr(merging_module, "QUIET_SECONDS", 1000.0)
    monkeypatch.setattr(merging_module, "WAIT_SHARE", 1e9)
    engine = Slow()
    merging = Merging(engine, 8, ThreadPoolExecutor(1))
    barrier = threading.Barrier(3)

    def client(name: str) -> None:
        barrier.wait()
        for _ in range(4):
            merging.generate([name], max_tokens=1, temperature=0.0, seed=0)

    threads = [threading.Thread(target=client, args=(name,), daemon=True) for name in "abc"]
    for thread in threads:
        thread.start()
    engine.begun.acquire()
    while len(merging._waiting) < 2:
        pass
    for _ in range(3):
        engine.go_on.release()
        engine.begun.acquire()
    assert [len(batch) for batch in engine.batches] == [1, 3, 3, 3]
    # No thread may be left that this process waits for when it ends.
    engine.go_on.release(20)


def test_a_single_client_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging_module, "QUIET_SECONDS", 1000.0)
    monkeypatch.setattr(merging_module, "WAIT_SHARE", 1e9)
    engine = Slow()
    merging = Merging(engine, 8, ThreadPoolExecutor(1))
    for _ in range(3):
        engine.go_on.release()
        merging.generate(["a"], max_tokens=1, temperature=0.0, seed=0)
