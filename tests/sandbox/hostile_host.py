"""The process that opens the sandbox for the hostile corpus: a stand-in for a Ray actor, with a secret to lose.

`python hostile_host.py JSON` is two processes. The keeper is a sub-reaper: whatever a program leaves behind becomes its
child, where it can be counted. The host gives up root, where told, takes on what a container runtime imposes, where
told, and then serves JSON lines: `{"programs": […], "lane": "batch"}` → `{"ends": [[outcome, value, detail], …], …}`.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import struct
import sys
from pathlib import Path
from typing import Any

UID = 65_533
MEMORY = 3 << 30
PROCESSES = 400
_NO_NEW_PRIVILEGES, _SUBREAPER, _SET_SECCOMP, _FILTER_MODE = 38, 36, 22, 2
_NAMESPACES = 0x7E020000  # every CLONE_NEW… flag of clone
_LOAD, _IF_EQUAL, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _REFUSE, _MISSING, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38, 0x80000000
_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
# name: (number on x86-64, number on aarch64). What RuntimeDefault and Docker's own profile keep from a process without
# capabilities; prctl, seccomp and the three calls of Landlock are not among them.
_REFUSED = {
    "acct": (163, 89), "add_key": (248, 217), "bpf": (321, 280), "chroot": (161, 51), "clock_settime": (227, 112),
    "delete_module": (176, 106), "finit_module": (313, 273), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fsopen": (430, 430), "init_module": (175, 105), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425), "kcmp": (312, 272), "kexec_file_load": (320, 294), "kexec_load": (246, 104),
    "keyctl": (250, 219), "lookup_dcookie": (212, 18), "mbind": (237, 235), "mount": (165, 40),
    "mount_setattr": (442, 442), "move_mount": (429, 429), "move_pages": (279, 239), "open_by_handle_at": (304, 265),
    "open_tree": (428, 428), "perf_event_open": (298, 241), "pidfd_getfd": (438, 438), "pivot_root": (155, 41),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "ptrace": (101, 117), "quotactl": (179, 60),
    "reboot": (169, 142), "request_key": (249, 218), "set_mempolicy": (238, 237), "setns": (308, 268),
    "settimeofday": (164, 170), "swapoff": (168, 225), "swapon": (167, 224), "syslog": (103, 116),
    "umount2": (166, 39), "unshare": (272, 97), "userfaultfd": (323, 282), "vhangup": (153, 58),
}  # fmt: skip
_libc = ctypes.CDLL(None, use_errno=True)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def main() -> None:
    """Keeper in front, host behind it."""
    _libc.prctl(_SUBREAPER, 1, 0, 0, 0)
    host = os.fork()
    if host == 0:
        serve(json.loads(sys.argv[1]))
        os._exit(0)
    os.closerange(0, 2)
    while True:
        pid, status = os.wait()
        if pid == host:
            os._exit(1 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


def serve(config: dict[str, Any]) -> None:
    """Become what `config` says, open a sandbox, answer until the input ends."""
    from pad_ray.sandbox import Sandbox  # while the checkout can surely be read

    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    confine(config["profile"])
    with Sandbox("unsafe", config["timeout"], config["confirm"], _off=frozenset(config["off"])) as box:
        replies.write(json.dumps({"level": box.level, "uid": os.getuid(), "layers": box.report["layers"]}) + "\n")
        replies.flush()
        for line in sys.stdin:
            request = json.loads(line)
            ends = box.run(request["programs"], lane=request["lane"])
            told = [[end.outcome.value, end.value, end.detail] for end in ends]
            replies.write(json.dumps({"ends": told, "restarts": box.restarts, **_belongings()}) + "\n")
            replies.flush()


def confine(profile: str) -> None:
    """`root`: stay who we are. `plain`: an ordinary user. `container`: a user behind a container runtime's filter."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.getuid() == 0:  # who runs these tests as a user may already have more processes than that
        resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    if profile != "root" and os.getuid() == 0:
        os.setgroups([])
        os.setresgid(UID, UID, UID)
        os.setresuid(UID, UID, UID)
    if profile == "container":
        _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        program = runtime_filter()
        buffer = ctypes.create_string_buffer(program, len(program))
        described = _FilterProgram(len(program) // 8, ctypes.addressof(buffer))
        if _libc.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(described), 0, 0):
            raise OSError(ctypes.get_errno(), "the container's filter was refused")
        refused = _libc.syscall(_REFUSED["unshare"][_column()], 0)  # which asks for nothing, and succeeds elsewhere
        if refused != -1:
            raise RuntimeError("the container's filter does not work")


def runtime_filter() -> bytes:
    """What a container runtime's default profile does to an unprivileged process, as seccomp instructions."""
    code = [_op(_LOAD, 4), _op(_IF_EQUAL, _MACHINES[platform.machine()], 1, 0), _op(_RETURN, _KILL), _op(_LOAD, 0)]
    for numbers in _REFUSED.values():
        code += [_op(_IF_EQUAL, numbers[_column()], 0, 1), _op(_RETURN, _REFUSE)]
    code += [_op(_IF_EQUAL, _CLONE3, 0, 1), _op(_RETURN, _MISSING)]
    code += [_op(_IF_EQUAL, _CLONE[platform.machine()], 0, 4), _op(_LOAD, 16)]
    code += [_op(_IF_ANY_BIT, _NAMESPACES, 0, 1), _op(_RETURN, _REFUSE), _op(_RETURN, _ALLOW), _op(_RETURN, _ALLOW)]
    return b"".join(code)


def _column() -> int:
    return 0 if platform.machine() == "x86_64" else 1


def _op(code: int, constant: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, constant)


def _belongings() -> dict[str, int]:
    """Open descriptors and resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"descriptors": len(list(Path("/proc/self/fd").iterdir())), "resident": pages * resource.getpagesize()}


if __name__ == "__main__":
    main()
