"""What is wrong with a service is said before Ray is started."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pad_ray.errors import StudentError, UsageError
from serve.run import run_service

REPO = Path(__file__).resolve().parents[2]


def test_a_folder_that_is_no_student_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match=r"^student: .*nothing-here"):
        run_service(str(tmp_path / "nothing-here"))


def test_a_student_may_be_named_by_uri() -> None:
    with pytest.raises(StudentError, match=r"^student: 'wheel://llm-unheard-of' is not known"):
        run_service("wheel://llm-unheard-of", port=0)


def test_an_address_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}"):
            run_service(str(tmp_path), port=port)


def test_the_package_serve_leaves_ray_serve_alone() -> None:
    code = "import serve.run, ray.serve, serve.api; assert 'ray' in ray.serve.__file__ and hasattr(ray.serve, 'batch')"
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True)


def test_importing_run_brings_neither_ray_nor_torch() -> None:
    code = "import sys, serve.run; assert not {'ray', 'torch', 'transformers', 'fastapi'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True)
