"""The images: everything they copy is there and is sent to the builder, and nothing runs as root."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
TEXT = re.sub(r"\\\n\s*", "", (REPO / "cluster" / "Dockerfile").read_text())
STAGES = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM |\Z)", TEXT, re.MULTILINE | re.DOTALL))


def copied() -> set[str]:
    lines = re.findall(r"^COPY (.+)$", TEXT, re.MULTILINE)
    return {source for line in lines for source in line.split()[:-1]}


def test_there_is_an_image_for_cpus_and_one_for_gpus() -> None:
    assert {"cpu", "gpu"} < STAGES.keys()
    assert "torch==2.13.0+cpu" in STAGES["cpu"] and "+cpu" not in STAGES["gpu"]


def test_both_images_are_the_same_but_for_torch() -> None:
    cpu, gpu = (re.sub(r"^(#|.*torch==).*\n", "", STAGES[name], flags=re.MULTILINE) for name in ("cpu", "gpu"))
    assert cpu.strip() == gpu.strip()


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_nothing_runs_as_root(name: str) -> None:
    users = re.findall(r"^USER (\d+)", STAGES[name], re.MULTILINE)
    assert users and users[-1] == "1000"


def test_what_is_copied_exists_and_is_sent_to_the_builder() -> None:
    rules = (REPO / "cluster" / "Dockerfile.dockerignore").read_text().splitlines()
    sent = [rule[1:] for rule in rules if rule.startswith("!")]
    assert "*" in rules
    for source in copied():
        assert (REPO / source).exists(), source
        assert any(fnmatch.fnmatch(source, rule) for rule in sent), source
    assert set(sent) == copied()


def test_the_version_of_torch_is_that_of_the_constraints() -> None:
    [pinned] = re.findall(r"^torch==([\d.]+)", (REPO / "constraints.txt").read_text(), re.MULTILINE)
    assert set(re.findall(r"torch==([\d.]+)", TEXT)) == {pinned}


def test_no_secret_is_built_in() -> None:
    assert not re.findall(r"^(?:ARG|ENV) .*(?:KEY|TOKEN|SECRET|PASSWORD)=", TEXT, re.MULTILINE)
