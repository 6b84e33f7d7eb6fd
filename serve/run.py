"""The service on this machine, until Ctrl-C: what `pad-ray serve` does."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pad_ray.decode.loading import check_engine
from pad_ray.errors import PadRayError, UsageError
from pad_ray.flow.cluster import connect
from pad_ray.flow.placement import here
from pad_ray.reasoner import student_thoughts
from pad_ray.students import local_student
from serve.schema import TOKEN_VARIABLE

APPLICATION = "pad_ray"
DRAIN_SECONDS = 60.0
"""How long requests under way may take when the service ends."""


def run_service(
    *students: str, host: str = "127.0.0.1", port: int = 8000, access_log: str = "", engine: str = "auto"
) -> None:
    """Serve students over HTTP; returns after Ctrl-C or SIGTERM, when everything it started has ended.

    Requests under way are finished before. A student is a folder, a hub id or a URI, and is fetched if it must be;
    requests name it as it is named here, or get the first. `access_log` is a file that gets a line per request;
    `engine` decodes the students (see `load_engine`). Raises StudentError for what is no student, UsageError for an
    engine, an address or a file that cannot be used, and PadRayError if the service does not come up.
    """
    check_engine(engine)
    _check_address(host, port)
    _check_log(access_log)
    folders: dict[str, str] = {}
    for student in students:
        folders[student] = str(local_student(student, say=partial(print, file=sys.stderr), key="student"))
        student_thoughts(folders[student])
    _let_workers_import_this_package()
    # Ray starts its workers at 15, as work that nobody waits for; here somebody does. A Model stands back by itself.
    os.environ.setdefault("RAY_worker_niceness", "0")
    print("Loading the student…", flush=True)
    with connect(), _application(folders, host, port, access_log, engine):
        _announce(host, port)
        _wait_for_the_end()
        print("Stopping.", flush=True)


@contextmanager
def _application(students: dict[str, str], host: str, port: int, access_log: str, engine: str) -> Iterator[None]:
    """The application, running within the block. `students`: folders by name."""
    from ray import serve as ray_serve

    from serve.app import Arguments, build

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    gpus = min(here().gpus("serve"), 1) if engine in ("auto", "transformers") else 0
    ray_serve.start(http_options={"host": host, "port": port})
    try:
        (name, folder), *others = students.items()
        log = access_log and str(Path(access_log).resolve())
        settings = {"gpus": gpus, "access_log": log, "engine": engine}
        application = build(Arguments(student=folder, name=name, students=dict(others), **settings))
        try:
            ray_serve.run(application, name=APPLICATION, route_prefix="/")
        except RuntimeError as failure:
            raise PadRayError(f"the service did not start: {_reason(failure)}") from failure
        yield
        # Serve ends all deployments at once, those too that a request under way has not reached yet.
        ray_serve.get_app_handle(APPLICATION).drain.remote(DRAIN_SECONDS).result()
    finally:
        ray_serve.delete(APPLICATION)
        # A Ray of our own ends with `connect`; on a cluster, Serve stays only if others serve from it as well.
        if os.environ.get("RAY_ADDRESS") and not ray_serve.status().applications:
            ray_serve.shutdown()


def _reason(failure: RuntimeError) -> str:
    """Why a deployment failed: the last line of the traceback that Serve keeps, or the failure itself."""
    from ray import serve as ray_serve

    overview = ray_serve.status().applications.get(APPLICATION)
    messages = [state.message for state in overview.deployments.values()] if overview else []
    lines = [line.strip() for message in messages for line in message.splitlines() if "Error" in line]
    return re.sub(r"^[\w.]+Error: ", "", lines[-1]) if lines else str(failure)


def _check_address(host: str, port: int) -> None:
    """Raises UsageError: Serve itself would only log it, and wait."""
    if not 0 <= port < 1 << 16:
        raise UsageError(f"--port: {port} is no port.", hint="Choose one from 1 to 65535.")
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise UsageError(
            f"--host {host} --port {port}: cannot listen there: {error}.", hint="Choose another --port."
        ) from error


def _check_log(path: str) -> None:
    """Raises UsageError."""
    try:
        if path:
            Path(path).open("a").close()
    except OSError as error:
        raise UsageError(f"--access-log {path}: cannot be written: {error}.", hint="Choose another file.") from error


def _let_workers_import_this_package() -> None:
    """Put the folder that holds `serve` on the path of the processes Ray starts, for running from a checkout."""
    home = str(Path(__file__).resolve().parents[1])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if home not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([home, *filter(None, paths)])


def _announce(host: str, port: int) -> None:
    """Print where the service is and how to ask it."""
    token = bool(os.environ.get(TOKEN_VARIABLE))
    if not token and not _is_loopback(host):
        print(f"Anyone who reaches {host} may ask; set {TOKEN_VARIABLE} to ask for a token.", file=sys.stderr)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    header = f'-H "Authorization: Bearer ${TOKEN_VARIABLE}" ' if token else ""
    body = shlex.quote('{"question": "A box holds 3 rows of 4 eggs. How many eggs?"}')
    print(f"Serving on {address} (Ctrl-C ends it). Open it in a browser, or ask it:")
    print(f"curl {address}/v1/solve {header}-H 'Content-Type: application/json' -d {body}", flush=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _wait_for_the_end() -> None:
    """Return at the first SIGINT or SIGTERM; a second one interrupts the orderly end."""
    stopped = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in signals}
    try:
        stopped.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
