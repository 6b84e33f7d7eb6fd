"""`pad-ray doctor`: what works on this machine, found by trying it, and the mend for what does not.

Heavy packages are imported in processes of their own: one that hangs or dies is a finding, not the end. Nothing is
fetched and no secret is printed or sent; a network check is one request with a short limit.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pad_ray import reach
from pad_ray.errors import PadRayError, SandboxError
from pad_ray.flow.cluster import quiet_environment
from pad_ray.outcomes import Outcome
from pad_ray.sandbox import Sandbox

GB = 1e9
IMPORT_S = 90.0
"""Limit on the imports; some seconds on a quiet machine."""
SOCKET_PATH = 107
"""Longest path of a Unix socket."""
SESSION_PATH = 84
"""What Ray appends to its temporary folder to name a socket."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding."""

    check: str
    """What was looked at."""
    state: Literal["ok", "note", "problem"]
    """note: something optional is absent; problem: something needed does not work."""
    found: str
    """What was found."""
    mend: str = ""
    """What to do about it, or empty."""


Look = Callable[[], Check | list[Check]]


def examine() -> list[Check]:
    """Every finding, in a fixed order; takes as long as the slowest import.

    With RAY_ADDRESS also what the nodes of that cluster have in common, and where they differ.
    """
    looks: dict[str, Look] = {
        "python": _python,
        "ray": _ray,
        "ray files": temporary_folder,
        "sandbox": sandbox,
        "torch": _training,
        "compiler": _compiler,
        "gym": _gym,
        "memory": _memory,
        "disk": _disk,
        "student": lambda: Check("student", *reach.student()),
        "hub": lambda: Check("hub", *reach.hub()),
        "teacher": lambda: Check("teacher", *reach.teacher()),
        "s3": lambda: Check("s3", *reach.s3()),
    }
    with ThreadPoolExecutor(len(looks)) as pool:
        found = [check for part in pool.map(_looked, looks, looks.values()) for check in part]
    return found + (_looked("cluster", _cluster) if os.environ.get("RAY_ADDRESS") else [])


def _looked(name: str, look: Look) -> list[Check]:
    """What a look found; one that fails is a finding too, and the others are told all the same."""
    try:
        found = look()
    except PadRayError as error:
        return [Check(name, "problem", error.message.rstrip("."), error.hint)]
    except Exception as error:  # Whatever it is; its text may hold a secret of the environment, so only its place.
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"looking at it failed: {type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
        return [Check(name, "problem", what, "Check what the environment sets for it, or report this.")]
    return found if isinstance(found, list) else [found]


def _python() -> Check:
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return Check("python", "ok", f"{platform.python_version()} on {machine}")


def _ray() -> Check:
    said, failure = _tried("import ray; say('ray', ray.__version__)")
    if failure:
        return Check("ray", "problem", failure, _reinstall("ray"))
    shared = shutil.disk_usage("/dev/shm").total if Path("/dev/shm").is_dir() else 0
    found = f"{said['ray']}; shared memory {shared / GB:.1f} GB"
    if address := os.environ.get("RAY_ADDRESS"):
        return Check("ray", "ok", f"{found}; commands join the cluster at RAY_ADDRESS={address}")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files != resource.RLIM_INFINITY and files < 4096:
        return Check("ray", "note", f"{found}; only {files} open files allowed", "Raise it: ulimit -Hn 65536.")
    if sys.platform == "linux" and shared < 0.2 * GB:
        mend = "Give the container more, e.g. docker run --shm-size=2g; Ray falls back to slower files."
        return Check("ray", "note", found, mend)
    return Check("ray", "ok", found)


def temporary_folder() -> Check:
    """Whether Ray can write its files."""
    base = Path(os.environ.get("RAY_TMPDIR", "/tmp"))
    room = SOCKET_PATH - SESSION_PATH
    if len(str(base)) > room:
        return Check(
            "ray files", "problem", f"RAY_TMPDIR={base} is too long", f"Choose one of at most {room} characters."
        )
    try:
        with tempfile.TemporaryDirectory(prefix="pr_", dir=base):
            usage = shutil.disk_usage(base)
    except OSError as error:
        return Check(
            "ray files", "problem", f"{base} cannot be written ({error.strerror})", "Set RAY_TMPDIR to a folder."
        )
    if usage.used / usage.total > 0.95:
        mend = "Ray refuses to work above 95 %: free some space, or set RAY_TMPDIR to another disk."
        return Check("ray files", "problem", f"the disk of {base} is {100 * usage.used / usage.total:.0f} % full", mend)
    return Check("ray files", "ok", f"{base} can be written")


