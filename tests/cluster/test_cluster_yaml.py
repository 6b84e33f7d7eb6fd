"""The cluster files are what Ray takes: its own schema and its own preparation, offline."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml

CLUSTER = Path(__file__).resolve().parents[2] / "cluster"
SCHEMA = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())


def aws() -> dict[str, Any]:
    return yaml.safe_load((CLUSTER / "aws.yaml").read_text())


def test_aws_yaml_passes_rays_schema_and_preparation() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    jsonschema.Draft7Validator(SCHEMA).validate(aws())
    validate_config(prepare_config(copy.deepcopy(aws())))


def test_the_schema_check_notices_a_misspelt_key() -> None:
    broken = aws() | {"max_workrs": 3}
    with pytest.raises(jsonschema.ValidationError, match="max_workrs"):
        jsonschema.Draft7Validator(SCHEMA).validate(broken)


def test_the_head_runs_nothing_and_idle_workers_leave() -> None:
    config = aws()
    head = config["available_node_types"][config["head_node_type"]]
    assert head["resources"]["CPU"] == 0
    assert config["idle_timeout_minutes"] <= 10
    assert all(kind["min_workers"] == 0 for name, kind in config["available_node_types"].items() if name != "head")


def test_no_key_or_secret_stands_in_a_cluster_file() -> None:
    for path in CLUSTER.glob("*.yaml"):
        text = path.read_text().lower()
        assert not [word for word in ("aws_secret", "aws_access_key", "api_key", "password") if word in text], path
