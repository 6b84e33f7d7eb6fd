"""Joining or starting Ray is like every other part of a command: what interrupts it is an interruption."""

from __future__ import annotations

import signal
import sys
from typing import Any

import pytest

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
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(raised), connect():
        pass
