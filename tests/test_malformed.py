"""Whatever a user can get wrong: one line, exit code 2, nothing half-written.

Every row goes through the door as a user would, `main(flags)`.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from difnas_jax import checks
from difnas_jax.main import main
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.checkpoint import Checkpoints
from difnas_jax.stages import supernet
from difnas_jax.training.paths import paths_per_update
from difnas_jax.training.steps import TrainState

ROOT = Path(__file__).parents[1]
DIGITS = "--config=configs/digits.py:smoke"
SMALL = "--config=benchmarks/kills_config.py"


def door(flags, workdir, capsys):
    """The error line of a command that must be refused."""
    assert main([*flags, f"--workdir={workdir}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    """Where the paths of the configs hold."""
    monkeypatch.chdir(ROOT)


COMMANDS = [
    ((f"--config={'x' * 300}.py",), "expected a Python file"),
    ((DIGITS, "--join-timeout=inf"), "--join-timeout: expected seconds above 0"),
    ((DIGITS, "--join-timeout=nan"), "--join-timeout: expected seconds above 0"),
    ((), "arguments are required: --config"),
    (("--config=",), "--config: expected a Python file"),
    (("--config=configs/none.py",), "there is no 'configs/none.py'"),
    (("--config=configs",), "--config: expected a Python file"),
    (("--config=README.md",), "--config: expected a Python file"),
    (("--config=tests/conftest.py",), "expected a file whose get_config"),
    (("--config=configs/digits.py:fast",), "config argument 'fast': unknown"),
    (("--config=configs/digits.py:seed=x",), "config argument 'seed': expected int"),
    (("--config=configs/baselines/spos.py:x",), "config argument 'x': unknown"),
    ((DIGITS, "--wrkdir=x"), "--wrkdir=x: expected a flag"),
    ((DIGITS, "word"), "word: expected a flag"),
    ((DIGITS, "--config.seed", "1"), "--config.seed: expected a flag"),
    (
        (DIGITS, "--config.sead=1"),
        "--config.sead: unknown field; the config has compil",
    ),
    ((DIGITS, "--config.search.macs=1"), "unknown field; search has algorithm"),
    ((DIGITS, "--config.seed.x=1"), "unknown field; seed has no fields"),
    ((DIGITS, "--config.search=1"), "expected one of its fields"),
]
VALUES = [
    *((field, "nonsense", f"{field}: expected one of") for field in checks.CHOICES),
    ("seed", "one", "seed: expected int, got 'one'"),
    ("seed", "1.5", "seed: expected int"),
    ("seed", "-1", "seed: expected 0 to"),
    ("data.flip", "maybe", "data.flip: expected bool"),
    ("supernet.learning_rate", "fast", "expected float"),
    ("supernet.learning_rate", "nan", "supernet.learning_rate: expected"),
    ("supernet.learning_rate", "inf", "supernet.learning_rate: expected"),
    ("supernet.learning_rate", "-0.1", "supernet.learning_rate: expected"),
    ("supernet.epochs", "inf", "supernet.epochs: expected"),
    ("supernet.epochs", "1", "supernet.epochs, supernet.steps: expected exactly one"),
    ("supernet.steps", "0", "supernet.epochs, supernet.steps: expected exactly one"),
    ("supernet.batch_size", "0", "supernet.batch_size: expected at least 1"),
    ("supernet.batch_size", "63", "supernet.batch_size: expected a multiple of the 2"),
    ("supernet.spike_factor", "-1", "supernet.spike_factor: expected at least 0"),
    ("space.image_size", "0", "space.image_size: expected at least 1"),
    ("space.image_channels", "0", "space.image_channels: expected at least 1"),
    ("space.num_classes", "0", "space.num_classes: expected at least 1"),
    ("space.num_classes", "5", "labels: expected 0 to 4"),
    ("data.source", "arrays", "data.path: expected an .npz file"),
    ("data.validation_fraction", "1", "data.validation_fraction: expected"),
    ("data.crop_padding", "-1", "data.crop_padding: expected 0 to 64"),
    ("data.mean", "0.5,0.5", "data.mean: expected 1 number"),
    ("data.mean", "grey", "data.mean: expected 1 number"),
    ("data.std", "0", "data.std: expected 1 number"),
    ("retrain.momentum", "1.5", "retrain.momentum: expected 0.0 to 1.0"),
    ("retrain.label_smoothing", "1", "retrain.label_smoothing: expected"),
    ("retrain.dropout", "1", "retrain.dropout: expected"),
    ("retrain.keep_checkpoints", "0", "retrain.keep_checkpoints: expected at least 1"),
    ("retrain.checkpoint_every", "0", "retrain.checkpoint_every: expected at least 1"),
    ("retrain.architecture", "1,1", "expected 7 op indices"),
    ("retrain.architecture", "6,0,0,0,0,0,0", "layer 0 of space 'digits' does not"),
    ("retrain.architecture", "k3e3,k9e9,0,0,0,0,0", "unknown op 'k9e9'"),
    ("retrain.architecture", "../best.json", "unknown op '../best.json'"),
    ("retrain.architecture", "0,-1,0,0,0,0,0", "unknown op"),
    ("search.references", "random,x", "search.references: expected some of"),
    ("search.population", "0", "search.population: expected"),
    ("search.generations", "0", "search.generations: expected"),
    ("search.mutation_probability", "1.5", "search.mutation_probability: expected"),
    ("search.max_macs", "1e5", "reaches 953600 to 4905728 macs"),
    ("search.max_macs", "1e20", "search.max_macs: expected 0 to"),
    ("search.max_macs", "1e-1", "search.max_macs: expected int"),
    ("search.max_macs", "1e999", "search.max_macs: expected int"),
    ("search.min_macs", "1e9", "search.min_macs: expected at most"),
    ("search.max_params", "1000", "search.max_params: expected at least"),
    ("search.min_params", "1e8", "search.min_params: expected at most"),
    ("method.batch", "split", "supernet.batch_size: expected a multiple of the 7"),
    ("stages", "", "stages: expected some of"),
    ("stages", "report,search", "stages: expected some of"),
    ("stages", "search,search", "stages: expected some of"),
    ("stages", "train", "stages: expected some of"),
    ("stages", "indicator", "trained.json, which is missing; expected supernet among"),
    ("stages", "search", "indicator.npz, which is missing; expected indicator among"),
    ("stages", "retrain", "best.json, which is missing; expected search among"),
    ("compilation_cache", "README.md", "compilation_cache: expected a folder"),
]
COMMANDS += [((DIGITS, f"--config.{n}={text}"), says) for n, text, says in VALUES]


@pytest.mark.parametrize(("flags", "says"), COMMANDS)
def test_commands(tmp_path, capsys, flags, says):
    assert says in door(flags, tmp_path / "run", capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def get_config(:", "SyntaxError"),
        ("get_config = 1", "TypeError"),
        ("def get_config(arg): return {}", "it gives a dict"),
        ("def get_config(arg): return 1 / 0", "ZeroDivisionError"),
        ("import not_there", "ModuleNotFoundError"),
    ],
)
def test_config_files(tmp_path, capsys, text, says):
    (tmp_path / "mine.py").write_text(text)
    flags = [f"--config={tmp_path / 'mine.py'}"]
    assert says in door(flags, tmp_path / "run", capsys)
    assert not (tmp_path / "run").exists()


def images(count=40, kind: type[np.generic] = np.uint8, channels=()):
    return np.zeros((count, 8, 8, *channels), kind)


def npz(**changes):
    """The bytes of a data file with some keys changed or, if None, left out."""
    labels = np.arange(40) % 10
    good = dict(x_train=images(), y_train=labels, x_test=images(), y_test=labels)
    file = io.BytesIO()
    arrays = {**good, **changes}
    np.savez(file, **{n: v for n, v in arrays.items() if v is not None})  # type: ignore
    return file.getvalue()


def outside():
    """An archive with a member that would lie outside of where it is unpacked."""
    file = io.BytesIO(npz())
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("../../outside.npy", b"x")
    return file.getvalue()


DATA = [
    (b"", "cannot read"),
    (b"text", "cannot read"),
    (npz()[:200], "cannot read"),
    (npz(y_test=np.array([{}] * 40)), "cannot read"),  # would need pickle
    (outside(), "expected keys"),
    (npz(y_train=None), "expected both x_train and y_train"),
    (npz(x_test=None, y_test=None), "expected keys x_train, y_train"),
    (npz(z=images()), "expected keys"),
    (npz(x_train=images(kind=np.float32)), "images: expected uint8"),
    (npz(x_train=images(count=39)), "labels: expected integers [39]"),
    (npz(x_train=images(channels=(3,))), "images: expected 1 channels"),
    (npz(y_train=np.zeros(40)), "labels: expected integers"),
    (npz(y_train=np.full(40, 10)), "labels: expected 0 to 9"),
    (npz(y_test=np.full(40, -1)), "labels: expected 0 to 9"),
    (npz(x_train=images(0), y_train=np.zeros(0, int)), "at least one example"),
    (npz(x_train=images(1), y_train=np.zeros(1, int)), "validation_fraction: expected"),
]


@pytest.mark.parametrize(("content", "says"), DATA, ids=[says for _, says in DATA])
def test_data_files(tmp_path, capsys, content, says):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "data.npz").write_bytes(content)
    flags = [DIGITS, "--config.data.source=arrays"]
    flags.append(f"--config.data.path={folder / 'data.npz'}")
    assert says in door(flags, tmp_path / "run", capsys)
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "data.npz"]


def test_a_folder_is_no_data_file(tmp_path, capsys):
    flags = [DIGITS, "--config.data.source=arrays", f"--config.data.path={tmp_path}"]
    assert "expected an .npz file" in door(flags, tmp_path / "run", capsys)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A workdir up to its search, the supernet of which was only said to train."""

    def untrained(model, variables, sampler, *_, folder, **__):
        checkpoints = Checkpoints(folder / "checkpoints", keep=2)
        losses = np.zeros((32, paths_per_update(sampler)), np.float32)
        for step in (16, 32):
            parts = {"variables": variables, "optimizer": {"count": np.asarray(step)}}
            checkpoints.save(step, **parts, losses={"losses": losses})
        checkpoints.close()
        files.write_json_lines(folder / "metrics.jsonl", [])
        return TrainState(jnp.asarray(32), variables, {}, jnp.asarray(losses))

    workdir = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(supernet, "train", untrained)
        stages = "--config.stages=supernet,indicator,search,report"
        assert main([SMALL, stages, f"--workdir={workdir}"]) == 0
    return workdir


