"""The wheel and the sdist: what is in them, and that it works."""

import importlib.util
import itertools
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from jobs import ROOT, environment
from PIL import Image

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


SEARCH = (
    "--config=frozen_effect:digits,smoke --workdir=run --config.data.source=folder "
    "--config.data.path=photos --config.space.num_classes=3 "
    "--config.space.image_channels=3 --config.search.max_macs=8000000 "
    "--config.supernet.batch_size=16 --config.supernet.reference_batch=16 "
    "--config.retrain.batch_size=16 --config.retrain.reference_batch=16"
)
LOADED = """
import difnas_jax, numpy
print(difnas_jax.__file__)
numpy.save("logits.npy", difnas_jax.load("run").predict("photo.png").logits)
"""
# Of the pixels of the model card, in the folder of the export.
SERVED = {
    "jax": """
import jax.export
from pathlib import Path
stored = Path("model.stablehlo").read_bytes()
logits = jax.export.deserialize(bytearray(stored)).call(pixels)
""",
    "torch": """
import network, torch
images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
logits = network.load("model.safetensors")(images).detach()
""",
}


@pytest.fixture(scope="module")
def user(built, tmp_path_factory):
    """Runs Python in a folder, with the wheel and nothing of the checkout.

    It is that of WHEEL_PYTHON, where CI has installed the wheel alone; or else that of
    the tests, which has what the wheel depends on.
    """
    home, installed = tmp_path_factory.mktemp("user"), os.environ.get("WHEEL_PYTHON")
    if not installed:
        built[1].extractall(home / "site")
    path = None if installed else str(home / "site")
    (home / "folder").mkdir()

    def run(*arguments, inside=".", python=installed or sys.executable):
        variables, folder = environment(PYTHONPATH=path), home / "folder" / inside
        command = [python, *arguments]
        return subprocess.check_output(command, cwd=folder, env=variables, text=True)

    run.folder = home / "folder"
    return run


@pytest.fixture(scope="module")
def exported(user):
    """The logits of an own image, of which `model/` has a copy."""
    rng = np.random.default_rng(0)
    for place in itertools.product(("train", "test"), "abc", range(20)):
        path = user.folder.joinpath("photos", *map(str, place)).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(path)
    shutil.copy(path, user.folder / "photo.png")
    assert "report: run/report.html" in user("-m", "difnas_jax", *SEARCH.split())
    said = user("-m", "difnas_jax", "predict", "run", "photo.png")
    assert re.match(r"photo\.png: [abc] ", said)
    user("-m", "difnas_jax", "export", "run", "--to=model")
    assert not Path(user("-c", LOADED).strip()).is_relative_to(ROOT)
    shutil.copy(path, user.folder / "model" / "image.png")
    return np.load(user.folder / "logits.npy")


@pytest.mark.parametrize("package", SERVED)
def test_what_a_user_of_the_wheel_finds_serves_without_it(package, user, exported):
    """Of own images; the pixels are made as the model card says."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"no {package} here")
    card = (user.folder / "model" / "model_card.md").read_text()
    pixels = re.findall(r"```python\n(.*?)```", card, re.DOTALL)[0]
    blocked = "import sys\nsys.modules['difnas_jax'] = None\n"
    saved = "np.save('logits.npy', np.asarray(logits))"
    python = {"python": sys.executable} if package == "torch" else {}
    code = f"{blocked}{pixels}{SERVED[package]}{saved}"
    user("-c", code, inside="model", **python)
    found = np.load(user.folder / "model" / "logits.npy")
    np.testing.assert_allclose(found, exported, rtol=0, atol=1e-5)
