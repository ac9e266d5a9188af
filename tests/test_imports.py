"""The levels of ARCHITECTURE.md: imports go downwards only."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "difnas_jax"

LEVELS = {
    "main": 7,
    "compare": 7,
    "pipeline": 6,
    "checks": 6,
    "results": 1,
    "stages": 5,
    "train": 4,
    "evaluate": 4,
    "steps": 3,
    "eval_steps": 3,
    "placements": 3,
    "optim": 3,
    "indicators": 3,
    "health": 3,
    "models": 2,
    "checkpoint": 2,
    "checkpoint_parts": 2,
    "prepare": 2,
    "writer": 1,
    "figures": 1,
    "diagrams": 1,
    "command": 1,
    "config": 1,
    "config_files": 1,
    "data": 1,
    "paths": 1,
    "preemption": 1,
    "distributed": 1,
    "failures": 1,
    "processes": 1,
    "runtime": 1,
    "artifacts": 1,
    "spaces": 0,
    "costs": 0,
    "block_costs": 0,
    "search": 0,
    "errors": 0,
    "files": 0,
    "overrides": 1,
}
# Within a level these may be imported by the others.
WITHIN = {
    ("checkpoint", "checkpoint_parts"),
    ("block_costs", "spaces"),
    ("costs", "block_costs"),
    ("costs", "spaces"),
    ("diagrams", "figures"),
    ("files", "errors"),
    ("pipeline", "checks"),
    ("runtime", "writer"),
    ("search", "costs"),
    ("search", "errors"),
    ("search", "spaces"),
    ("spaces", "errors"),
    ("steps", "optim"),
    ("steps", "placements"),
    ("processes", "distributed"),
    ("writer", "processes"),
}


def module_files():
    return sorted(
        path
        for path in PACKAGE.rglob("*.py")
        if path.parent != PACKAGE or path.name != "__init__.py"
    )


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            if node.module == "difnas_jax":
                yield from (f"difnas_jax.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize(
    "path", module_files(), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_go_down(path):
    unit = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imports(path):
        if not name.startswith("difnas_jax."):
            continue
        other = name.split(".")[1]
        lower = LEVELS[other] < LEVELS[unit]
        assert lower or other == unit or (unit, other) in WITHIN, (
            f"{path} imports {name}"
        )


@pytest.mark.parametrize("unit", [name for name, level in LEVELS.items() if level == 0])
def test_level_zero_is_numpy_only(unit):
    files = (
        (PACKAGE / unit).glob("*.py")
        if (PACKAGE / unit).is_dir()
        else [PACKAGE / f"{unit}.py"]
    )
    for path in files:
        roots = {name.split(".")[0] for name in imports(path)}
        allowed = {*sys.stdlib_module_names, "numpy", "difnas_jax"}
        assert roots <= allowed, path


def test_no_stale_exception():
    """Every pair that may import within its level does."""
    used = {
        (path.relative_to(PACKAGE).parts[0].removesuffix(".py"), name.split(".")[1])
        for path in module_files()
        for name in imports(path)
        if name.startswith("difnas_jax.")
    }
    assert used >= WITHIN


def test_no_tensorflow_and_no_torch():
    for path in PACKAGE.rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & {
            "tensorflow",
            "torch",
        }


def test_architecture_page_names_every_module():
    page = (ROOT / "ARCHITECTURE.md").read_text()
    missing = [unit for unit in LEVELS if not re.search(rf"`{unit}(\.py|/)`", page)]
    assert not missing
