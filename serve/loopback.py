"""Replicas of a Ray that is on this machine only listen on this machine only.

Every Serve replica opens a gRPC port for calls between deployments, on all interfaces, and there is no setting for it.
Ray's token protects it, but a service that says it listens on 127.0.0.1 should not be reachable at all.
"""

from __future__ import annotations

from typing import Any

import ray.util
from ray.serve._private import replica

LOOPBACK = "127.0.0.1"


def stay_local() -> None:
    """To be called while a replica is made: its port opens afterwards. On a cluster nothing changes."""
    if ray.util.get_node_ip_address() != LOOPBACK:
        return
    module: Any = replica
    bind = module.add_port_to_grpc_server
    module.add_port_to_grpc_server = lambda server, address: bind(server, address.replace("[::]", LOOPBACK))
