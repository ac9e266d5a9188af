"""Laws of the source text: imports go downwards only, and nothing is unpickled."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "difnas_jax"

# Folder, or module of the top -> level.
LEVELS = {
    "main": 7,
    "pipeline": 7,
    "checks": 7,
    "choices": 7,
    "plan": 7,
    "usage": 7,
    "commands": 7,
    "loading": 6,
    "stages": 6,
    "report": 6,
    "deployment": 5,
    "scoring": 5,
    "isometry": 5,
    "training": 4,
    "models": 3,
    "ops": 2,
    "data": 2,
    "config": 1,
    "runtime": 1,
    "spaces": 0,
    "search": 0,
    "ranking": 0,
    "errors": 0,
}
# Within a level these may be imported by the others.
WITHIN = {
    ("checks", "choices"),
    ("commands", "checks"),
    ("commands", "main"),
    ("commands", "pipeline"),
    ("commands", "usage"),
    ("config", "runtime"),
    ("main", "pipeline"),
    ("main", "plan"),
    ("main", "usage"),
    ("pipeline", "checks"),
    ("pipeline", "plan"),
    ("plan", "checks"),
    ("ranking", "errors"),
    ("ranking", "spaces"),
    ("search", "errors"),
    ("search", "spaces"),
    ("spaces", "errors"),
    ("stages", "report"),
}


def module_files():
    return sorted(
        path
        for path in PACKAGE.rglob("*.py")
        if path.parent != PACKAGE or not path.name.startswith("__")
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
        (PACKAGE / unit).rglob("*.py")
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
    """But in the module that an export writes, which nothing here imports."""
    alone = PACKAGE / "deployment" / "torch_network.py"
    for path in PACKAGE.rglob("*.py"):
        names = set(imports(path))
        assert not {name for name in names if name.endswith("torch_network")}, path
        roots = {name.split(".")[0] for name in names}
        assert not roots & {"tensorflow", "torch"} or path == alone
        if path == alone:
            assert "difnas_jax" not in roots


def test_data_libraries_are_imported_only_where_they_are_needed():
    """They take half a second, and a run on arrays needs none of them."""
    late = {"array_record", "grain", "tensorflow_datasets"}
    found = set()
    for path in PACKAGE.rglob("*.py"):
        found |= {name.split(".")[0] for name in imports(path)} & late
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert not set(re.split(r"[ .,]+", ast.unparse(node))) & late, path
    assert found >= {"grain", "tensorflow_datasets"}


def test_architecture_page_names_every_folder():
    page = (ROOT / "ARCHITECTURE.md").read_text()
    missing = [unit for unit in LEVELS if not re.search(rf"`{unit}(\.py|/)`", page)]
    assert not missing


def test_every_folder_has_a_level():
    units = {path.relative_to(PACKAGE).parts[0] for path in module_files()}
    assert {unit.removesuffix(".py") for unit in units} == set(LEVELS)


def calls():
    """(path, name of the function, names of its keywords with constant values)."""
    for path in sorted((ROOT / "difnas_jax").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                keywords = {
                    keyword.arg: getattr(keyword.value, "value", None)
                    for keyword in node.keywords
                }
                yield path, ast.unparse(node.func), keywords


def test_nothing_is_unpickled_or_unpacked():
    loads = [(path, k) for path, name, k in calls() if name in ("np.load", "np.savez")]
    assert loads
    for path, keywords in loads:
        assert keywords.get("allow_pickle") is False, path
    forbidden = ("pickle", "dill", "joblib", "shelve", "marshal")
    for path in sorted((ROOT / "difnas_jax").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                text = ast.unparse(node).replace(",", " ").split()
                assert not set(text) & set(forbidden), path
    unpacking = ("extractall", "extract", "unpack_archive")
    assert not [path for path, name, _ in calls() if name.split(".")[-1] in unpacking]
