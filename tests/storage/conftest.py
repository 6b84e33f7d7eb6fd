"""An S3-compatible server over HTTP in a process of its own, its buckets, and a way to it that can fail."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pad_ray.storage import Storage
from pad_ray.storage.place import client
from tests.free_port import free_port
from tests.storage.faulty_proxy import FaultyProxy

SHARE = 0.2


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """URL of the server."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, "the S3 server did not start"
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        server.terminate()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Credentials where there are none, and scratch copies in a folder of the test's own."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, os.environ.get(name, "test"))
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("PAD_RAY_CACHE", str(tmp_path / "machine"))
    return tmp_path / "machine"


@pytest.fixture
def bucket(s3_server: str, machine: Path, tmp_path: Path) -> str:
    """URI of a run in a bucket of its own."""
    name = f"b{abs(hash(str(tmp_path))):x}"
    client(s3_server).create_bucket(Bucket=name)
    return f"s3://{name}/some/run?endpoint={s3_server}"


@pytest.fixture
def proxy(s3_server: str) -> Iterator[FaultyProxy]:
    """A way to the server that can fail."""
    with FaultyProxy(s3_server) as running:
        yield running


@pytest.fixture
def proxied(bucket: str, proxy: FaultyProxy) -> Storage:
    """The run in the bucket, by way of the proxy."""
    return Storage(f"{bucket.partition('?')[0]}?endpoint={proxy.url}")


@pytest.fixture(params=["folder", "bucket", "faulty bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Every kind of root."""
    if request.param == "folder":
        return Storage(tmp_path / "run")
    if request.param == "faulty bucket":
        request.getfixturevalue("proxy").share = SHARE
    return request.getfixturevalue("proxied")
