"""A Ray cluster of several nodes on this machine; they come, and are lost as machines are: without a word.

It lives in a process of its own (`python -m tests.several_nodes`), because the process of the tests has its Ray.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from tests.free_port import free_port

OBJECT_STORE = 100 << 20
"""Bytes of each node."""


class Node(NamedTuple):
    """A node that was added."""

    id: str
    raylet: int
    """The process that all others of the node descend from."""


class SeveralNodes:
    """A cluster whose head runs nothing."""

    def __init__(self, orders: IO[str], answers: IO[str]) -> None:
        self._orders, self._answers = orders, answers
        self.address: str = self._answer()
        """What RAY_ADDRESS must be to join it."""

    def add(self, cpus: int, *roles: str) -> Node:
        """Add a node for these roles."""
        return Node(*self._order(add={"num_cpus": cpus, "resources": {f"pad_ray_{role}": 1 for role in roles}}))

    def lose(self, node: Node) -> None:
        """Kill all its processes."""
        self._order(lose=node.id)

    def _order(self, **order: Any) -> Any:
        self._orders.write(f"{json.dumps(order)}\n")
        self._orders.flush()
        return self._answer()

    def _answer(self) -> Any:
        line = self._answers.readline()
        assert line, "the process that holds the cluster has died"
        return json.loads(line)


@contextmanager
def several_nodes() -> Iterator[SeveralNodes]:
    """A cluster that is only a head yet; it ends with the block, or with the process that started it."""
    with tempfile.TemporaryDirectory(prefix="prn_", dir="/tmp", ignore_cleanup_errors=True) as folder:
        # Ray leaves the address of a cluster where everybody looks for it; here nobody does.
        environment = os.environ | {"RAY_TMPDIR": folder}
        environment.pop("RAY_ADDRESS", None)
        Path(folder, "ray").mkdir()
        command = [sys.executable, "-m", "tests.several_nodes"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        here = Path(__file__).parents[1]
        with subprocess.Popen(command, env=environment, cwd=here, text=True, **pipes) as process:
            assert process.stdin and process.stdout
            yield SeveralNodes(process.stdin, process.stdout)


def hold() -> None:
    """Start a head and tell its address; then each line adds a node or kills one, and the end of lines ends it all."""
    from ray.cluster_utils import Cluster

    kept: dict[str, int] = {"object_store_memory": OBJECT_STORE, "dashboard_agent_listen_port": 0}
    # Ray Train asks the dashboard whether those who hold a place still live.
    dashboard = {"include_dashboard": True, "dashboard_port": free_port()}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **dashboard, **kept})
    nodes: dict[str, Any] = {}
    try:
        _tell(cluster.address)
        for line in sys.stdin:
            order = json.loads(line)
            if "add" in order:
                node = cluster.add_node(**order["add"], **kept)
                nodes[node.node_id] = node
                _tell([node.node_id, node.all_processes["raylet"][0].process.pid])
            else:
                cluster.remove_node(nodes.pop(order["lose"]), allow_graceful=False)
                _tell("lost")
    finally:
        cluster.shutdown()


def _tell(answer: Any) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    hold()
