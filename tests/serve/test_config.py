"""serve/config.yaml says what Ray Serve will do: every key exists, every deployment exists."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
import yaml

CONFIG = Path(__file__).resolve().parents[2] / "serve" / "config.yaml"


@pytest.fixture(scope="module")
def config() -> dict:
    return yaml.safe_load(CONFIG.read_text())


def test_the_schema_of_serve_accepts_it(config: dict) -> None:
    from ray.serve.schema import ServeDeploySchema

    ServeDeploySchema.model_validate(config)


def test_no_key_is_misspelt(config: dict) -> None:
    # Serve's own schema lets unknown keys of these sections pass in silence.
    from ray.serve.config import AutoscalingConfig
    from ray.serve.schema import (
        DeploymentSchema,
        HTTPOptionsSchema,
        LoggingConfig,
        ServeApplicationSchema,
        ServeDeploySchema,
    )

    def known(section: dict, schema: type) -> None:
        assert set(section) <= set(schema.model_fields), set(section) - set(schema.model_fields)

    known(config, ServeDeploySchema)
    known(config["http_options"], HTTPOptionsSchema)
    known(config["logging_config"], LoggingConfig)
    for application in config["applications"]:
        known(application, ServeApplicationSchema)
        for deployment in application["deployments"]:
            known(deployment, DeploymentSchema)
            known(deployment.get("autoscaling_config", {}), AutoscalingConfig)


def test_it_names_the_application_its_deployments_and_its_arguments(config: dict) -> None:
    from serve import deployments
    from serve.app import Arguments, build

    [application] = config["applications"]
    module, name = application["import_path"].split(":")
    assert getattr(importlib.import_module(module), name) is build
    # The class itself, not its name: else Serve would hand over an unchecked dict.
    assert inspect.signature(build).parameters["arguments"].annotation is Arguments
    Arguments.model_validate(application["args"])
    named = {deployment["name"] for deployment in application["deployments"]}
    assert named == {getattr(deployments, name).name for name in ("Ingress", "Model", "Executor")}


def test_it_listens_on_loopback_and_never_scales_to_nothing(config: dict) -> None:
    assert config["http_options"]["host"] == "127.0.0.1"
    for deployment in config["applications"][0]["deployments"]:
        assert deployment.get("num_replicas", 0) >= 1 or deployment["autoscaling_config"]["min_replicas"] >= 1
