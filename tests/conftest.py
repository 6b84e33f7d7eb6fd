"""Shared fixtures: one Ray for the whole test session, environment without telemetry, everything on loopback."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from pad_ray.flow.cluster import settle_environment

settle_environment()
# By itself hypothesis also asserts that each example takes under 200 ms, whatever else the machine is doing.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
# Whoever starts the tests in the background has them ignore Ctrl-C, and several of them are about it.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """The session's Ray: more logical CPUs than cores, because every stage of a pipeline holds some."""
    import ray

    with tempfile.TemporaryDirectory(prefix="pr_", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=8,
            include_dashboard=False,
            object_store_memory=200 << 20,
            log_to_driver=False,
            _temp_dir=folder,
        )
        yield
        ray.shutdown()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real problems and recorded replies beside the checkout, where there is one."""
    folder = REPO.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder of real data beside this checkout (../shared/data)")
    return folder
