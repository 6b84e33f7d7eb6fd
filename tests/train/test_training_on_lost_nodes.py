"""Two workers on two nodes, each of which is lost in turn: the training goes on when another node comes."""

from __future__ import annotations

import subprocess

import pytest
from test_training_killed import command, descendants, metrics, wait_until
from training_jobs import MakeJob, sums

from pad_ray.storage import Storage
from pad_ray.train.launch import TrainJob, finished
from pad_ray.train.progress import last_progress, read_metrics
from tests.several_nodes import Node, SeveralNodes, several_nodes

pytestmark = pytest.mark.slow

EPOCHS = 40


def with_a(name: str, nodes: list[Node]) -> Node:
    """The node on which a process of this name runs."""
    return next(node for node in nodes if any(name in line for line in descendants(node.raylet).values()))


def lose(cluster: SeveralNodes, nodes: list[Node], name: str) -> None:
    """Lose the node on which a process of this name runs."""
    lost = with_a(name, nodes)
    nodes.remove(lost)
    cluster.lose(lost)


def wait_for_step(step: int, job: TrainJob, driver: subprocess.Popen[bytes]) -> int:
    """Wait until the training has come so far; returns how far it is."""

    def there() -> bool:
        assert driver.poll() is None, "the training ended too soon"
        progress = last_progress(metrics(job))
        return progress is not None and progress.step >= step

    wait_until(there, 300)
    progress = last_progress(metrics(job))
    assert progress and progress.step < progress.steps - 40, "the nodes were to be lost in the middle"
    return progress.step


@pytest.mark.long
@pytest.mark.timeout(600)
def test_two_workers_on_two_nodes_survive_the_loss_of_either_and_of_the_node_that_leads_them(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(epochs=EPOCHS, lr=1e-2, settings={"workers": 2, "zero_stage": 2, "checkpoint_s": 1})
    with several_nodes() as cluster:
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        # One CPU each: the task that leads and the two workers are on three nodes.
        nodes = [cluster.add(1, "train") for _ in range(3)]
        driver = subprocess.Popen(command(job))
        step = wait_for_step(20, job, driver)
        lose(cluster, nodes, "RayTrainWorker")
        nodes.append(cluster.add(1, "train"))
        wait_for_step(step + 20, job, driver)
        lose(cluster, nodes, "run_training")
        nodes.append(cluster.add(1, "train"))
        assert driver.wait(300) == 0
    check_whole(job)


def check_whole(job: TrainJob) -> None:
    """Check that a training took every step once, saw every example as often as it was to, and learned."""
    lines = read_metrics(metrics(job))
    done = finished(Storage(job.root), job.checkpoint)
    assert done
    assert [line.step for line in lines] == list(range(1, done.steps + 1))
    assert lines[-1].tokens == EPOCHS * sum(len(example.completion) + 1 for example in sums(40))
    assert done.loss < 0.6 * lines[0].loss
