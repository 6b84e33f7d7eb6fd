"""The tables of system calls are the kernel's own, and the filters built from them allow nothing else."""

from __future__ import annotations

import platform
import re
import struct
import sys
from pathlib import Path

import pytest

from pad_ray.errors import SandboxError
from pad_ray.sandbox import Sandbox, zygote
from pad_ray.sandbox.jail import child, syscalls

ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050001
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    # Where the kernel has no list of its own for a machine, as for this one until 6.11, this is the list.
    "aarch64": ("/usr/include/aarch64-linux-gnu/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h"),
}
AUDIT_64_BIT_LITTLE_ENDIAN = 0xC0000000
ELF_NUMBER = {"x86_64": 62, "aarch64": 183}
linux = pytest.mark.skipif(sys.platform != "linux", reason="there are no such filters elsewhere")


def kernel_numbers(header: Path) -> dict[str, int]:
    """System calls by name, also those that the header gives by way of another name."""
    told = dict(re.findall(r"^#define __NR(\w+) (?:__NR)?(\w+)", header.read_text(), re.MULTILINE))
    found = {name: told.get(number, number) for name, number in told.items()}
    return {name.removeprefix("_"): int(number) for name, number in found.items() if number.isdigit()}


@pytest.mark.parametrize("machine", HEADERS)
def test_every_number_is_the_kernels(machine: str) -> None:
    header = next((Path(path) for path in HEADERS[machine] if Path(path).exists()), None)
    if header is None:
        pytest.skip(f"no kernel headers for {machine} here (Debian: linux-libc-dev)")
    arch, table = syscalls._MACHINES[machine]
    numbers = kernel_numbers(header)
    assert table == {name: numbers.get(name) for name in table}
    assert arch == AUDIT_64_BIT_LITTLE_ENDIAN | ELF_NUMBER[machine]


@pytest.mark.parametrize("machine", HEADERS)
def test_every_call_that_is_needed_has_a_number_or_never_existed_there(machine: str) -> None:
    _, table = syscalls._MACHINES[machine]
    missing = {*syscalls.CHILD_CALLS, *syscalls.SUPERVISOR_CALLS} - table.keys()
    assert missing == {"x86_64": set(), "aarch64": {"time", "dup2", "poll", "fork"}}[machine]


def verdict(program: bytes, number: int, arch: int, arguments: tuple[int, ...] = ()) -> int:
    """What a filter says to a call: the kernel's interpreter, as far as our filters use it."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    code = list(struct.iter_unpack("<HBBI", program))
    place = loaded = 0
    while True:
        operation, if_true, if_false, constant = code[place]
        place += 1
        if operation == syscalls._LOAD:
            loaded = int.from_bytes(data[constant : constant + 4], "little")
        elif operation == syscalls._RETURN:
            return constant
        else:
            holds = {
                syscalls._IF_EQUAL: loaded == constant,
                syscalls._IF_GREATER_EQUAL: loaded >= constant,
                syscalls._IF_ANY_BIT: bool(loaded & constant),
            }[operation]
            place += if_true if holds else if_false


@pytest.mark.parametrize("machine", HEADERS)
def test_a_child_may_make_the_listed_calls_and_no_other(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    arch, table = syscalls._MACHINES[machine]
    program = syscalls.child_filter(read_from=child.WORK, write_to=child.BELL)
    own = {table[name] for name in syscalls.CHILD_CALLS if name in table}
    first = {"read": (child.WORK,), "write": (child.BELL,)}
    wanted = {table[name]: arguments for name, arguments in first.items()}
    for number in range(1000):
        allowed = ALLOW if number in own else REFUSE
        assert verdict(program, number, arch, wanted.get(number, ())) == allowed, number
    for name, descriptor in (("read", child.BELL), ("write", child.WORK), ("write", 1), ("read", 0)):
        assert verdict(program, table[name], arch, (descriptor,)) == REFUSE
    for name in ("mmap", "mprotect"):
        assert verdict(program, table[name], arch, (0, 4096, 3)) == ALLOW
        assert verdict(program, table[name], arch, (0, 4096, 7)) == REFUSE


@pytest.mark.parametrize("machine", HEADERS)
def test_a_call_for_another_architecture_kills(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    arch, table = syscalls._MACHINES[machine]
    for program in (syscalls.supervisor_filter(), syscalls.child_filter(read_from=3, write_to=4)):
        assert verdict(program, table["getpid"], arch) == ALLOW
        assert verdict(program, table["getpid"], arch ^ 0x80000000) == KILL
    if machine == "x86_64":
        assert verdict(program, table["getpid"] | 0x40000000, arch) == KILL


@linux
def test_a_machine_without_a_table_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend = "import platform; platform.machine = lambda: 'riscv64'; "
    monkeypatch.setattr(zygote, "_BOOT", pretend + zygote._BOOT)
    with pytest.raises(SandboxError, match=r"'strict' is asked for.*seccomp: .*no table of .* \(riscv64\)") as refusal:
        Sandbox(level="strict").__enter__()
    assert "degraded" in refusal.value.hint or "unsafe" in refusal.value.hint
    with Sandbox(level="unsafe") as box:
        assert box.level != "strict"
        assert box.run(["ans = 6 * 7"])[0].value == "42"
