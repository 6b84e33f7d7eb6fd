"""Joining or starting Ray, the same way for every command."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pad_ray import errors
from pad_ray.errors import PadRayError
from pad_ray.flow.placement import Needs, here
from pad_ray.owner import is_alive, owner

OWNER = "pad_ray_owner.json"
"""Says whose a session folder is."""

KNOCK_S = 10.0
"""Seconds in which a cluster that is there lets us in."""

SPARE_CPUS = 2
"""Logical CPUs beside the actors of a recipe: for reading, compaction and evaluation."""


def quiet_environment() -> dict[str, str]:
    """Environment of every process we start: no telemetry, no chatter, no spinning threads.

    Must be in place before ray, torch or transformers are imported. Values the user set win.
    """
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # a report costs up to one poll
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        "RAY_DATA_LOG_LEVEL": "CRITICAL",  # what stops a run is told once, in our own words
        "RAY_BACKEND_LOG_LEVEL": "fatal",  # the C++ side reports harmless things as errors, between our lines
        "RAY_DISABLE_IMPORT_WARNING": "1",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait starve the other actors of a small machine
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def private_environment() -> dict[str, str]:
    """Environment of a Ray of our own: only this machine reaches it, and only with a token nobody else has.

    A cluster that is joined has its own token, from its environment or the user's token file.
    """
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(24),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # despite its name: a local cluster binds to 127.0.0.1 only
        "AWS_EC2_METADATA_DISABLED": "true",  # else S3 waits for it; nodes of a cluster get their role's rights from it
    }


def settle_environment() -> None:
    """Put the environment in place for this process and all it starts; before ray or torch are imported."""
    values = quiet_environment() | ({} if os.environ.get("RAY_ADDRESS") else private_environment())
    for name, value in values.items():
        os.environ.setdefault(name, value)


@contextmanager
def connect(stages: Sequence[Needs] = ({"serve": 3, "sandbox": 1},)) -> Iterator[None]:
    """Join the cluster of RAY_ADDRESS, or start a private one on this machine that ends with the block.

    `stages` are the actors that will run at once, stage after stage: a pool that finds no free logical CPU would wait
    for ever, so a private Ray gets enough of them, and a cluster that is too small is refused. A Ray that is already
    initialised (a notebook, a test session) is used as it is. Raises PadRayError.
    """
    settle_environment()
    import ray

    if ray.is_initialized():
        yield
        return
    if os.environ.get("RAY_ADDRESS"):
        _join()
        try:
            here().check(stages)
            yield
        finally:
            ray.shutdown()
        return
    # Unix socket paths are limited to 107 bytes, so the session folder must have a short name.
    base = Path(os.environ.get("RAY_TMPDIR", "/tmp"))
    _sweep(base)
    with tempfile.TemporaryDirectory(prefix=f"pr_{os.getpid()}_", dir=base, ignore_cleanup_errors=True) as folder:
        Path(folder, OWNER).write_text(json.dumps(owner()))
        _init(
            address="local",
            num_cpus=max([os.cpu_count() or 1, *(sum(needs.values()) + SPARE_CPUS for needs in stages)]),
            include_dashboard=False,
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
            ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
        except SystemExit as end:
            if end.code != signal.SIGTERM:
                raise
            # As long as it starts, Ray answers to this signal instead of us.
            raise KeyboardInterrupt from None
        except BaseException as error:
            if "timed out during startup" in str(error):
                raise PadRayError(
                    "Ray did not start in the time it gives itself: the machine is very busy.",
                    hint="Run the same command again.",
                ) from error
            printed.seek(0)
            os.write(kept, printed.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _join() -> None:
    address = os.environ["RAY_ADDRESS"]
    try:
        _knock(address)
        _init()
    except ConnectionError as error:
        raise PadRayError(
            f"cannot join the Ray cluster at RAY_ADDRESS={address} ({' '.join(str(error).split())[:200]}).",
            hint="Check that it runs, that its token is in RAY_AUTH_TOKEN or in ~/.ray/auth_token, and that"
            " RAY_AUTH_MODE=token is set.",
        ) from None


def _knock(address: str) -> None:
    """Raises ConnectionError if nobody listens there, for which Ray would wait for minutes. Names like `auto` pass."""
    where = urlsplit(address if "://" in address else f"//{address}")
    try:
        if where.hostname and where.port:
            socket.create_connection((where.hostname, where.port), timeout=KNOCK_S).close()
    except OSError as error:  # of the name's look-up too, and of one that never answers
        raise ConnectionError(str(error)) from None
    except ValueError:
        pass  # no port at all: Ray says what an address looks like


def _sweep(base: Path) -> None:
    """Remove the session folders of our own processes that were killed and could not do it themselves."""
    for note in base.glob(f"pr_*_*/{OWNER}"):
        try:
            gone = not is_alive(json.loads(note.read_text()))
        except (OSError, ValueError, KeyError):
            continue
        if gone:
            shutil.rmtree(note.parent, ignore_errors=True)


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


def _ours(error: BaseException) -> PadRayError | None:
    """Our error inside Ray's. Ray raises a class that is both, and prints as the whole remote traceback."""
    chain: list[BaseException] = []
    part: BaseException | None = error
    while part is not None and part not in chain:
        chain.append(part)
        cause = getattr(part, "cause", None)
        part = cause if isinstance(cause, BaseException) else part.__cause__
    inner = chain[-1]
    if isinstance(inner, PadRayError):
        return inner
    # Where an actor's constructor or Ray Data wrapped it, only the text of the traceback is left.
    said = re.findall(r"^pad_ray\.errors\.(\w+): (.+)$", str(error), re.MULTILINE)
    kind = getattr(errors, said[-1][0], None) if said else None
    return kind(said[-1][1]) if kind else None
