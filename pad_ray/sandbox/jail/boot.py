"""From a fresh interpreter to a locked-down supervisor: import, lock, prove, report, serve.

The order is the point: nothing can be imported after the lock, nothing hostile runs before it, and the report states
what a throw-away child really found, not what was asked for.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import platform
import signal
import sys
import warnings
from typing import Any

from . import child, language, lockdown, science, selftest, syscalls
from .interpret import Interpreter
from .pipes import LENGTH, send
from .supervisor import Supervisor

ACTIVE, ABSENT, OFF = "active", "absent", "off: switched off by a test"
_ENVIRONMENT = frozenset({"PYTHONHASHSEED", "LC_ALL", "LC_CTYPE", "TZ", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"})


def main() -> None:
    """Entry of the fresh interpreter; it is given JSON {"site": […], "science", "spare", "patient", "off": […]}."""
    try:
        config: dict[str, Any] = json.loads(sys.argv[1])
        supervisor, report = prepare(config)
    except Exception as error:
        _hello({"error": f"{type(error).__name__}: {error}"})
        raise
    _hello(report)
    supervisor.serve()


def prepare(config: dict[str, Any]) -> tuple[Supervisor, dict[str, Any]]:
    """Load, lock down and test. Returns the supervisor and its report."""
    off = frozenset(config["off"])
    os.dup2(2, child.WORK)  # reserved, so that no pipe of ours ever gets these numbers
    os.dup2(2, child.BELL)
    interpreter, loaded = _load(config, restricted="language" not in off)
    gc.collect()
    gc.freeze()  # children share these pages; a collection in a child would copy them
    layers, facts, limits = _lock(off)
    supervisor = Supervisor(interpreter, limits, keep_spare=config["spare"])
    if config["patient"]:
        supervisor.await_word()  # no throw-away child appears while nobody expects one
    _prove(supervisor, limits, layers, facts)
    supervisor.prepare_spare()
    layers["language"] = OFF if "language" in off else ACTIVE
    facts |= {"layers": layers, "science": loaded}
    return supervisor, facts


def _load(config: dict[str, Any], *, restricted: bool) -> tuple[Interpreter, list[str]]:
    warnings.simplefilter("ignore")  # a SyntaxWarning would import its formatter inside a child
    for name in (*language.MODULES, *language.HIDDEN_HELPERS):
        importlib.import_module(name)
    loaded: list[str] = []
    if config["science"]:
        sys.path.extend(config["site"])
        loaded = science.load(language.SCIENCE)
    if not restricted:
        for name in language.TEST_MODULES:
            importlib.import_module(name)
    modules = frozenset({*(name.partition(".")[0] for name in language.MODULES), *loaded})
    shared = language.SHARED_MODULES | {name for name in loaded if name == "numpy"}
    return Interpreter(modules, shared, restricted=restricted), loaded


def _lock(off: frozenset[str]) -> tuple[dict[str, str], dict[str, Any], child.Limits]:
    """Give up what a supervisor does not need. Returns the state of each layer, facts, the children's limits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to the caller
    memory = lockdown.address_space() + child.MEMORY_BYTES
    facts: dict[str, Any] = {"landlock_version": 0}
    rooted = lockdown.drop_root()
    facts |= {"uid": os.getuid(), "python": platform.python_version(), "kernel": platform.release()}
    layers = {
        "process": OFF if "process" in off else _state(lockdown.seal_process() or _unexpected_environment()),
        "landlock": OFF if "landlock" in off else _lock_files(facts),
        "seccomp": OFF if "seccomp" in off else ACTIVE,
        "limits": OFF if "limits" in off else _state(rooted),
    }
    lockdown.limit_supervisor()
    child_filter = b""
    if layers["seccomp"] == ACTIVE:
        layers["seccomp"] = _state(lockdown.install_seccomp(syscalls.supervisor_filter()))
        if layers["seccomp"] == ACTIVE and "child_filter" not in off:
            child_filter = syscalls.child_filter(read_from=child.WORK, write_to=child.BELL)
    if "limits" in off:
        off |= frozenset(selftest.LIMIT_PROBES)
    return layers, facts, child.Limits(memory, child_filter, off)


def _lock_files(facts: dict[str, Any]) -> str:
    version, reason = lockdown.landlock_version()
    if not version:
        return ABSENT if reason == ABSENT else f"failed: {reason}"
    failed = lockdown.landlock_deny_all(version)
    if failed:
        return f"failed: {failed}"
    facts["landlock_version"] = version
    try:
        os.close(os.open("/", os.O_RDONLY))
    except PermissionError:
        return ACTIVE
    return "failed: / can still be opened"


def _prove(supervisor: Supervisor, limits: child.Limits, layers: dict[str, str], facts: dict[str, Any]) -> None:
    """Let throw-away children try; a layer that let something through is reported as failed."""
    parent, unfiltered = os.getpid(), limits._replace(seccomp=b"")
    answers, _ = supervisor.trial(lambda pages: selftest.try_calls(pages, parent), limits)
    found = selftest.read_answers(answers)
    answers, _ = supervisor.trial(selftest.try_limits, unfiltered)
    found |= selftest.read_answers(answers)
    for name, overstay in (("alarm", selftest.sleep_on), ("cpu", selftest.work_on)):
        _, status = supervisor.trial(lambda _, overstay=overstay: overstay(limits), limits)
        found[name] = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else ""
    facts["selftest"] = found
    if layers["seccomp"] == ACTIVE:
        through = [name for name in selftest.SECCOMP_PROBES if found.get(name) != "EPERM"]
        layers["seccomp"] = f"failed: {', '.join(through)} not refused" if through else ACTIVE
    if layers["limits"] == ACTIVE:
        through = [name for name, wanted in selftest.LIMIT_PROBES.items() if found.get(name) != wanted]
        layers["limits"] = f"failed: no limit on {', '.join(through)}" if through else ACTIVE


def _unexpected_environment() -> str:
    surplus = set(os.environ) - _ENVIRONMENT
    return f"the environment holds {', '.join(sorted(surplus))}" if surplus else ""


def _state(failure: str) -> str:
    return f"failed: {failure}" if failure else ACTIVE


def _hello(report: dict[str, Any]) -> None:
    body = json.dumps(report).encode()
    send(LENGTH.pack(len(body)) + body)
