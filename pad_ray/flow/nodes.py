"""The nodes of a cluster, for `pad-ray doctor`: one actor looks at each, and what differs is told in a sentence."""

from __future__ import annotations

import platform
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pad_ray import reach
from pad_ray.doctor import GB, Check, deepspeed_and_gpu, sandbox, temporary_folder
from pad_ray.flow.cluster import connect, quiet_environment

ANSWER_S = 180.0
"""How long a node may take to start a process and look."""
PACKAGES = ("ray", "pad-ray", "torch", "deepspeed", "transformers", "numpy")
"""What must be alike on all nodes."""
PINGS = 5
SKEW_S, SKEW_WORST_S = 1.0, 30.0
"""Clocks that differ by more are told; by the second, leases of run folders are taken over too early or too late."""
SHARED_GB, FREE_GB = 0.2, 5.0
"""Less shared memory, or less disk, is told."""


@dataclass(frozen=True, slots=True)
class Node:
    """What was found on one node."""

    name: str
    """Its address."""
    resources: Mapping[str, float]
    """What Ray may use of it."""
    versions: Mapping[str, str]
    """Of Python and of PACKAGES; empty where one is not installed."""
    checks: tuple[Check, ...]
    """What `pad-ray doctor` says there of sandbox, GPU, DeepSpeed, S3 and Ray's folder."""
    shared_gb: float
    """Size of /dev/shm."""
    free_gb: float
    """Free where Ray writes."""
    ahead_s: float
    """How far its clock is ahead of ours."""
    doubt_s: float
    """By how much that may be wrong."""

    @property
    def works(self) -> bool:
        """Whether anything but the cluster itself runs on it."""
        return self.resources.get("CPU", 0) > 0


def examine_cluster() -> list[Check]:
    """Join the cluster of RAY_ADDRESS and look at its nodes. Raises PadRayError if it cannot be joined."""
    with connect(()):
        nodes, silent = look()
    return [*compared(nodes), *silent]


class Looker:
    """Looks at the node it runs on."""

    def look(self) -> dict[str, Any]:
        """The fields of a Node that only the node itself knows."""
        shared = Path("/dev/shm")
        return {
            "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
            "checks": (sandbox(), *deepspeed_and_gpu(), Check("s3", *reach.s3()), temporary_folder()),
            "shared_gb": shutil.disk_usage(shared).total / GB if shared.is_dir() else 0.0,
            "free_gb": shutil.disk_usage("/tmp").free / GB,
        }

    def now(self) -> float:
        """What its clock says."""
        return time.time()


def look() -> tuple[list[Node], list[Check]]:
    """Every node that answers, and a Check for each one that does not; Ray must be connected."""
    import ray
    from ray.exceptions import GetTimeoutError, RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    living = [node for node in ray.nodes() if node["Alive"]]
    looker: Any = ray.remote(num_cpus=0, runtime_env={"env_vars": quiet_environment()})(Looker)
    # All of them at once: each takes as long as the imports it tries.
    sent = []
    for node in living:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        actor = looker.options(scheduling_strategy=there).remote()
        sent.append((node, actor, actor.look.remote()))
    give_up = time.monotonic() + ANSWER_S
    found: list[Node] = []
    silent: list[Check] = []
    for node, actor, looked in sent:
        name = str(node["NodeManagerAddress"])
        if [other["NodeManagerAddress"] for other in living].count(name) > 1:
            name = f"{name}/{node['NodeID'][:6]}"
        try:
            facts: dict[str, Any] = ray.get(looked, timeout=max(1.0, give_up - time.monotonic()))
            ahead, doubt = _ahead(lambda actor=actor: ray.get(actor.now.remote(), timeout=10))
        except GetTimeoutError:
            silent.append(Check("nodes", "problem", f"{name} did not answer in {ANSWER_S:.0f} s", "Look at its load."))
        except RayError as error:
            last = str(error).strip().splitlines()[-1]
            mend = "Every node needs pad_ray and its packages: make install, or the image of cluster/Dockerfile."
            silent.append(Check("nodes", "problem", f"{name} cannot look at itself: {last}", mend))
        else:
            found.append(Node(name, node["Resources"], ahead_s=ahead, doubt_s=doubt, **facts))
    return found, silent


