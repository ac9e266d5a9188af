"""The wheel and the sdist: what is in them, and that it works."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from jobs import ROOT

from difnas_jax.runtime import provenance

sdists = pytest.importorskip("hatchling.builders.sdist", reason="no hatchling here")
wheels = pytest.importorskip("hatchling.builders.wheel", reason="no hatchling here")
FOLDERS = {"configs": "*.py", "launch": "*", "notebooks": "*.ipynb"}


def wheel_of(root, folder):
    (path,) = wheels.WheelBuilder(str(root)).build(
        directory=str(folder), versions=["standard"]
    )
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(sdist, unpacked; wheel of the checkout; wheel of the sdist)."""
    folder = tmp_path_factory.mktemp("dist")
    (path,) = sdists.SdistBuilder(str(ROOT)).build(directory=str(folder))
    with tarfile.open(path) as sdist:
        sdist.extractall(folder, filter="data")
    (source,) = (entry for entry in folder.iterdir() if entry.is_dir())
    return source, wheel_of(ROOT, folder / "1"), wheel_of(source, folder / "2")


def files(folder, pattern="*"):
    found = (path.relative_to(folder) for path in folder.rglob(pattern))
    names = {path.as_posix() for path in found if (folder / path).is_file()}
    return {name for name in names if "__pycache__" not in name}


def record_of(wheel):
    """Every file with its checksum."""
    (name,) = (name for name in wheel.namelist() if name.endswith("/RECORD"))
    return sorted(wheel.read(name).splitlines())


def test_the_sdist_makes_the_wheel_of_the_checkout(built):
    _, ours, its = built
    assert record_of(ours) == record_of(its)


def test_the_wheel_has_the_package_and_the_folders_that_come_with_it(built):
    _, wheel, _ = built
    expected = {f"difnas_jax/{name}" for name in files(ROOT / "difnas_jax")}
    for folder, pattern in FOLDERS.items():
        shipped = files(ROOT / folder, pattern)
        assert shipped
        expected |= {f"difnas_jax/{folder}/{name}" for name in shipped}
    if commit := provenance.facts()["commit"]:
        expected.add("difnas_jax/COMMIT")
        assert wheel.read("difnas_jax/COMMIT").decode().strip() == commit
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == expected and "difnas_jax/py.typed" in names


def test_the_sdist_has_what_builds_and_tests_and_nothing_that_was_made(built):
    source, _, _ = built
    for name in ("benchmarks", "docs", "tests", *FOLDERS):
        assert files(source / name, "*.py") == files(ROOT / name, "*.py")
    assert {"LICENSE", "Makefile", "README.md"} <= {p.name for p in source.iterdir()}
    ignored = (ROOT / ".gitignore").read_text().replace("/", "").split()
    made = [path for path in files(source) if set(Path(path).parts) & set(ignored)]
    assert not made


def test_the_wheel_works_without_the_checkout(built, tmp_path):
    """As pip unpacks it; pip itself may be offline."""
    _, wheel, _ = built
    wheel.extractall(tmp_path / "site")
    code = (
        "from difnas_jax.config import files;"
        "files.load_config('mbv2:smoke'), files.load_config('spos:digits');"
        "print(*files.shipped_configs().values(), sep='\\n');"
        "print(files.shipped('launch'), files.shipped('notebooks'), sep='\\n');"
        "from difnas_jax.runtime import provenance;"
        "print(provenance.facts()['commit'] or '-')"
    )
    output = subprocess.check_output(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        text=True,
    )
    *lines, commit = output.splitlines()
    assert commit == (provenance.facts()["commit"] or "-")
    *configs, launch, notebooks = map(Path, lines)
    assert len(configs) == len(files(ROOT / "configs", "*.py"))
    inside = tmp_path / "site" / "difnas_jax"
    assert all(path.is_relative_to(inside / "configs") for path in configs)
    assert [launch, notebooks] == [inside / "launch", inside / "notebooks"]
    assert os.access(launch / "gpu.sh", os.R_OK) and list(notebooks.glob("*.ipynb"))
