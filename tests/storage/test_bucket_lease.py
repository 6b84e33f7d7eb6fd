"""A run in a bucket has one writer, also when several processes on several machines want it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pad_ray.errors import LeaseError
from pad_ray.lease import Lease
from pad_ray.storage import Storage
from tests.storage.faulty_proxy import FaultyProxy

ELSEWHERE = {"token": "t", "host": "other", "machine": "other", "pid": 1, "started": "1"}
HOLD = (
    "import sys, time\nfrom pad_ray.lease import Lease\nfrom pad_ray.storage import Storage\n"
    "with Lease(Storage(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
)


def test_a_second_writer_is_refused_with_the_name_of_the_first(bucket: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, bucket], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(LeaseError, match=rf"in use by process {holder.pid} on {os.uname().nodename}"):
            Lease(Storage(bucket)).__enter__()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    # On its own machine a killed process loses it at once.
    with Lease(Storage(bucket)) as lease:
        lease.check()
    assert not Storage(bucket).exists("lease.json")


def test_a_lease_from_another_machine_holds_until_it_expires(bucket: str) -> None:
    storage = Storage(bucket)
    storage.write("lease.json", json.dumps({**ELSEWHERE, "expires": 4e9}).encode())
    with pytest.raises(LeaseError, match="process 1 on other"):
        Lease(storage).__enter__()
    storage.write("lease.json", json.dumps({**ELSEWHERE, "expires": 1}).encode())
    with Lease(storage):
        pass


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_of_several_that_find_a_lease_expired_exactly_one_gets_it(
    proxied: Storage, proxy: FaultyProxy, share: float
) -> None:
    proxied.write("lease.json", json.dumps({**ELSEWHERE, "expires": 1}).encode())
    proxy.share = share
    together = threading.Barrier(6)

    def take(_: int) -> Lease | None:
        together.wait()
        try:
            return Lease(proxied).__enter__()
        except LeaseError:
            return None

    with ThreadPoolExecutor(6) as pool:
        [winner] = [lease for lease in pool.map(take, range(6)) if lease]
    winner.check()
    winner.__exit__(None, None, None)


def test_a_process_that_was_overtaken_does_not_renew(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pad_ray.lease.RENEW_S", 0.02)
    storage = Storage(bucket)
    lease = Lease(storage)
    lease.__enter__()
    theirs = json.dumps({**ELSEWHERE, "expires": 4e9}).encode()
    storage.write("lease.json", theirs)
    lease._thread.join()
    assert storage.read("lease.json") == theirs
    with pytest.raises(LeaseError, match="taken over by process 1 on other"):
        lease.check()
    lease.__exit__(None, None, None)
    assert storage.read("lease.json") == theirs


def test_a_living_lease_is_renewed(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pad_ray.lease.RENEW_S", 0.02)
    storage = Storage(bucket)
    with Lease(storage) as lease:
        first = storage.read("lease.json")
        while storage.read("lease.json") == first:
            pass
        lease.check()
