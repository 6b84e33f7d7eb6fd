"""Joining or starting Ray, the same way for every command."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pad_ray.errors import PadRayError

STAGES = 4
"""Actor stages that may run at once: reading, sampling, judging, and one for training or evaluation."""


def quiet_environment() -> dict[str, str]:
    """Environment of every process we start: no telemetry, loopback only, token authentication, no compilers.

    Must be in place before ray, torch or transformers are imported. Values the user set win.
    """
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(24),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # despite its name: a local cluster binds to 127.0.0.1 only
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # a report costs up to one poll
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        "RAY_DATA_LOG_LEVEL": "ERROR",
        "RAY_BACKEND_LOG_LEVEL": "fatal",  # the C++ side reports harmless things as errors, between our lines
        "RAY_DISABLE_IMPORT_WARNING": "1",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait starve the other actors of a small machine
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def settle_environment() -> None:
    """Put the quiet environment in place for this process and all it starts."""
    for name, value in quiet_environment().items():
        os.environ.setdefault(name, value)


@contextmanager
def connect(log_to_driver: bool = False) -> Iterator[None]:
    """Join the cluster of RAY_ADDRESS, or start a private one on this machine that ends with the block.

    A Ray that is already initialised (a notebook, a test session) is used as it is.
    """
    settle_environment()
    import ray

    if ray.is_initialized():
        yield
        return
    if os.environ.get("RAY_ADDRESS"):
        _init(log_to_driver=log_to_driver)
        try:
            yield
        finally:
            ray.shutdown()
        return
    # Unix socket paths are limited to 107 bytes, so the session folder must have a short name.
    base = Path(os.environ.get("RAY_TMPDIR", "/tmp"))
    _sweep(base)
    with tempfile.TemporaryDirectory(prefix=f"pr_{os.getpid()}_", dir=base, ignore_cleanup_errors=True) as folder:
        _init(
            address="local",
            # Logical CPUs: a pool without a free one would wait for ever, so there are always enough for all stages.
            num_cpus=max(os.cpu_count() or 1, 2 * STAGES),
            include_dashboard=False,
            log_to_driver=log_to_driver,
            _temp_dir=folder,
        )
        try:
            yield
        finally:
            ray.shutdown()


def _init(**options: Any) -> None:
    """Start or join Ray; what its C++ side prints about its own settings while it starts is shown only if it fails."""
    import ray

    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        try:
            ray.init(logging_level=logging.ERROR, **options)
        except BaseException:
            printed.seek(0)
            os.write(kept, printed.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _sweep(base: Path) -> None:
    """Remove the session folders of processes that were killed and could not do it themselves."""
    for folder in base.glob("pr_*_*"):
        pid = folder.name.split("_")[1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc").is_dir():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise what a remote task or actor raised as itself: our sentence, without Ray's wrapping and traceback."""
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        ours = _ours(error)
        if ours is None:
            raise
        raise ours from None


def _ours(error: BaseException | None) -> PadRayError | None:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, PadRayError):
            return error
        seen.add(id(error))
        cause = getattr(error, "cause", None)
        error = cause if isinstance(cause, BaseException) else error.__cause__
    return None
