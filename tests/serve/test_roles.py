"""The parts of the service go where a cluster wants them, and keep what they ask for besides."""

from __future__ import annotations

from typing import Any

import pytest

from pad_ray.flow.placement import SHARE, Cluster
from serve import app

MIXED = Cluster(({"CPU": 4.0, "pad_ray_serve": 1.0}, {"CPU": 4.0, "pad_ray_sandbox": 1.0}))


def asked_for(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each deployment of the application asks of Ray."""
    monkeypatch.setattr(app, "here", lambda: cluster)
    ingress = app.build(app.Arguments(student="/models/student", gpus=0.5))._bound_deployment
    parts = [ingress, *(part._bound_deployment for part in ingress.init_args[:2])]
    return {part.name: part.ray_actor_options for part in parts}


def test_on_one_machine_they_ask_for_cpus_and_gpus_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_for(Cluster(({"CPU": 4.0},)), monkeypatch) == {
        "Ingress": {"num_cpus": 0.25},
        "Model": {"num_cpus": 1, "num_gpus": 0.5},
        "Executor": {"num_cpus": 0.5},
    }


def test_on_a_cluster_with_roles_programs_run_apart_from_models(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_for(MIXED, monkeypatch)
    roles = {name: options["resources"] for name, options in asked.items()}
    assert roles == {
        "Ingress": {"pad_ray_serve": SHARE},
        "Model": {"pad_ray_serve": SHARE},
        "Executor": {"pad_ray_sandbox": SHARE},
    }


def test_an_ingress_knows_the_token_although_the_node_that_composed_it_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAD_RAY_SERVE_TOKEN", raising=False)
    ingress = app.build(app.Arguments(student="/models/student"))._bound_deployment
    assert ingress.init_args[3]["token"] == ""
    monkeypatch.setenv("PAD_RAY_SERVE_TOKEN", "of the serving nodes")
    told: list[str] = []
    monkeypatch.setattr("serve.ingress.make_api", lambda backend, token, log: told.append(token))
    ours: Any = ingress.func_or_class.__mro__[1]  # without Serve's part, which wants an event loop
    replica = ours(*ingress.init_args)
    replica.__serve_build_asgi_app__()
    assert told == ["of the serving nodes"]