def cut(path, keep=40):
    """Leave the beginning of a file."""
    path.write_bytes(path.read_bytes()[:keep])


def flip(path):
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(**changes):
    """Change values of a JSON file; None takes the key out."""

    def damage(path):
        value = {**json.loads(path.read_text()), **changes}
        kept = {key: item for key, item in value.items() if item is not None}
        path.write_text(json.dumps(kept))

    return damage


def write(text):
    """Other contents."""
    return lambda path: path.write_text(text)


def arrays(**changes):
    """Other arrays in `indicator.npz`; None takes the key out."""

    def damage(path):
        with np.load(path, allow_pickle=False) as old:
            values = {**{name: old[name] for name in old.files}, **changes}
        kept = {name: item for name, item in values.items() if item is not None}
        np.savez(path, **kept)

    return damage


def largest(folder):
    """The file of a checkpoint that holds the arrays."""
    paths = filter(Path.is_file, folder.rglob("variables/**/d/*"))
    return max(paths, key=lambda path: path.stat().st_size)


def in_arrays(damage):
    """Damage to the arrays of a checkpoint."""
    return lambda folder: damage(largest(folder))


def without(name):
    """A folder in which something is missing."""
    return lambda folder: shutil.rmtree(folder / name)


BEST, NPZ, STATE = artifacts.BEST, artifacts.INDICATOR, artifacts.SEARCH_STATE
TABLE, ROWS, TRAINED = artifacts.CANDIDATES, artifacts.COMPARISON, artifacts.TRAINED
LAST, MARKER = "supernet/checkpoints/32", "stages/search.json"
# (what is damaged, how, the stage that reads it, what the error says)
DAMAGES = [
    (BEST, cut, "retrain", "best.json: expected a JSON object"),
    (BEST, write("[]"), "retrain", "not a JSON object"),
    (BEST, edit(architecture=["a", "b"]), "retrain", "op indices are whole numbers"),
    (BEST, edit(architecture=[0.9, 1]), "retrain", "op indices are whole numbers"),
    (BEST, edit(architecture=None), "retrain", "no architecture"),
    (BEST, edit(architecture=[0]), "retrain", "expected 2 op indices"),
    (BEST, edit(architecture=[6, 0]), "retrain", "does not allow op 6"),
    (BEST, edit(costs={"macs": "12"}), "retrain", "costs are {'macs': '12'}"),
    (BEST, edit(costs=1), "retrain", "costs are 1"),
    (BEST, edit(costs=None), "retrain", "no costs"),
    (BEST, edit(score="high"), "report", "the score is 'high'"),
    (BEST, edit(space="mbv2"), "retrain", "expected a network of space 'kills'"),
    (NPZ, cut, "search", "indicator.npz: expected an indicator table"),
    (NPZ, flip, "search", "indicator.npz: expected an indicator table"),
    (NPZ, write(""), "search", "indicator.npz: expected an indicator table"),
    (NPZ, arrays(table=np.zeros((3, 3))), "search", "expected a table [L, O] = [2, 7]"),
    (NPZ, arrays(table=None), "search", "indicator.npz: expected an indicator table"),
    (NPZ, arrays(table=np.array([{}])), "search", "allow_pickle=False"),
    (NPZ, arrays(provenance=np.asarray("{")), "search", "indicator.npz: expected"),
    (TABLE, cut, "report", "candidates.csv: expected a table of candidates"),
    (TABLE, write(""), "report", "candidates.csv: expected a table of candidates"),
    (ROWS, cut, "report", "comparison.json: expected a JSON object"),
    (ROWS, edit(rows=[{}]), "report", "comparison.json: expected a comparison"),
    (
        artifacts.PARETO,
        cut,
        "again report",
        "pareto.csv: expected a table of candidates",
    ),
    (artifacts.SEARCH_HISTORY, write("x\n"), "again report", "history.jsonl: exp"),
    (STATE, write("{"), "again search", "state.json: expected a JSON object"),
    (STATE, edit(evolution={"history": []}), "again search", "the state of a search"),
    (MARKER, write("{"), "report", "search.json: expected a JSON object"),
    (MARKER, edit(config=1), "report", "search.json: expected the marker of a stage"),
    (MARKER, Path.unlink, "report", "has no stages/search.json"),
    (TRAINED, write("{"), "again indicator", "trained.json: expected a JSON object"),
    (TRAINED, edit(step=None), "again indicator", "no step"),
    (TRAINED, edit(step=48), "again indicator", "checkpoints/48: expected a checkp"),
    (LAST, in_arrays(cut), "again indicator", "checkpoints/32: expected a checkpoint"),
    (LAST, in_arrays(flip), "again indicator", "checkpoints/32: expected a checkpoint"),
    (LAST, without("variables"), "again indicator", "checkpoints/32: expected"),
    (f"{LAST}/record/metadata", edit(window=[1]), "again indicator", "record are not"),
    (LAST, without("record"), "again indicator", "checkpoints/32: expected"),
    (LAST, shutil.rmtree, "again indicator", "checkpoints/32: expected"),
]


