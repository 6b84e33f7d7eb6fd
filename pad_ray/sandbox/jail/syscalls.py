"""Seccomp filters as allow-lists: which system calls a supervisor and its children may make, on two machines.

A call that is not listed fails with EPERM, so that Python raises PermissionError and the program gets a verdict; a
call for another architecture kills the process.
"""

from __future__ import annotations

import platform
import struct

_X86_64 = {
    "read": 0, "write": 1, "close": 3, "poll": 7, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12,
    "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "readv": 19, "sched_yield": 24, "mremap": 25,
    "madvise": 28, "dup2": 33, "nanosleep": 35, "setitimer": 38, "getpid": 39, "socket": 41, "clone": 56, "fork": 57,
    "exit": 60, "wait4": 61, "kill": 62, "fcntl": 72, "gettimeofday": 96, "getrusage": 98, "times": 100,
    "getppid": 110, "sigaltstack": 131, "prctl": 157, "gettid": 186, "time": 201, "futex": 202, "clock_gettime": 228,
    "clock_nanosleep": 230, "exit_group": 231, "ppoll": 271, "unshare": 272, "set_robust_list": 273, "dup3": 292,
    "pipe2": 293, "prlimit64": 302, "seccomp": 317, "getrandom": 318, "rseq": 334, "close_range": 436,
}  # fmt: skip
_AARCH64 = {
    "dup3": 24, "fcntl": 25, "close": 57, "pipe2": 59, "read": 63, "write": 64, "readv": 65, "ppoll": 73, "exit": 93,
    "exit_group": 94, "unshare": 97, "futex": 98, "set_robust_list": 99, "nanosleep": 101, "setitimer": 103,
    "clock_gettime": 113, "clock_nanosleep": 115, "sched_yield": 124, "kill": 129, "sigaltstack": 132,
    "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "times": 153, "getrusage": 165, "prctl": 167,
    "gettimeofday": 169, "getpid": 172, "getppid": 173, "gettid": 178, "socket": 198, "brk": 214, "munmap": 215,
    "mremap": 216, "clone": 220, "mmap": 222, "mprotect": 226, "madvise": 233, "wait4": 260, "prlimit64": 261,
    "seccomp": 277, "getrandom": 278, "rseq": 293, "close_range": 436,
}  # fmt: skip
_MACHINES = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}

CHILD_CALLS = (
    "clock_gettime", "setitimer", "mmap", "munmap", "mremap", "mprotect", "brk", "madvise", "futex", "read", "write",
    "exit_group", "exit", "rt_sigreturn", "rt_sigprocmask", "sigaltstack", "gettimeofday", "time", "clock_nanosleep",
    "nanosleep", "getrandom", "getpid", "gettid", "getrusage", "times", "sched_yield",
)  # fmt: skip
SUPERVISOR_CALLS = (
    *CHILD_CALLS, "close", "close_range", "dup2", "dup3", "poll", "ppoll", "pipe2", "clone", "fork", "wait4", "kill",
    "fcntl", "readv", "rt_sigaction", "set_robust_list", "rseq", "prctl", "seccomp", "prlimit64", "getppid",
)  # fmt: skip

_LOAD, _IF_EQUAL, _IF_GREATER_EQUAL, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | 1
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_FIRST_X32_CALL = 0x40000000
_PROT_EXEC = 4


def machine() -> str:
    """What this process runs on: the word of the kernel, unless the process is a 32-bit one with other numbers."""
    return platform.machine() if struct.calcsize("P") == 8 else f"{platform.machine()} with 32-bit pointers"


def machine_call(name: str) -> int | None:
    """Number of a system call on this machine, or None."""
    _, table = _MACHINES.get(machine(), (0, {}))
    return table.get(name)


def child_filter(*, read_from: int, write_to: int) -> bytes:
    """The filter of a child: no files, no processes, no executable memory; one descriptor to read, one to write."""
    return _program(CHILD_CALLS, {"read": read_from, "write": write_to})


def supervisor_filter() -> bytes:
    """The filter of a supervisor: what a child may do, and forking, watching and ending children; b"" without table."""
    return _program(SUPERVISOR_CALLS, {})


def _program(names: tuple[str, ...], only_descriptor: dict[str, int]) -> bytes:
    if machine() not in _MACHINES:
        return b""
    arch, numbers = _MACHINES[machine()]
    code = [_op(_LOAD, _ARCH), _op(_IF_EQUAL, arch, 1, 0), _op(_RETURN, _KILL), _op(_LOAD, _NUMBER)]
    if machine() == "x86_64":
        code += [_op(_IF_GREATER_EQUAL, _FIRST_X32_CALL, 0, 1), _op(_RETURN, _KILL)]
    for name in names:
        number = numbers.get(name)
        if number is None:  # an old call that the newer machine never had
            continue
        if name in only_descriptor:
            code += [_op(_IF_EQUAL, number, 0, 4), _op(_LOAD, _argument(0))]
            code += [_op(_IF_EQUAL, only_descriptor[name], 0, 1), _op(_RETURN, _ALLOW), _op(_RETURN, _REFUSE)]
        elif name in ("mmap", "mprotect"):
            code += [_op(_IF_EQUAL, number, 0, 4), _op(_LOAD, _argument(2))]
            code += [_op(_IF_ANY_BIT, _PROT_EXEC, 0, 1), _op(_RETURN, _REFUSE), _op(_RETURN, _ALLOW)]
        else:
            code += [_op(_IF_EQUAL, number, 0, 1), _op(_RETURN, _ALLOW)]
    return b"".join([*code, _op(_RETURN, _REFUSE)])


def _op(code: int, constant: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, constant)


def _argument(position: int) -> int:
    return _ARGUMENTS + 8 * position
