"""Joining or starting Ray is like every other part of a command: what interrupts it is an interruption."""

from __future__ import annotations

import signal
import socket
import sys
from typing import Any

import pytest

from pad_ray.errors import PadRayError
from pad_ray.flow.cluster import connect


@pytest.mark.parametrize(("code", "raised"), [(signal.SIGTERM, KeyboardInterrupt), (1, SystemExit)])
def test_sigterm_while_ray_starts_is_ctrl_c(
    code: int, raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    def init(**_: Any) -> None:
        sys.exit(code)  # what the handler does that Ray puts in first of all

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(raised), connect():
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://localhost:{}", "no-such-host.invalid:{}"])
def test_a_cluster_that_is_gone_is_told_before_ray_waits_for_it(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def init(**_: Any) -> None:
        raise AssertionError("Ray was asked to join it.")

    with socket.socket() as taken:  # bound and never listening, so that nobody else takes it meanwhile
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(ray, "is_initialized", lambda: False)
        monkeypatch.setattr(ray, "init", init)
        monkeypatch.setenv("RAY_ADDRESS", address.format(taken.getsockname()[1]))
        with pytest.raises(PadRayError, match=r"cannot join the Ray cluster at RAY_ADDRESS=\S+:\d+ \("), connect():
            pass


@pytest.mark.parametrize("address", ["auto", "local", "10.0.0.1", "10.0.0.1:port", "{listening}"])
def test_what_may_be_a_cluster_is_left_to_ray(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def init(**_: Any) -> None:
        raise ConnectionError("Ray says what is wrong")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setattr(ray, "is_initialized", lambda: False)
        monkeypatch.setattr(ray, "init", init)
        monkeypatch.setenv("RAY_ADDRESS", address.format(listening=f"127.0.0.1:{listening.getsockname()[1]}"))
        with pytest.raises(PadRayError, match="Ray says what is wrong"), connect():
            pass
