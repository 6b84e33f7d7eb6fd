"""The hostile corpus gets nothing through: in three configurations, both lanes, as a user and as root.

The language layer is switched off in one of them, so that a hole in the kernel's layers cannot hide behind it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hostile_watch import PROGRAMS, Config, Watch

LANES = ("batch", "solo")
FAST = {
    "finally_loop", "string_10g", "module_attr_sys", "proc_parents_environ", "raw_socket_module", "fork_linger",
    "kill_parent", "raise_systemexit", "stdout_flood", "always_equal", "patch_math", "write_all_fds", "native_open",
    "native_execve", "native_rwx_memory", "claim_to_be_finished_and_go_on", "frames_for_other_jobs", "patched_encoder",
    "traceback_to_the_runner", "kernel_sweep", "native_forks", "answer_with_evil_order", "other_sockets",
    "science_files",
}  # fmt: skip
CONFIGS = {
    "all layers": Config(),
    "container": Config(profile="container"),
    "language off": Config(off=("language",)),
    "seccomp alone": Config(off=("language", "landlock")),
    "confirmed": Config(confirm=True),
    "root": Config(profile="root", off=("language",)),
}
THOROUGH = [
    *((name, lane) for name in ("all layers", "container", "language off") for lane in LANES),
    # Each in the lane where it differs most.
    ("seccomp alone", "solo"),
    ("confirmed", "batch"),
    ("root", "solo"),
]
LINGER = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(5)\n    os._exit(0)\nans = 1"
GETS_THROUGH = {
    "leak": "ans = open('@CANARY@').read()",
    "file": "open('@DIR@/new', 'w').write('x')\nans = 1",
    "net": "import socket\nsocket.create_connection(('127.0.0.1', @PORT@), 1)\nans = 1",
    "net by datagram": "import socket\nsocket.socket(2, 2).sendto(b'x', ('127.0.0.1', @PORT@))\nans = 1",
    "mem": "ans = len(bytes([1]) * (400 << 20))",
    "forge": "ans = 'forged'",
    "proc": LINGER,
    "dead": "import os\nos.kill(os.getppid(), 9)\nans = 1",
}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the boundary is the Linux kernel")


def _watch(config: Config) -> Iterator[Watch]:
    if config.profile == "root" and os.getuid() != 0:
        pytest.skip("needs root")
    watch = Watch(config)
    try:
        if config.profile != "root":
            assert watch.hello["uid"] != 0
        if watch.hello["level"] != ("degraded" if "landlock" in config.off else "strict"):
            pytest.skip(f"this machine reaches only {watch.hello['level']}: {watch.hello['layers']}")
        yield watch
        last = watch.belongings()
        assert last["descriptors"] == watch.first["descriptors"]
        assert last["resident"] < watch.first["resident"] + (32 << 20)
    finally:
        watch.close()


@pytest.fixture(scope="module", params=["all layers", "container", "language off"])
def quick(request: pytest.FixtureRequest) -> Iterator[Watch]:
    yield from _watch(CONFIGS[request.param]._replace(timeout=0.3))


@pytest.fixture(scope="module")
def thorough(request: pytest.FixtureRequest) -> Iterator[Watch]:
    yield from _watch(CONFIGS[request.param]._replace(timeout=0.5))


def _through(watch: Watch, programs: list[dict[str, str]], lane: str) -> dict[str, set[str]]:
    seen = {program["name"]: watch.observe(program["code"], lane) for program in programs}
    return {name: observations for name, observations in seen.items() if observations}


@pytest.mark.parametrize("lane", LANES)
def test_of_each_kind_of_hostile_program_nothing_gets_through(quick: Watch, lane: str) -> None:
    chosen = [program for program in PROGRAMS if program["name"] in FAST]
    assert len(chosen) == len(FAST)
    assert _through(quick, chosen, lane) == {}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("thorough", "lane"), THOROUGH, indirect=["thorough"])
def test_of_all_hostile_programs_nothing_gets_through(thorough: Watch, lane: str) -> None:
    assert _through(thorough, PROGRAMS, lane) == {}


@pytest.mark.slow
def test_the_watch_sees_what_does_get_through() -> None:
    """A watch that sees nothing proves nothing: without its kernel layers this sandbox lets everything through."""
    watch = Watch(Config(off=("language", "seccomp", "landlock", "limits"), timeout=5.0), memory=100 << 20)
    try:
        seen = {name: watch.observe(code, "solo") for name, code in GETS_THROUGH.items()}
    finally:
        watch.close()
    assert {name: name.split()[0] in found for name, found in seen.items()} == dict.fromkeys(seen, True)
