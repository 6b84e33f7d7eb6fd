"""Work goes where a cluster wants it, or anywhere; and a cluster that is too small is told in a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.cli_ray import stages_of
from pad_ray.errors import UsageError
from pad_ray.flow.placement import SHARE, Cluster, Role, here
from pad_ray.recipe_file import load_recipe

ROLES: tuple[Role, ...] = ("teacher", "sandbox", "train", "serve")
LAPTOP = Cluster(({"CPU": 8.0, "memory": 1e9},))
MIXED = Cluster(
    (
        {"CPU": 0.0},
        {"CPU": 16.0, "pad_ray_teacher": 1.0, "pad_ray_sandbox": 1.0},
        {"CPU": 4.0, "GPU": 1.0, "pad_ray_train": 1.0},
        {"CPU": 4.0, "GPU": 2.0, "pad_ray_serve": 1.0},
    )
)
ASLEEP = Cluster(({"pad_ray_most_cpus": 40.0, "pad_ray_most_gpus": 4.0},))
"""A head alone, whose workers come when something waits for them."""


@pytest.mark.parametrize("role", ROLES)
def test_on_one_machine_work_asks_for_nothing_special(role: Role) -> None:
    assert LAPTOP.place(role) == {}


@pytest.mark.parametrize("cluster", [MIXED, ASLEEP])
@pytest.mark.parametrize("role", ROLES)
def test_where_nodes_have_roles_work_asks_for_its_own(cluster: Cluster, role: Role) -> None:
    assert cluster.place(role) == {"resources": {f"pad_ray_{role}": SHARE}}


def test_a_single_machine_that_is_kept_for_training_takes_nothing_from_the_other_roles() -> None:
    cluster = Cluster(({"CPU": 4.0}, {"CPU": 4.0, "GPU": 1.0, "pad_ray_train": 1.0}))
    assert cluster.place("train") and not cluster.place("sandbox")
    assert (cluster.cpus("train"), cluster.cpus("sandbox")) == (4, 8)


def test_models_run_beside_the_training_where_they_have_a_gpu() -> None:
    assert MIXED.place_model(0.5) == MIXED.place("train")
    assert MIXED.place_model(0) == MIXED.place("teacher")


def test_gpus_are_those_for_training_the_ones_to_come_too() -> None:
    assert (LAPTOP.gpus(), MIXED.gpus(), ASLEEP.gpus()) == (0, 1, 4)
    assert MIXED.gpus("serve") == 2
    assert Cluster(({"CPU": 1.0, "GPU": 2.0},)).gpus() == 2


def test_a_cluster_without_workers_is_not_too_small_as_long_as_it_can_grow() -> None:
    ASLEEP.check([{"teacher": 20, "sandbox": 19}])
    with pytest.raises(UsageError, match="the cluster has at most 40 CPUs, but the recipe asks for 40 actors"):
        ASLEEP.check([{"teacher": 20, "sandbox": 20}])


def test_a_cluster_that_is_too_small_names_the_keys_to_lower() -> None:
    with pytest.raises(UsageError, match=r"has 8 CPUs.*asks for 8 actors.*Lower teacher.workers or sandbox.workers\."):
        LAPTOP.check([{"teacher": 4, "sandbox": 4}])


def test_nodes_of_a_role_that_are_too_few_are_named_although_the_cluster_is_large() -> None:
    with pytest.raises(UsageError, match=r"pad_ray_train have 4 CPUs.*asks for 5 actors there.*Lower train.workers"):
        MIXED.check([{"teacher": 2, "sandbox": 2}, {"train": 5}])


@given(
    st.lists(st.fixed_dictionaries({"CPU": st.integers(0, 8)}, optional={f"pad_ray_{r}": st.just(1) for r in ROLES})),
    st.dictionaries(st.sampled_from(ROLES), st.integers(0, 10)),
)
def test_what_passes_the_check_finds_its_cpus(nodes: list[dict[str, float]], needs: dict[Role, int]) -> None:
    cluster = Cluster(tuple(nodes))
    try:
        cluster.check([needs])
    except UsageError:
        return
    assert all(cluster.cpus(role) >= cpus for role, cpus in needs.items())
    assert sum(node["CPU"] for node in nodes) > sum(needs.values())


def test_a_run_needs_samplers_and_judges_at_once_and_later_its_training_workers() -> None:
    recipe = load_recipe("quick", ["teacher.workers=3", "sandbox.workers=4", "train.workers=[2, 8]"])
    assert stages_of(recipe) == [{"teacher": 3, "sandbox": 4}, {"train": 3}]


def test_without_ray_there_is_no_cluster() -> None:
    import ray

    if not ray.is_initialized():
        assert here() == Cluster(())
