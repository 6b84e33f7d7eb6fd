"""The house rules that a machine can check: layers, sizes, and what a plain import may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
SOURCES = sorted((REPO / "pad_ray").rglob("*.py"))
ALL = sorted(path for top in ("pad_ray", "serve", "jobs", "tests", "bench") for path in (REPO / top).rglob("*.py"))

# From the bottom up. A module may import from its own layer and from those below.
LAYERS = [
    {"outcomes", "errors", "records", "syntax", "terminal", "", "__version__"},
    {
        "storage",
        "jsonl",
        "offline",
        "owner",
        "lease",
        "manifest",
        "recipe",
        "recipe_augment",
        "recipe_distill",
        "recipe_refine",
        "recipe_student",
        "recipe_teacher",
        "recipe_thought",
        "recipe_train",
        "recipe_file",
        "recipe_reference",
        "study_file",
        "run",
        "status",
        "budget",
    },
    {"teacher", "sandbox", "grading", "curate", "thoughts", "refine", "decode", "problems", "students"},
    {
        "flow",
        "train",
        "refine.rounds",
        "evaluate",
        "reasoner",
        "one_sample",
        "exchange",
        "study",
        "fate",
        "doctor",
        "reach",
    },
    {
        "cli",
        "cli_decode",
        "cli_jobs",
        "cli_look",
        "cli_ray",
        "cli_recipe",
        "cli_study",
        "cli_tools",
        "starter",
        "jobs",
        "submitting",
    },
]
# The only places that may know Ray or torch (below the top layer): the upper rooms and what runs models.
HEAVY = ("ray", "torch", "transformers", "deepspeed")
MAY_BE_HEAVY = (
    "flow",
    "train",
    "refine.rounds",
    "evaluate",
    "reasoner",
    "cli",
    "jobs",
    "submitting",
    "decode",
    "teacher.student",
    "teacher.local",
    "students.gguf",
)


def room(module: str) -> str:
    """`refine.rounds` for pad_ray.refine.rounds (a room of its own), `refine` for the rest of it."""
    parts = module.split(".")[1:]
    return "refine.rounds" if parts[:2] == ["refine", "rounds"] else (parts[0] if parts else "")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")


def layer(name: str) -> int:
    return next(number for number, rooms in enumerate(LAYERS) if name in rooms)


def imports(path: Path) -> list[str]:
    """Every module that a file imports, wherever it does so, except for type checking only."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found: list[str] = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_only_go_down(path: Path) -> None:
    here = layer(room(module_of(path)))
    if path == REPO / "pad_ray" / "__init__.py":
        return  # its one import, of the Reasoner, happens when a user asks for it
    upward = [name for name in imports(path) if name.startswith("pad_ray.") and layer(room(name)) > here]
    assert not upward


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_ray_and_torch_stay_in_their_rooms(path: Path) -> None:
    name = module_of(path).removeprefix("pad_ray").removeprefix(".")
    if name.startswith(MAY_BE_HEAVY):
        return
    assert not [found for found in imports(path) if found.split(".")[0] in HEAVY]


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(REPO)))
def test_no_file_has_more_than_300_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize(
    "statement", ["import pad_ray", "import pad_ray.cli", "import pad_ray.sandbox, pad_ray.grading.verdict"]
)
def test_plain_imports_bring_no_heavy_package(statement: str) -> None:
    heavy = ("ray", "torch", "transformers", "pyarrow", "numpy", "pandas", "scipy", "matplotlib", "pydantic")
    code = f"{statement}\nimport sys\nprint([name for name in {heavy!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPO)
    assert result.stdout.strip() == "[]"
