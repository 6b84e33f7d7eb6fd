"""The files for Ray's cluster launcher are what Ray takes, and keep what their first lines promise; offline."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml

CLUSTER = Path(__file__).resolve().parents[2] / "cluster"
SCHEMA = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
CLOUDS = ("aws", "gcp")
LAUNCHED = (*CLOUDS, "local")
ALL = sorted(path.relative_to(CLUSTER).as_posix() for path in [*CLUSTER.rglob("*.yaml"), CLUSTER / "Dockerfile"])
VCPUS = {"c7i.4xlarge": 16, "g6.xlarge": 4, "c3-standard-8": 8, "g2-standard-8": 8}
"""CPUs of the machines that are named, as their providers list them."""


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((CLUSTER / f"{name}.yaml").read_text())


def workers(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]}


def machine(kind: dict[str, Any]) -> str:
    return kind["node_config"].get("InstanceType") or kind["node_config"]["machineType"]


@pytest.mark.parametrize("name", LAUNCHED)
def test_it_passes_rays_schema_and_preparation(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    jsonschema.Draft7Validator(SCHEMA).validate(load(name))
    prepared = prepare_config(copy.deepcopy(load(name)))
    validate_config(prepared)
    assert prepared["head_start_ray_commands"] == load(name)["head_start_ray_commands"]


@pytest.mark.parametrize("name", LAUNCHED)
def test_the_schema_check_notices_a_misspelt_key(name: str) -> None:
    with pytest.raises(jsonschema.ValidationError, match="max_workrs"):
        jsonschema.Draft7Validator(SCHEMA).validate(load(name) | {"max_workrs": 3})


@pytest.mark.parametrize("name", CLOUDS)
def test_the_head_runs_nothing_and_idle_workers_leave(name: str) -> None:
    config = load(name)
    head = config["available_node_types"][config["head_node_type"]]
    assert head["resources"]["CPU"] == 0
    assert config["idle_timeout_minutes"] <= 10
    assert all(kind["min_workers"] == 0 for kind in workers(config).values())
    assert config["max_workers"] == sum(kind["max_workers"] for kind in workers(config).values())


@pytest.mark.parametrize("name", CLOUDS)
def test_every_role_has_its_nodes_and_training_shares_none_with_sandboxes(name: str) -> None:
    offered = [
        {key for key in kind["resources"] if key.startswith("pad_ray_")} for kind in workers(load(name)).values()
    ]
    assert sorted(offered, key=min) == [
        {"pad_ray_teacher", "pad_ray_sandbox"},
        {"pad_ray_serve"},
        {"pad_ray_train"},
    ]


@pytest.mark.parametrize("name", CLOUDS)
def test_the_head_says_truly_how_far_the_cluster_can_grow(name: str) -> None:
    config = load(name)
    head = config["available_node_types"][config["head_node_type"]]["resources"]
    training = [kind for kind in workers(config).values() if "pad_ray_train" in kind["resources"]]
    cpus = sum(kind["max_workers"] * VCPUS[machine(kind)] for kind in workers(config).values())
    assert head["pad_ray_most_cpus"] == cpus
    assert head["pad_ray_most_gpus"] == sum(kind["max_workers"] for kind in training)


def test_machines_of_aws_get_their_rights_by_role_and_those_that_execute_are_spot() -> None:
    config = load("aws")
    nodes = {name: kind["node_config"] for name, kind in config["available_node_types"].items()}
    roles = {name: node["IamInstanceProfile"]["Name"] for name, node in nodes.items()}
    assert roles == {"head": "pad-ray-head"} | dict.fromkeys(workers(config), "pad-ray-worker")
    assert nodes["cpu"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert all(node["MetadataOptions"]["HttpTokens"] == "required" for node in nodes.values())


def test_workers_of_google_have_an_account_of_their_own_and_those_that_execute_are_spot() -> None:
    config = load("gcp")
    for kind in workers(config).values():
        [account] = kind["node_config"]["serviceAccounts"]
        assert account["email"].startswith("pad-ray-worker@")
        assert not any("cloud-platform" in scope for scope in account["scopes"])
    assert config["available_node_types"]["cpu"]["node_config"]["scheduling"]["provisioningModel"] == "SPOT"


@pytest.mark.parametrize("name", LAUNCHED)
def test_every_node_starts_with_the_token_and_the_dashboard_on_loopback(name: str) -> None:
    config = load(name)
    assert "~/.ray/auth_token" in config["file_mounts"].values()
    starts = [
        line for line in config["head_start_ray_commands"] + config["worker_start_ray_commands"] if "start" in line
    ]
    assert len(starts) == 2 and all("RAY_AUTH_MODE=token" in line for line in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]


@pytest.mark.parametrize("name", ALL)
def test_it_opens_with_what_it_costs_and_how_to_stop_it(name: str) -> None:
    opening = re.match(r"(#.*\n)+", (CLUSTER / name).read_text())
    assert opening
    words = " ".join(re.sub(r"^#", "", opening[0], flags=re.MULTILINE).split())
    assert re.search(r"\bcosts?\b", words)
    assert re.search(r"Stop it: `|Delete it .* to stop paying", words)


@pytest.mark.parametrize("name", ALL)
def test_no_key_or_secret_stands_in_it(name: str) -> None:
    values = re.sub(r"#.*", "", (CLUSTER / name).read_text())
    assert not re.findall(
        r"aws_secret|aws_access_key|password|sk-[a-z0-9]|BEGIN [A-Z ]*KEY|\btoken: *\w{12}", values, re.I
    )
