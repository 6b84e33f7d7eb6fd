"""What a process gives up, for good: privileges, files, memory, system calls.

Every step says truthfully what it got. The order matters:
drop root before no_new_privs, Landlock before seccomp, everything after the last import.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
import sys

from . import syscalls

OWN_UID = 61_234
"""Nobody else's uid, taken when started as root; a number without a name, so that no other process shares it."""
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446
_PDEATHSIG, _GET_DUMPABLE, _SET_DUMPABLE, _SET_NO_NEW_PRIVS, _GET_NO_NEW_PRIVS = 1, 3, 4, 38, 39
_SECCOMP_SET_MODE_FILTER = 1
_LINUX = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def drop_root() -> str:
    """Become an unprivileged user. Returns why it failed, or ''."""
    if os.geteuid() != 0:
        return ""
    try:
        os.setgroups([])
        os.setresgid(OWN_UID, OWN_UID, OWN_UID)
        os.setresuid(OWN_UID, OWN_UID, OWN_UID)
    except (OSError, AttributeError) as error:
        return f"still root: {error}"
    return ""


def seal_process() -> str:
    """No new privileges, no core, no ptrace by equals. Returns why it failed, or ''."""
    if not _LINUX:
        return "only Linux can seal a process"
    _libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)
    _libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _libc.prctl(_GET_DUMPABLE, 0, 0, 0, 0) != 0 or _libc.prctl(_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        return "prctl did not take effect"
    return ""


def die_with_parent() -> None:
    """The kernel kills this process when the one that forked it is gone."""
    if _LINUX:
        _libc.prctl(_PDEATHSIG, 9, 0, 0, 0)


def landlock_version() -> tuple[int, str]:
    """The kernel's Landlock version, or 0 and why: `absent` where the kernel has none, else what stands in the way."""
    if not _LINUX:
        return 0, "absent"
    version = _libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version > 0:
        return version, ""
    missing = ctypes.get_errno() in (errno.ENOSYS, errno.EOPNOTSUPP)
    return 0, "absent" if missing else f"landlock_create_ruleset: {os.strerror(ctypes.get_errno())}"


def landlock_deny_all(version: int) -> str:
    """Deny all files, TCP, signals and abstract sockets that this version can name. Returns why it failed, or ''."""
    files = (1 << 13) - 1
    files |= (version >= 2) << 13 | (version >= 3) << 14 | (version >= 5) << 15
    tcp = 3 if version >= 4 else 0
    scopes = 3 if version >= 6 else 0
    rules = struct.pack("<QQQ", files, tcp, scopes)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _libc.syscall(_LANDLOCK_CREATE, rules, ctypes.c_size_t(size), ctypes.c_uint(0))
    if ruleset < 0:
        return f"landlock_create_ruleset: {os.strerror(ctypes.get_errno())}"
    failed = _libc.syscall(_LANDLOCK_RESTRICT, ruleset, ctypes.c_uint(0))
    reason = os.strerror(ctypes.get_errno())
    os.close(ruleset)
    return f"landlock_restrict_self: {reason}" if failed else ""


def install_seccomp(program: bytes) -> str:
    """Install a filter for good. Returns why it failed, or ''."""
    number = syscalls.machine_call("seccomp")
    if not _LINUX or number is None:
        return f"no table of system calls for this machine ({syscalls.machine()})"
    buffer = ctypes.create_string_buffer(program, len(program))
    described = _FilterProgram(len(program) // 8, ctypes.addressof(buffer))
    failed = _libc.syscall(number, _SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(described))
    return f"seccomp: {os.strerror(ctypes.get_errno())}" if failed else ""


def address_space() -> int:
    """Bytes of address space this process has mapped, 0 where it cannot be known. Ask before files are denied."""
    try:
        with open("/proc/self/statm", encoding="ascii") as pages:  # noqa: PTH123 - pathlib stays out of the jail
            return int(pages.read().split()[0]) * resource.getpagesize()
    except FileNotFoundError:
        return 0


def limit_supervisor() -> None:
    """No core files, no file growth: they only ever go down, so every child inherits them."""
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_MEMLOCK):
        resource.setrlimit(kind, (0, 0))


def limit_child(address_bytes: int, off: frozenset[str]) -> None:
    """No further memory, descriptor or process for this child, but for what a test has switched off."""
    if _LINUX and "memory" not in off:  # elsewhere the space already mapped is not known
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        ceiling = address_bytes if hard == resource.RLIM_INFINITY else min(address_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
    if "processes" not in off:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    if "descriptors" not in off:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def native_call(name: str, *arguments: int) -> str:
    """Make a system call directly, as native code would. Returns the name of its error, or '' if nothing refused it."""
    number = syscalls.machine_call(name)
    if number is None:
        return ""
    if _libc.syscall(number, *(ctypes.c_long(argument) for argument in arguments)) != -1:
        return ""
    return errno.errorcode.get(ctypes.get_errno(), "E?")
