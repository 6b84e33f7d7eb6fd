"""`pad-ray doctor`: a finding for everything a run stands on, a mend for what is missing, and never a secret."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pad_ray import reach
from pad_ray.sandbox import levels
from tests.fault_server import running

SECRET = "sk-never-show-this"
NAMES = [
    *("python", "ray", "ray files", "sandbox", "torch", "gpu", "deepspeed", "compiler", "gym"),
    *("memory", "disk", "student", "hub", "teacher", "s3"),
]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def doctor(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A doctor whose outside world is this machine."""
    outside = {"HF_HUB_OFFLINE": "1", "PAD_RAY_CACHE": str(folder / "cache"), "OPENAI_API_KEY": SECRET}
    command = [sys.executable, "-m", "pad_ray.cli", "doctor", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, timeout=200, env={**os.environ, **outside, **environment}
    )


def fake_packages(folder: Path, **texts: str) -> str:
    """Packages of these texts, to be found before the real ones; loaded in no time."""
    for name, text in {"ray": "__version__ = '1'", **texts}.items():
        (folder / f"{name}.py").write_text(text)
    return str(folder)


TORCH = "class cuda:\n    device_count = lambda: 0\n__version__ = '1'\nget_num_threads = lambda: 2\n"


def test_what_works_here_is_found_to_work(tmp_path: Path) -> None:
    result = doctor(tmp_path, "--json")
    found = {row["check"]: row for row in json.loads(result.stdout)}
    assert list(found) == NAMES
    assert all(set(row) == {"check", "state", "found", "mend"} for row in found.values())
    assert all(row["mend"] for row in found.values() if row["state"] != "ok")
    assert {found[name]["state"] for name in ("ray", "sandbox", "torch", "deepspeed")} == {"ok"}
    for layer in ("strict: ", "process", "limits", "seccomp", "language", "landlock"):
        assert layer in found["sandbox"]["found"]
    assert result.returncode == any(row["state"] == "problem" for row in found.values())


def test_what_is_broken_is_named_with_its_mend_and_ends_with_1(tmp_path: Path) -> None:
    paths = fake_packages(tmp_path, torch=TORCH, deepspeed="raise ImportError('no ops for you')")
    result = doctor(tmp_path, PYTHONPATH=paths, RAY_TMPDIR="/" + "long" * 10)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("problem deepspeed"))
    assert "ImportError: no ops for you" in lines[place]
    assert "pip install" in lines[place + 1]
    assert lines[-1] == "Needed and not working: ray files, deepspeed."


def test_a_broken_torch_is_not_blamed_on_deepspeed(tmp_path: Path) -> None:
    paths = fake_packages(tmp_path, torch="raise OSError('libc is too old')")
    found = {row["check"]: row for row in json.loads(doctor(tmp_path, "--json", PYTHONPATH=paths).stdout)}
    assert "libc is too old" in found["torch"]["found"]
    assert "not tried" in found["deepspeed"]["found"]


def test_no_secret_is_shown(tmp_path: Path) -> None:
    paths = fake_packages(tmp_path, torch=TORCH, deepspeed="__version__ = '1'")
    url = f"http://user:hidden@127.0.0.1:{closed_port()}/v1"
    result = doctor(
        tmp_path, PYTHONPATH=paths, OPENAI_BASE_URL=url, AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY=SECRET
    )
    assert "OPENAI_API_KEY is set" in result.stdout
    assert "cannot be reached" in result.stdout
    assert not [word for word in (SECRET, "hidden", "AKIA") if word in result.stdout + result.stderr]


def test_a_weaker_sandbox_than_recipes_ask_for_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    from pad_ray import doctor as module

    monkeypatch.setattr(levels, "reached", lambda layers: "degraded")
    check = module.sandbox()
    assert check.state == "problem"
    assert "sandbox.level=degraded" in check.mend


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[str]]]:
    """A server that refuses every request, and the headers it was sent."""
    seen: list[str] = []

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.path} {self.headers}")
            self.send_error(401)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_endpoint_that_refuses_us_is_reachable_and_is_sent_no_key(
    endpoint: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, seen = endpoint
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
    assert reach.teacher()[0] == "ok"
    assert "wants a key" in reach.teacher()[1]
    assert {line.partition(" ")[0] for line in seen} == {"/v1/models"}
    assert not any(SECRET in line for line in seen)


def test_an_endpoint_is_told_with_its_models(monkeypatch: pytest.MonkeyPatch) -> None:
    with running("--models", "small", "large") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert reach.teacher()[1].endswith("has the models small, large")


def test_a_hub_that_cannot_be_reached_or_is_switched_off_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    assert "cannot be reached" in reach.hub()[1]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "switched off" in reach.hub()[1]


@pytest.mark.parametrize(("value", "off"), [("0", False), ("off", False), ("ON", True), ("yes", True)])
def test_the_switch_of_the_hub_is_read_as_its_own_client_reads_it(value: str, off: bool) -> None:
    code = "from pad_ray.offline import hub_is_off; print(hub_is_off())"
    environment = {**os.environ, "HF_HUB_OFFLINE": value}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert said.stdout.strip() == str(off)


@pytest.mark.parametrize("url", ["http://host:abc", "http://user:hid/den@host", "http://[host", "localhost:8000"])
def test_an_address_that_is_none_is_a_problem_beside_the_other_findings(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pad_ray import doctor as module

    def fails() -> module.Check:
        raise RuntimeError(SECRET)

    for name in ("_ray", "sandbox", "_training", "_disk"):
        monkeypatch.setattr(module, name, lambda name=name: module.Check(name, "ok", "not looked at"))
    monkeypatch.setattr(module, "_memory", fails)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    checks = module.examine()
    found = {check.check: check for check in checks}
    assert len(checks) == 13
    assert found["teacher"].state == "problem"
    assert found["teacher"].found == "OPENAI_BASE_URL is set, but not to a URL"
    assert found["memory"].state == "problem"
    assert "RuntimeError in test_doctor.py" in found["memory"].found
    assert not [check for check in checks if SECRET in check.found or "hid" in check.found]
