"""A finished run folder for the tests that read one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluate.fabricated_run import write_run


@pytest.fixture
def finished_run(tmp_path: Path) -> Path:
    """Two rounds on one suite: 0, then 2, then 4 of 6 right."""
    return write_run(tmp_path / "my run")
