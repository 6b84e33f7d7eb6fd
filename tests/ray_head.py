"""A Ray head of its own, with the dashboard through which jobs and services are sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.free_port import free_port


@contextmanager
def ray_head(
    extra: Mapping[str, str] | None = None,
    resources: Mapping[str, float] | None = None,
    *options: str,
    cpus: int = 8,
    port: int = 0,
) -> Iterator[dict[str, str]]:
    """Environment in which `ray job` and `serve deploy` reach a head, whose processes have `extra` in theirs too.

    `resources` are what it offers beside CPUs, `options` further ones of `ray start`. RAY_TMPDIR in it is where the
    head keeps its files.
    """
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | dict(extra or {})
    dashboard, agent = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="prj_", dir="/tmp", ignore_cleanup_errors=True) as folder:
        # In the foreground it ends with its process; `ray stop` would end every Ray on the machine.
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
            *(f"--num-cpus={cpus}", f"--port={port}"),
            *("--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"),
            # Its usual port belongs to any other Ray on this machine, and a head without it takes no jobs.
            f"--dashboard-agent-listen-port={agent}",
            f"--resources={json.dumps(dict(resources or {}))}",
            *(f"--object-store-memory={200 << 20}", f"--temp-dir={folder}", "--disable-usage-stats"),
            *options,
        ]
        log = Path(folder, "head.log")
        with log.open("wb") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as process:
            url = f"http://127.0.0.1:{dashboard}"
            try:
                yield environment | {"RAY_API_SERVER_ADDRESS": url, "RAY_DASHBOARD_ADDRESS": url, "RAY_TMPDIR": folder}
            finally:
                below = psutil.Process(process.pid).children(recursive=True)
                process.terminate()
                process.wait(timeout=60)
                # Machines that its autoscaler made would look for it for a minute.
                for one in below:
                    with suppress(psutil.NoSuchProcess):
                        one.kill()
