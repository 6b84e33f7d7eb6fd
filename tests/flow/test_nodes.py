"""What the doctor says of a cluster: what is alike once, and each difference that matters in a sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pad_ray.doctor import Check
from pad_ray.errors import PadRayError
from pad_ray.flow.nodes import PACKAGES, Node, compared, look

STRICT = Check("sandbox", "ok", "strict: process, limits, seccomp, landlock active")
DEGRADED = Check("sandbox", "problem", "degraded: seccomp off", "Recipes ask for strict.")
REST = (
    Check("gpu", "note", "none: everything runs on the CPU", "Fine for small students."),
    Check("deepspeed", "ok", "0.19.8; its import builds nothing"),
    Check("s3", "ok", "credentials found; https://s3 can be reached"),
    Check("ray files", "ok", "/tmp can be written"),
)


def node(name: str, sandbox: Check = STRICT, **resources: float) -> Node:
    return Node(
        name=name,
        resources={"CPU": 4.0} | resources,
        versions={"python": "3.11.7"} | dict.fromkeys(PACKAGES, "1.0"),
        checks=(sandbox, *REST),
        shared_gb=8.0,
        free_gb=100.0,
        ahead_s=0.0,
        doubt_s=0.01,
    )


def problems(nodes: list[Node]) -> list[str]:
    return [f"{check.check}: {check.found}" for check in compared(nodes) if check.state == "problem"]


def test_nodes_that_are_alike_are_told_once() -> None:
    said = compared([node("10.0.0.1"), node("10.0.0.2")])
    assert [check.check for check in said] == [
        *("nodes", "versions", "sandbox", "gpu", "deepspeed", "s3", "ray files", "clocks", "memory", "disk")
    ]
    assert all(check.state != "problem" for check in said)
    assert said[0].found == "2 (10.0.0.1, 10.0.0.2)"


def test_another_version_names_the_package_and_the_nodes() -> None:
    other = node("10.0.0.2")
    other = replace(other, versions={**other.versions, "torch": "0.9", "numpy": ""})
    assert problems([node("10.0.0.1"), other]) == [
        "torch: differs: 1.0 on 10.0.0.1; 0.9 on 10.0.0.2",
        "numpy: differs: 1.0 on 10.0.0.1; none on 10.0.0.2",
    ]


def test_a_build_for_gpus_is_the_same_version() -> None:
    ours, theirs = (
        replace(node(name), versions={"torch": number}) for name, number in (("a", "2.13.0+cpu"), ("b", "2.13.0+cu130"))
    )
    assert problems([ours, theirs]) == []


def test_a_node_with_a_weaker_sandbox_is_named_with_the_mend() -> None:
    said = compared([node("10.0.0.1"), node("10.0.0.2", DEGRADED), node("10.0.0.3")])
    [weak] = [check for check in said if check.state == "problem"]
    assert weak == Check("sandbox", "problem", "on 10.0.0.2: degraded: seccomp off", "Recipes ask for strict.")
    assert Check("sandbox", "ok", f"on 10.0.0.1, 10.0.0.3: {STRICT.found}") in said


def test_the_head_need_not_be_able_to_do_what_it_never_does() -> None:
    assert problems([node("10.0.0.1", DEGRADED, CPU=0.0), node("10.0.0.2")]) == []


def test_a_gpu_that_torch_does_not_see_is_a_problem() -> None:
    assert problems([node("10.0.0.1"), node("10.0.0.2", GPU=1.0)]) == [
        "gpu: 10.0.0.2 offers 1 to Ray, but its PyTorch sees none"
    ]


@pytest.mark.parametrize(("ahead", "state"), [(0.5, "ok"), (4.0, "note"), (90.0, "problem"), (-90.0, "problem")])
def test_a_clock_that_is_off_is_named(ahead: float, state: str) -> None:
    nodes = [node("10.0.0.1"), node("10.0.0.2"), replace(node("10.0.0.3"), ahead_s=ahead)]
    [clocks] = [check for check in compared(nodes) if check.check == "clocks"]
    assert clocks.state == state
    assert (clocks.found.startswith(f"10.0.0.3 is {abs(ahead):.1f} s {'ahead' if ahead > 0 else 'behind'}")) is (
        state != "ok"
    )


def test_a_slow_network_is_no_wrong_clock() -> None:
    nodes = [node("10.0.0.1"), node("10.0.0.2"), replace(node("10.0.0.3"), ahead_s=2.0, doubt_s=3.0)]
    [clocks] = [check for check in compared(nodes) if check.check == "clocks"]
    assert clocks.state == "ok"


def test_little_room_is_noted_with_the_node() -> None:
    said = compared([node("10.0.0.1"), replace(node("10.0.0.2"), shared_gb=0.06, free_gb=2.0)])
    notes = [f"{check.check}: {check.found}" for check in said if check.check in ("memory", "disk")]
    assert notes == [
        "memory: little /dev/shm on 10.0.0.2 (0.1 GB)",
        "disk: at least 2.0 GB free on every node (10.0.0.2 has the least)",
    ]


def test_a_cluster_that_cannot_be_joined_is_one_finding_more(monkeypatch: pytest.MonkeyPatch) -> None:
    from pad_ray import doctor
    from pad_ray.flow import nodes

    def refused() -> list[Check]:
        raise PadRayError("cannot join the Ray cluster.", hint="Check that it runs.")

    monkeypatch.setattr(nodes, "examine_cluster", refused)
    told = doctor._looked("cluster", doctor._cluster)
    assert told == [Check("cluster", "problem", "cannot join the Ray cluster", "Check that it runs.")]


@pytest.mark.slow
def test_every_node_looks_at_itself(ray_session: None) -> None:
    nodes, silent = look()
    assert not silent
    [found] = nodes
    assert found.versions["ray"] and {"sandbox", "gpu", "deepspeed", "s3", "ray files"} == {
        c.check for c in found.checks
    }
    assert abs(found.ahead_s) <= found.doubt_s + 0.1
