"""The level is what the layers really do: switching one off lowers it, and less than was asked for is refused."""

from __future__ import annotations

import sys

import pytest

from pad_ray.errors import SandboxError
from pad_ray.sandbox import Sandbox, levels
from pad_ray.sandbox.jail import selftest

ALL_ACTIVE = dict.fromkeys(("process", "limits", "seccomp", "landlock"), "active")
linux = pytest.mark.skipif(sys.platform != "linux", reason="these layers are Linux's")


@pytest.mark.parametrize(
    ("states", "level"),
    [
        ({}, "strict"),
        ({"landlock": "absent"}, "strict"),
        ({"landlock": "failed: EPERM"}, "degraded"),
        ({"seccomp": "failed: open not refused"}, "degraded"),
        ({"seccomp": "failed: x", "landlock": "absent"}, "unsafe"),
        ({"process": "failed: still root"}, "unsafe"),
        ({"limits": "failed: memory"}, "unsafe"),
        ({"language": "off"}, "strict"),
    ],
)
def test_each_combination_of_layers_has_one_level(states: dict[str, str], level: str) -> None:
    assert levels.reached(ALL_ACTIVE | states) == level


@linux
@pytest.mark.parametrize(
    ("off", "level"),
    [
        ({"language"}, "strict"),
        ({"landlock"}, "degraded"),
        ({"seccomp"}, "degraded"),
        ({"seccomp", "landlock"}, "unsafe"),
        ({"process"}, "unsafe"),
        ({"limits"}, "unsafe"),
    ],
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else value,
)
def test_a_sandbox_without_a_layer_reports_the_lower_level(strict_box: Sandbox, off: set[str], level: str) -> None:
    with Sandbox(level="unsafe", _off=frozenset(off)) as box:
        assert box.level == level
        for name in off:
            assert box.report["layers"][name] != "active"
        assert box.run(["ans = 1"])[0].value == "1"


@linux
@pytest.mark.parametrize(
    ("off", "level", "named"),
    [
        ("memory", "unsafe", "limits: failed: no limit on memory"),
        ("processes", "unsafe", "limits: failed: no limit on processes"),
        ("descriptors", "unsafe", "limits: failed: no limit on descriptors"),
        ("alarm", "unsafe", "limits: failed: no limit on alarm"),
        ("cpu", "unsafe", "limits: failed: no limit on cpu"),
        ("child_filter", "degraded", "seccomp: failed: fork, kill, write not refused"),
        ("landlock", "degraded", "landlock: off: switched off by a test"),
    ],
)
def test_any_one_part_that_is_missing_is_found_out_and_named(
    strict_box: Sandbox, off: str, level: str, named: str
) -> None:
    with pytest.raises(SandboxError, match=f"only level '{level}'.*{named}[.]"):
        Sandbox(level="strict", _off=frozenset({off})).__enter__()


@linux
def test_less_than_was_asked_for_is_refused_with_the_missing_layer(strict_box: Sandbox) -> None:
    with pytest.raises(SandboxError, match=r"'degraded'.*'strict' is asked for.*seccomp: off") as caught:
        Sandbox(level="strict", _off=frozenset({"seccomp"})).__enter__()
    assert "landlock" not in caught.value.message


def test_the_report_says_what_throw_away_children_found(strict_box: Sandbox) -> None:
    found = strict_box.report["selftest"]
    assert {name: found[name] for name in selftest.SECCOMP_PROBES} == dict.fromkeys(selftest.SECCOMP_PROBES, "EPERM")
    assert {name: found[name] for name in selftest.LIMIT_PROBES} == selftest.LIMIT_PROBES
    assert strict_box.report["uid"] != 0
    assert strict_box.report["level"] == strict_box.level == "strict"
