"""The files for Kubernetes as data, and the strict schemas of KubeRay where they are at hand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

REPO = Path(__file__).resolve().parents[2]
FOLDER = REPO / "cluster" / "kuberay"
CRDS = REPO.parent / "shared" / "crds"
RUNS = {"raycluster": "RayCluster", "rayjob": "RayJob", "rayservice": "RayService"}
"""Files with clusters, and what they hold."""


class Pod(NamedTuple):
    """A pod that a file makes."""

    name: str
    """Its group."""
    labels: dict[str, str]
    """What network rules select it by."""
    spec: dict[str, Any]
    """Its specification."""


@cache
def load(name: str) -> dict[str, Any]:
    """The one object of a file of RUNS."""
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


def cluster(name: str) -> dict[str, Any]:
    """The specification of the RayCluster in a file."""
    spec = load(name)["spec"]
    return spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec


def pods(name: str) -> list[Pod]:
    """The pods of a file, the head first."""
    spec = cluster(name)
    groups = {"head": spec["headGroupSpec"]} | {group["groupName"]: group for group in spec["workerGroupSpecs"]}
    templates = {group: content["template"] for group, content in groups.items()}
    if submitter := load(name)["spec"].get("submitterPodTemplate"):
        templates["submitter"] = submitter
    return [Pod(group, template["metadata"]["labels"], template["spec"]) for group, template in templates.items()]


def containers(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every container that runs, the autoscaler's (which the operator adds to the head) among them."""
    yield "autoscaler", cluster(name)["autoscalerOptions"]
    for pod in pods(name):
        for container in pod.spec["containers"]:
            yield f"{pod.name}/{container['name']}", container


def strict_schema(kind: str) -> dict[str, Any]:
    """The schema of a kind as its definition for Kubernetes has it, but every unknown field is an error."""
    text = (CRDS / f"ray.io_{kind.lower()}s.yaml").read_text()
    definition = yaml.load(text, Loader=yaml.CSafeLoader)
    [version] = [one for one in definition["spec"]["versions"] if one["name"] == "v1"]
    schema = _strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def _strict(part: Any) -> Any:
    if isinstance(part, list):
        return [_strict(one) for one in part]
    if not isinstance(part, dict):
        return part
    made = {key: _strict(one) for key, one in part.items()}
    # A property may itself be called `properties`: only a schema also has a type.
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made
