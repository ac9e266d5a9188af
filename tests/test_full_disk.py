"""A full disk: an error names it, no file is damaged, and the run continues later."""

import os

import numpy as np
import pytest
from jobs import ROOT, fill

from difnas_jax.commands import prepare
from difnas_jax.main import main
from difnas_jax.runtime import artifacts, files

FULL = "expected space to write, the disk is full"


def test_a_full_disk_leaves_the_old_file(small_disk):
    path = small_disk / "a.json"
    files.write_json(path, {"old": 1})
    filler = fill(small_disk)
    with pytest.raises(OSError, match="No space left") as error:
        files.write_json(path, {"new": ["x" * 100] * 1000})
    assert error.value.filename == str(path)
    assert files.read_json(path) == {"old": 1}
    assert sorted(os.listdir(small_disk)) == ["a.json", "filler"]
    filler.unlink()
    files.write_json(path, {"new": 1})
    assert files.read_json(path) == {"new": 1}


@pytest.fixture
def few(tmp_path):
    """Forty images of noise as arrays."""
    path = tmp_path / "few.npz"
    rng = np.random.default_rng(0)
    arrays = {
        f"x_{name}": rng.integers(0, 256, (20, 32, 32, 3), np.uint8)
        for name in ("train", "test")
    }
    arrays |= {f"y_{name}": np.arange(20) % 10 for name in ("train", "test")}
    np.savez(path, allow_pickle=False, **arrays)
    return f"arrays:{path}"


@pytest.mark.parametrize("target", ["arrays:few.npz", "folder:few", "tfds:few/1.0.0"])
@pytest.mark.parametrize("pages", [0, 8])
def test_a_conversion_leaves_no_file(few, small_disk, target, pages, capsys):
    """With no space at all, and with space for some of the images."""
    kind, _, name = target.partition(":")
    target = f"{kind}:{small_disk}/{name}"
    filler = fill(small_disk, leave=4096 * pages)
    capsys.readouterr()
    assert prepare.main([few, target]) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("the same command again")
    left = {path.name for path in small_disk.rglob("*") if path.is_file()}
    assert left == {filler.name}
    filler.unlink()
    assert prepare.main([few, target]) == 0


# Orbax leaves other writes behind when one fails, and these find its loop closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_run_continues_with_more_and_more_space(small_disk, tmp_path, capsys):
    """Each time it gets further; its result is that of a run with enough space."""
    flags = [
        f"--config={ROOT}/tests/tiny_run.py",
        "--config.supernet.checkpoint_every=2",
    ]
    whole, broken = tmp_path / "whole", small_disk / "run"
    assert main([*flags, f"--workdir={whole}"]) == 0
    ends = set()
    for pages in (0, 8, 64, 128, 256):
        filler = fill(small_disk, leave=4096 * pages)
        capsys.readouterr()
        code = main([*flags, f"--workdir={broken}"])
        filler.unlink()
        if code == 0:
            break
        (line,) = capsys.readouterr().err.splitlines()
        assert code == 1 and FULL in line
        ends.add(tuple(sorted(path.stem for path in (broken / "stages").glob("*"))))
    assert len(ends) > 2
    assert main([*flags, f"--workdir={broken}"]) == 0
    for name in (artifacts.INDICATOR, artifacts.BEST):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()