def sandbox() -> Check:
    """Start one at whatever level it reaches, and see that a good program runs and a hostile one does not."""
    programs = ("def solution():\n    return 6 * 7\n", "def solution():\n    return open('/etc/passwd').read()\n")
    try:
        with Sandbox(level="unsafe", timeout_s=5) as box:
            good, hostile = box.run(programs, lane="solo")
            level, layers = box.level, box.report["layers"]
    except SandboxError as error:
        return Check("sandbox", "problem", error.message.rstrip("."), error.hint)
    if good.value != "42" or hostile.outcome is not Outcome.FORBIDDEN:
        found = f"a program that returns 42 gave {good.outcome}, one that reads /etc/passwd gave {hostile.outcome}"
        return Check("sandbox", "problem", found, "Run nothing untrusted here, and report this.")
    off = ", ".join(f"{name} {state}" for name, state in layers.items() if state != "active")
    active = ", ".join(name for name, state in layers.items() if state == "active")
    found = f"{level}: {active} active{f'; {off}' if off else ''}; self-test passed, a hostile program was refused"
    if level == "strict":
        return Check("sandbox", "ok", found)
    mend = f"Recipes ask for strict. Allow seccomp and Landlock, or accept the risk: sandbox.level={level}"
    return Check("sandbox", "problem", found, mend)


_TRAINING = """
import torch
say("torch", torch.__version__, "with", torch.get_num_threads(), "threads")
say("gpu", ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())))
import deepspeed
say("deepspeed", deepspeed.__version__)
"""


def _training() -> list[Check]:
    """What training stands on. As in training, DeepSpeed with the CPU as accelerator looks for no compiler."""
    said, failure = _tried(_TRAINING, {"DS_ACCELERATOR": "cpu"})
    if "gpu" not in said:
        untried = Check("deepspeed", "problem", "not tried, because torch does not work", "First mend torch.")
        return [Check("torch", "problem", failure, _reinstall("torch")), untried]
    if said["gpu"]:
        gpu = Check("gpu", "ok", said["gpu"])
    elif shutil.which("nvidia-smi"):
        found = "there is an NVIDIA driver, but this PyTorch sees no GPU"
        gpu = Check("gpu", "note", found, "Install PyTorch's CUDA build to use it.")
    else:
        gpu = Check("gpu", "note", "none: everything runs on the CPU", "Fine for small students.")
    if failure:
        deepspeed = Check("deepspeed", "problem", failure, f"DS_BUILD_OPS=0 {_reinstall('deepspeed')}")
    else:
        deepspeed = Check("deepspeed", "ok", f"{said['deepspeed']}; its import builds nothing")
    return [Check("torch", "ok", said["torch"]), gpu, deepspeed]


def deepspeed_and_gpu() -> list[Check]:
    """What a training node needs beyond what its versions tell."""
    return [check for check in _training() if check.check != "torch"]


def _cluster() -> list[Check]:
    from pad_ray.flow.nodes import examine_cluster

    return examine_cluster()


def _compiler() -> Check:
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if found:
        return Check("compiler", "ok", f"{found} (only the gym task zebra_puzzles needs one)")
    mend = "Only the gym task zebra_puzzles needs one: apt install gcc python3-dev, then make install."
    return Check("compiler", "note", "no C compiler", mend)


def _gym() -> Check:
    try:
        return Check("gym", "ok", f"reasoning-gym {version('reasoning-gym')}")
    except PackageNotFoundError:
        mend = "gym:// problems and the recipes made of them need it: make install, or pip install 'pad-ray[gym]'."
        return Check("gym", "note", "reasoning-gym is not installed", mend)


def _memory() -> Check:
    info = Path("/proc/meminfo")
    if not info.exists():
        return Check("memory", "note", "cannot be read on this system", "A run of a small student wants 4 GB.")
    lines = dict(line.split(":", 1) for line in info.read_text().splitlines())
    free, total = (int(lines[key].split()[0]) * 1024 / GB for key in ("MemAvailable", "MemTotal"))
    found = f"{free:.1f} of {total:.1f} GB available"
    if free < 2:
        return Check(
            "memory", "problem", found, "Ray and a small student want 4 GB: close something, or use a larger machine."
        )
    return Check("memory", "ok", found) if free >= 4 else Check("memory", "note", found, "4 GB are comfortable.")


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / GB
    found = f"{free:.1f} GB free in {Path.cwd()}"
    if free < 1:
        return Check(
            "disk", "problem", found, "A run writes its students and checkpoints here: choose another --run-dir."
        )
    mend = "A student of 135 million weights takes about 4 GB a run (weights and training state of each round)."
    return Check("disk", "ok", found) if free >= 5 else Check("disk", "note", found, mend)


def _tried(code: str, more: dict[str, str] | None = None) -> tuple[dict[str, str], str]:
    """What a fresh interpreter says while it runs code (`say(NAME, …)`), and why it failed, or empty."""
    environment = {**os.environ, **quiet_environment(), **(more or {})}
    # Some packages print while they are imported: what is said is marked.
    command = [sys.executable, "-c", f"say = lambda name, *words: print('\\n>' + name, *words, flush=True)\n{code}"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=IMPORT_S)
    except subprocess.TimeoutExpired:
        return {}, f"its import did not end within {IMPORT_S:.0f} s"
    lines = (line[1:].partition(" ") for line in result.stdout.splitlines() if line.startswith(">"))
    said = {name: words for name, _, words in lines}
    if not result.returncode:
        return said, ""
    errors = result.stderr.strip().splitlines() or [f"it ended with status {result.returncode}"]
    return said, f"its import fails: {errors[-1]}"


def _reinstall(package: str) -> str:
    return f"pip install -c constraints.txt {package}"
