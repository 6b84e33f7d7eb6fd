"""Where on a cluster each kind of work goes.

Nodes offer roles, as custom resources of Ray: one with `pad_ray_train` is for training. As soon as any node offers a
role, or the cluster is one that grows, work of that role goes only where it is offered; otherwise it goes anywhere, as
on one machine. A cluster that grows has perhaps no workers yet, so its head says how far it can grow, with the
resources `pad_ray_most_cpus` and `pad_ray_most_gpus` (the files in cluster/ do).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pad_ray.errors import UsageError

Role = Literal["teacher", "sandbox", "train", "serve"]
"""teacher: asks a teacher, or is a small one; sandbox: executes programs; train: trains, and whatever else in a run
computes with a model on a GPU; serve: replicas of a service."""
Needs = Mapping[Role, int]
"""CPUs that work of each role holds at the same time."""

MOST_CPUS, MOST_GPUS = "pad_ray_most_cpus", "pad_ray_most_gpus"
SHARE = 0.001
"""What one actor takes of a node's role: a node that offers 1 is never full of them before it is full of work."""
KEYS: Mapping[Role, str] = {"teacher": "teacher.workers", "sandbox": "sandbox.workers", "train": "train.workers"}
"""The keys of a recipe that say how much."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a cluster consists of."""

    nodes: tuple[Mapping[str, float], ...]
    """The resources of each node that lives, by Ray's names."""

    @property
    def grows(self) -> bool:
        """Whether nodes come when something waits for them."""
        return any(node.get(MOST_CPUS, 0) for node in self.nodes)

    def offers(self, role: Role) -> bool:
        """Whether some nodes are for this role, now or when they are waited for."""
        return self.grows or any(_resource(role) in node for node in self.nodes)

    def place(self, role: Role) -> dict[str, Any]:
        """What work of a role asks of Ray beside its CPUs and GPUs: options of a task or an actor, perhaps none."""
        return {"resources": {_resource(role): SHARE}} if self.offers(role) else {}

    def place_model(self, gpus: float) -> dict[str, Any]:
        """The same for work that only computes with a model: beside the training where it has a GPU."""
        return self.place("train" if gpus else "teacher")

    def cpus(self, role: Role) -> int:
        """CPUs that work of a role finds now."""
        return self._sum("CPU", role)

    def gpus(self, role: Role = "train") -> int:
        """GPUs that work of a role finds, for training also those that would come."""
        announced = self._sum(MOST_GPUS) if role == "train" else 0
        return max(announced, self._sum("GPU", role))

    def check(self, stages: Sequence[Needs]) -> None:
        """Raises UsageError if the stages of a run, one after the other, would wait for CPUs for ever."""
        whole = max(self._sum(MOST_CPUS), self._sum("CPU"))
        for needs in stages:
            asked = sum(needs.values())
            if whole < asked + 1:
                raise UsageError(
                    f"the cluster has {'at most ' * self.grows}{whole} CPUs, but the recipe asks for {asked} actors at"
                    " once and one CPU beside them.",
                    hint=f"It needs {asked + 1} CPUs. Lower {_either(needs)}.",
                )
            for role, cpus in needs.items():
                if not self.grows and self.offers(role) and self.cpus(role) < cpus:
                    raise UsageError(
                        f"the nodes that offer {_resource(role)} have {self.cpus(role)} CPUs, but the recipe asks for"
                        f" {cpus} actors there at once.",
                        hint=f"Lower {_either([role])}, or offer {_resource(role)} on more nodes.",
                    )

    def _sum(self, resource: str, role: Role | None = None) -> int:
        """A resource over all nodes, or over those where work of a role may go."""
        only = role is not None and self.offers(role)
        return int(sum(node.get(resource, 0) for node in self.nodes if not only or _resource(role) in node))


def here() -> Cluster:
    """The cluster this process is connected to; one without nodes where it is connected to none."""
    import ray

    nodes = ray.nodes() if ray.is_initialized() else []
    return Cluster(tuple(node["Resources"] for node in nodes if node["Alive"]))


def on_this_node() -> dict[str, Any]:
    """What an actor asks that is lost only together with this process: options of Ray."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)}


def _resource(role: Role | None) -> str:
    return f"pad_ray_{role}"


def _either(roles: Sequence[Role] | Needs) -> str:
    return " or ".join(KEYS[role] for role in get_args(Role) if role in roles and role in KEYS)
