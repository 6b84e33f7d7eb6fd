"""serve/config.yaml says what Ray Serve will do: every key exists, every deployment exists."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

CONFIG = Path(__file__).resolve().parents[2] / "serve" / "config.yaml"


@pytest.fixture(scope="module")
def config() -> dict:
    return yaml.safe_load(CONFIG.read_text())


def test_the_schema_of_serve_accepts_it(config: dict) -> None:
    from ray.serve.schema import ServeDeploySchema

    ServeDeploySchema.model_validate(config)


def unknown_keys(value: Any, schema: Any, place: str = "") -> list[str]:
    """The keys, at any depth, that a schema does not have: as if every part of it forbade extra ones."""
    parts = [schema, *(inner for part in get_args(schema) for inner in (part, *get_args(part)))]
    models = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
    if isinstance(value, list):
        return [key for item in value for key in unknown_keys(item, schema, place)]
    if not isinstance(value, dict) or not models:
        return []
    fields = {name: field.annotation for model in models for name, field in model.model_fields.items()}
    unknown = [f"{place}{key}" for key in value if key not in fields]
    known = [key for key in value if key in fields]
    return unknown + [key for name in known for key in unknown_keys(value[name], fields[name], f"{place}{name}.")]


def strictly(config: dict) -> list[str]:
    """The unknown keys of a whole configuration, the arguments of our application included."""
    from ray.serve.schema import ServeDeploySchema

    from serve.app import Arguments

    arguments = [application.get("args", {}) for application in config.get("applications", [])]
    return unknown_keys(config, ServeDeploySchema) + unknown_keys(arguments, Arguments, "args.")


def spoilt(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every way to misspell one key of a tree: where it is, and the tree with it."""
    pairs = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for key, inner in pairs:
        if isinstance(value, dict):
            yield (*at, key), {(f"{key}x" if name == key else name): one for name, one in pairs}
        if isinstance(inner, dict | list):
            for where, other in spoilt(inner, (*at, key)):
                copy: Any = value.copy()
                copy[key] = other
                yield where, copy


def test_no_key_is_misspelt(config: dict) -> None:
    # Serve's own schema lets unknown keys pass in silence, so that newer files go with older versions.
    assert strictly(config) == []


def test_any_key_that_were_misspelt_would_be_found(config: dict) -> None:
    trees = list(spoilt(config))
    assert len(trees) > 40
    assert [where for where, tree in trees if not strictly(tree)] == []


def test_it_names_the_application_its_deployments_and_its_arguments(config: dict) -> None:
    from serve import deployments, ingress
    from serve.app import Arguments, build

    [application] = config["applications"]
    module, name = application["import_path"].split(":")
    assert getattr(importlib.import_module(module), name) is build
    # The class itself, not its name: else Serve would hand over an unchecked dict.
    assert inspect.signature(build).parameters["arguments"].annotation is Arguments
    Arguments.model_validate(application["args"])
    named = {deployment["name"] for deployment in application["deployments"]}
    assert named == {ingress.Ingress.name, deployments.Model.name, deployments.Executor.name}


def test_it_listens_on_loopback_and_never_scales_to_nothing(config: dict) -> None:
    assert config["http_options"]["host"] == "127.0.0.1"
    for deployment in config["applications"][0]["deployments"]:
        assert deployment.get("num_replicas", 0) >= 1 or deployment["autoscaling_config"]["min_replicas"] >= 1


def test_what_one_ingress_lets_in_fits_into_the_queues_behind_it(config: dict) -> None:
    from serve.app import Arguments
    from serve.deployments import QUEUE

    [application] = config["applications"]
    most = max(detail.le for detail in Arguments.model_fields["capacity"].metadata if hasattr(detail, "le"))
    for deployment in application["deployments"]:
        assert most <= QUEUE and (deployment["name"] == "Ingress" or deployment["max_queued_requests"] == QUEUE)


def test_two_students_of_one_name_are_refused() -> None:
    from serve.app import Arguments

    with pytest.raises(ValueError, match="'small' is what the first student is called"):
        Arguments(student="/models/a", name="small", students={"small": "/models/b"})
