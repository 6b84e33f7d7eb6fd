"""The files for Kubernetes: what KubeRay and Ray read from them, and the walls around what they run."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import kube
import pytest
import yaml

every_file = pytest.mark.parametrize("name", kube.RUNS)
BASE = list(yaml.safe_load_all((kube.FOLDER / "base.yaml").read_text()))
SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD")


@pytest.fixture(scope="module")
def validators() -> dict[str, jsonschema.Draft7Validator]:
    if not kube.CRDS.is_dir():
        pytest.skip("KubeRay's definitions are not beside this checkout (../shared/crds)")
    return {name: jsonschema.Draft7Validator(kube.strict_schema(kind)) for name, kind in kube.RUNS.items()}


@every_file
def test_kuberay_knows_every_field(name: str, validators: dict[str, jsonschema.Draft7Validator]) -> None:
    assert [
        f"{error.json_path}: {error.message[:200]}" for error in validators[name].iter_errors(kube.load(name))
    ] == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec["workerGroupSpecs"][0].update(minReplica=1),
        lambda spec: spec["workerGroupSpecs"][0].update(maxReplicas="four"),
        lambda spec: spec["headGroupSpec"]["template"]["spec"].update(automountServiceAccountTokens=False),
        lambda spec: spec["headGroupSpec"]["template"]["spec"]["containers"][0]["securityContext"].update(runAsRoot=1),
        lambda spec: spec["authOptions"].update(mode="tokens"),
    ],
)
def test_a_misspelt_field_or_a_wrong_value_would_be_found(
    spoil: Any, validators: dict[str, jsonschema.Draft7Validator]
) -> None:
    spoilt = copy.deepcopy(kube.load("raycluster"))  # anchors are one object in several places
    spoil(spoilt["spec"])
    assert list(validators["raycluster"].iter_errors(spoilt))


@every_file
def test_rays_autoscaler_reads_the_roles_and_an_idle_head_from_it(name: str) -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    metadata = {"name": "pad-ray", "namespace": "default"}
    derived = _derive_autoscaling_config_from_ray_cr({"metadata": metadata, "spec": kube.cluster(name)})
    types = dict(derived["available_node_types"])
    head = types.pop(derived["head_node_type"])["resources"]
    assert head["CPU"] == 0
    assert {role: kind["resources"][f"pad_ray_{role}"] for role, kind in types.items()} == dict.fromkeys(types, 1)
    assert derived["idle_timeout_minutes"] <= 10
    # How far it can grow is said truly.
    cpus = sum(kind["max_workers"] * kind["resources"]["CPU"] for kind in types.values())
    gpus = sum(kind["max_workers"] * kind["resources"].get("GPU", 0) for role, kind in types.items() if role == "train")
    assert (head["pad_ray_most_cpus"], head["pad_ray_most_gpus"]) == (cpus, gpus)
    # A service keeps one of each; for jobs everything starts when it is waited for.
    least = {kind["min_workers"] for kind in types.values()}
    assert least == ({1} if name == "rayservice" else {0})


@every_file
def test_the_groups_of_a_job_are_those_of_the_cluster(name: str) -> None:
    ours = {group["groupName"]: group for group in kube.cluster("raycluster")["workerGroupSpecs"]}
    if name == "rayservice":
        ours = {"sandbox": ours["sandbox"] | {"minReplicas": 1, "maxReplicas": 4}}
    for group in kube.cluster(name)["workerGroupSpecs"]:
        if group["groupName"] in ours:
            assert group == ours[group["groupName"]]


@every_file
def test_every_container_is_locked(name: str) -> None:
    found = dict(kube.containers(name))
    assert len(found) >= 4
    for place, container in found.items():
        context = container["securityContext"]
        assert context["runAsNonRoot"] is True and context["runAsUser"] > 0, place
        assert context["allowPrivilegeEscalation"] is False, place
        assert context["readOnlyRootFilesystem"] is True, place
        assert context["capabilities"] == {"drop": ["ALL"]}, place
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, place
        assert not context.keys() & {"privileged", "procMount"}, place


@every_file
def test_every_container_has_limits_and_containers_of_ray_get_what_they_ask_for(name: str) -> None:
    for place, container in kube.containers(name):
        limits, requests = container["resources"]["limits"], container["resources"]["requests"]
        assert {"cpu", "memory"} <= limits.keys(), place
        # Ray plans with its limits; a node that gave less would be overcommitted.
        assert limits == requests or "ray-" not in place, place


@every_file
def test_no_pod_shares_anything_with_its_node_and_none_gets_a_token_of_kubernetes(name: str) -> None:
    for pod in kube.pods(name):
        assert pod.spec["automountServiceAccountToken"] is False, pod.name
        assert pod.spec["securityContext"]["runAsNonRoot"] is True, pod.name
        assert pod.spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, pod.name
        assert not [key for key in pod.spec if key.startswith("host")], pod.name
        assert not [volume for volume in pod.spec["volumes"] if "hostPath" in volume], pod.name
        # The head's volume with a token is for the autoscaler; no container of ours mounts it.
        mounted = {mount["name"] for container in pod.spec["containers"] for mount in container["volumeMounts"]}
        assert not [volume for volume in pod.spec["volumes"] if "projected" in volume and volume["name"] in mounted]


@every_file
def test_what_the_autoscaler_needs_is_mounted_where_ray_looks_for_it(name: str) -> None:
    from pathlib import Path

    from ray.autoscaler._private.kuberay.node_provider import IN_CLUSTER_CA_CERT_PATH, IN_CLUSTER_TOKEN_PATH

    [mount] = kube.cluster(name)["autoscalerOptions"]["volumeMounts"]
    head = kube.pods(name)[0]
    [projected] = [volume["projected"] for volume in head.spec["volumes"] if volume["name"] == mount["name"]]
    files = [
        source["serviceAccountToken"]["path"] for source in projected["sources"] if "serviceAccountToken" in source
    ]
    files += [item["path"] for source in projected["sources"] for item in source.get("configMap", {}).get("items", [])]
    assert {Path(mount["mountPath"], file) for file in files} == {
        Path(IN_CLUSTER_TOKEN_PATH),
        Path(IN_CLUSTER_CA_CERT_PATH),
    }


@every_file
def test_secrets_come_from_secret_objects_and_none_is_in_a_pod_that_executes(name: str) -> None:
    for place, container in kube.containers(name):
        for variable in container.get("env", []):
            secret = any(word in variable["name"] for word in SECRET_WORDS)
            assert secret is ("secretKeyRef" in variable.get("valueFrom", {})), f"{place}: {variable['name']}"
            assert not (secret and place.startswith("sandbox/")), variable["name"]


@every_file
def test_every_process_asks_for_the_token(name: str) -> None:
    assert kube.cluster(name)["authOptions"] == {"mode": "token", "secretName": "pad-ray-token"}


def selects(policy: dict[str, Any], pod: kube.Pod) -> bool:
    return policy["spec"]["podSelector"]["matchLabels"].items() <= pod.labels.items()


@every_file
def test_pods_that_execute_reach_their_cluster_and_names_only(name: str) -> None:
    [policy] = [one for one in BASE if one["kind"] == "NetworkPolicy" and one["spec"]["policyTypes"] == ["Egress"]]
    assert {pod.name for pod in kube.pods(name) if selects(policy, pod)} == {"sandbox"}
    inside, names = policy["spec"]["egress"]
    [peer] = inside["to"]
    assert all(peer["podSelector"]["matchLabels"].items() <= pod.labels.items() for pod in kube.pods(name))
    assert {port["port"] for port in names["ports"]} == {53}
    assert not [rule for rule in policy["spec"]["egress"] for one in rule["to"] if "ipBlock" in one]


@every_file
def test_rays_ports_are_closed_to_other_pods_and_the_dashboard_is_for_the_operator(name: str) -> None:
    [policy] = [one for one in BASE if one["kind"] == "NetworkPolicy" and one["spec"]["policyTypes"] == ["Ingress"]]
    assert all(selects(policy, pod) for pod in kube.pods(name))
    open_to_others = [
        (port["port"], "kuberay-operator" in str(rule["from"]))
        for rule in policy["spec"]["ingress"]
        for port in rule.get("ports", [])
    ]
    assert sorted(open_to_others) == [(8000, False), (8000, True), (8265, True)]
    dashboard = kube.cluster(name)["headGroupSpec"]["rayStartParams"]["dashboard-host"]
    assert dashboard == ("127.0.0.1" if name == "raycluster" else "0.0.0.0")


def test_a_job_ends_its_cluster_and_runs_a_script_that_is_in_the_image() -> None:
    spec = kube.load("rayjob")["spec"]
    assert spec["shutdownAfterJobFinishes"] is True and spec["activeDeadlineSeconds"] <= 86400
    script = spec["entrypoint"].split()[1].removeprefix("/home/ray/pad_ray/")
    assert (kube.REPO / script).is_file()
    assert "--run-dir /shared/" in spec["entrypoint"]


def test_the_service_is_that_of_serve_config_with_its_own_address_student_and_gpu() -> None:
    from ray.serve.schema import ServeDeploySchema

    ours = yaml.safe_load((kube.REPO / "serve" / "config.yaml").read_text())
    theirs = yaml.safe_load(kube.load("rayservice")["spec"]["serveConfigV2"])
    ServeDeploySchema.model_validate(theirs)
    assert theirs["http_options"].pop("host") == "0.0.0.0" and ours["http_options"].pop("host")
    arguments = theirs["applications"][0]["args"]
    assert arguments["student"].startswith("/shared/")
    assert arguments["gpus"] == 1
    arguments |= {key: ours["applications"][0]["args"][key] for key in ("student", "gpus")}
    # Equal in everything else, whose every key tests/serve/test_config.py proves.
    assert theirs == ours
