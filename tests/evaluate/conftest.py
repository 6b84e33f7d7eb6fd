"""A finished run folder for the tests that read one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluate.fabricated_run import write_run


@pytest.fixture
def finished_run(tmp_path: Path) -> Path:
    """Two rounds on one suite: the best baseline has 1 of 6 right, the rounds 2 and 4."""
    return write_run(tmp_path / "my run")