def contents(workdir):
    """The bytes of every file but the notes of what is run."""
    notes = ("config.json", files.LOCK)
    return {
        str(path.relative_to(workdir)): path.read_bytes()
        for path in workdir.rglob("*")
        if path.is_file() and path.parent.name != "stages" and path.name not in notes
    }


# Orbax leaves other reads behind when one fails, and these find its loop closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("name", "damage", "stage", "says"), DAMAGES)
def test_artefacts(finished, tmp_path, capsys, name, damage, stage, says):
    workdir = shutil.copytree(finished, tmp_path / "run")
    again, _, stage = stage.rpartition(" ")
    if again:
        edit(complete=False)(workdir / f"stages/{stage}.json")
    damage(workdir / name)
    before = contents(workdir)
    assert says in door([SMALL, f"--config.stages={stage}"], workdir, capsys)
    after = contents(workdir)
    assert not after.items() - before.items()  # nothing new, nothing changed


def test_workdirs(finished, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    for workdir in (file, file / "below"):
        assert "--workdir: expected a folder" in door([SMALL], workdir, capsys)
    assert main([SMALL, "--workdir="]) == 2
    assert "--workdir: expected a folder, got nothing" in capsys.readouterr().err
    workdir = shutil.copytree(finished, tmp_path / "run")
    before = contents(workdir)
    for change in ("supernet.learning_rate=0.125", "seed=1", "space.name=digits"):
        line = door([SMALL, f"--config.{change}"], workdir, capsys)
        assert "holds the supernet stage of another config" in line
        assert contents(workdir) == before


def test_a_second_run_is_refused_and_names_the_first(finished, tmp_path, capsys):
    workdir = shutil.copytree(finished, tmp_path / "run")
    flags = [SMALL, "--config.stages=report"]
    with files.locked(workdir):
        before = contents(workdir)
        line = door(flags, workdir, capsys)
        assert f"is in use by process {os.getpid()} on " in line
        assert contents(workdir) == before
    assert main([*flags, f"--workdir={workdir}"]) == 0


ENVIRONMENTS = [
    ({"JAX_PLATFORMS": "nonsense"}, (), "devices: expected some, JAX has none"),
    ({"JAX_ENABLE_X64": "1"}, (), "JAX_ENABLE_X64: expected it to be off"),
    ({}, ("--distributed",), "--distributed: expected a cluster that JAX knows"),
    (
        {"JAX_COORDINATOR_ADDRESS": "nowhere"},
        ("--distributed",),
        "--distributed: expected a cluster that JAX knows",
    ),
    (
        {"JAX_NUM_PROCESSES": "two"},
        ("--distributed",),
        "JAX_NUM_PROCESSES: expected a whole number, got 'two'",
    ),
]


@pytest.mark.parametrize(("variables", "flags", "says"), ENVIRONMENTS)
def test_environments(tmp_path, variables, flags, says):
    workdir = tmp_path / "run"
    command = [sys.executable, "-m", "difnas_jax.main", DIGITS, *flags]
    done = subprocess.run(
        [*command, f"--workdir={workdir}"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {says}")
    assert not workdir.exists()


def test_there_are_many_of_them():
    assert len(COMMANDS) + len(DATA) + len(DAMAGES) + len(ENVIRONMENTS) >= 60