def compared(nodes: Sequence[Node]) -> list[Check]:
    """What the nodes have in common, and every difference that matters."""
    if not nodes:
        return [Check("nodes", "problem", "no node answers", "Check the cluster with `ray status`.")]
    said = [Check("nodes", "ok", f"{len(nodes)} ({_list(node.name for node in nodes)})")]
    said += _versions(nodes)
    busy = [node for node in nodes if node.works]
    for name in dict.fromkeys(check.check for node in nodes for check in node.checks):
        # The head of a cluster may run nothing; then it need not be able to.
        where = nodes if name in ("s3", "ray files") else busy
        said += _merged(name, {node.name: _named(node, name) for node in where})
    for node in busy:
        gpu = _named(node, "gpu")
        if node.resources.get("GPU", 0) and gpu.state != "ok":
            found = f"{node.name} offers {node.resources['GPU']:.0f} to Ray, but its PyTorch sees none"
            said.append(Check("gpu", "problem", found, "Install PyTorch's CUDA build there."))
    return [*said, _clocks(nodes), *_room(busy)]


def _versions(nodes: Sequence[Node]) -> list[Check]:
    said: list[Check] = []
    for name in nodes[0].versions:
        # Builds for a CPU and for a GPU are the same version.
        by_version = _grouped({node.name: node.versions[name].partition("+")[0] for node in nodes})
        if len(by_version) > 1:
            found = "; ".join(f"{number or 'none'} on {_list(where)}" for number, where in by_version.items())
            mend = "Install the same on every node: constraints.txt, or one image."
            said.append(Check(name, "problem", f"differs: {found}", mend))
    if not said:
        alike = ", ".join(f"{name} {number.partition('+')[0]}" for name, number in nodes[0].versions.items() if number)
        said.append(Check("versions", "ok", f"alike on every node: {alike}"))
    return said


def _merged(name: str, by_node: Mapping[str, Check]) -> list[Check]:
    """One Check where all nodes say the same, else one for each thing that is said."""
    groups = _grouped(by_node)
    if len(groups) == 1:
        [check] = groups
        return [Check(name, check.state, f"on every node: {check.found}", check.mend)]
    return [
        Check(name, check.state, f"on {_list(where)}: {check.found}", check.mend) for check, where in groups.items()
    ]


def _clocks(nodes: Sequence[Node]) -> Check:
    middle = statistics.median(node.ahead_s for node in nodes)
    worst = max(nodes, key=lambda node: abs(node.ahead_s - middle))
    off = worst.ahead_s - middle
    surely = max(0.0, abs(off) - worst.doubt_s)
    if surely <= SKEW_S:
        return Check("clocks", "ok", f"agree within {max(abs(off), worst.doubt_s):.2f} s")
    found = f"{worst.name} is {abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} the others"
    mend = "Let it keep time (chrony): leases of run folders and signatures of S3 depend on it."
    return Check("clocks", "problem" if surely > SKEW_WORST_S else "note", found, mend)


def _room(nodes: Sequence[Node]) -> list[Check]:
    if not nodes:
        return []
    little = [f"{node.name} ({node.shared_gb:.1f} GB)" for node in nodes if node.shared_gb < SHARED_GB]
    mend = "Ray falls back to slower files there: --shm-size for Docker, an emptyDir with medium Memory in a pod."
    least = min(nodes, key=lambda node: node.free_gb)
    disk = f"at least {least.free_gb:.1f} GB free on every node ({least.name} has the least)"
    return [
        Check("memory", "note", f"little /dev/shm on {_list(little)}", mend)
        if little
        else Check("memory", "ok", f"/dev/shm has at least {min(node.shared_gb for node in nodes):.1f} GB everywhere"),
        Check("disk", "ok", disk)
        if least.free_gb >= FREE_GB
        else Check("disk", "note", disk, "Ray spills there, and students are copied there: give it more."),
    ]


def _ahead(now: Callable[[], float]) -> tuple[float, float]:
    """How far a clock is ahead of ours, and by how much that may be wrong: the best of some tries."""
    tries: list[tuple[float, float]] = []
    for _ in range(PINGS):
        before = time.time()
        there = now()
        after = time.time()
        tries.append(((after - before) / 2, there - (before + after) / 2))
    doubt, ahead = min(tries)
    return ahead, doubt


def _named(node: Node, name: str) -> Check:
    return next(check for check in node.checks if check.check == name)


def _grouped(by_node: Mapping[str, Any]) -> dict[Any, list[str]]:
    groups: dict[Any, list[str]] = {}
    for node, value in by_node.items():
        groups.setdefault(value, []).append(node)
    return groups


def _list(names: Any) -> str:
    listed = list(names)
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
