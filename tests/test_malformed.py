"""Whatever a user can get wrong: one line, exit code 2, and no file written.

The line names the field (or the file) and the value that is wrong; its wording is free.
Every row goes through `main(flags)`, as from the command line.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from difnas_jax.choices import CHOICES
from difnas_jax.main import main
from difnas_jax.runtime import artifacts, files, locks
from difnas_jax.runtime.checkpoint import Checkpoints
from difnas_jax.stages import supernet
from difnas_jax.training.paths import paths_per_update
from difnas_jax.training.steps import TrainState

ROOT = Path(__file__).parents[1]
DIGITS = "--config=configs/digits.py:smoke"
GAMMAS = "--config=logit_gamma:digits"
SMALL = "--config=benchmarks/kills/small_run.py"
pytestmark = pytest.mark.usefixtures("at_the_root")


def refused(flags, workdir, capsys, *named):
    """The error line of a command that must be refused; it has the `named` in it."""
    assert main([*flags, f"--workdir={workdir}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    for text in named:
        assert re.search(rf"(?<![\w.]){re.escape(text)}(?!\w)", line), (text, line)
    return line


# (flags, what the line names)
COMMANDS: list[tuple[tuple[str, ...], Sequence[str]]] = [
    ((), ("--config",)),
    *(
        ((f"--config={file}",), ("--config", f"'{file}'"))
        for file in (
            f"{'x' * 300}.py",
            "",
            "configs/none.py",
            "configs",
            "README.md",
            "tests/conftest.py",
        )
    ),
    (("--config=configs/digits.py:fast",), ("config argument", "fast")),
    (("--config=digits:seed=x",), ("config argument", "seed", "int", "x")),
    (("--config=spos:x",), ("config argument", "x", "mbv2")),
    ((DIGITS, "--join-timeout=inf"), ("--join-timeout", "inf")),
    ((DIGITS, "--join-timeout=nan"), ("--join-timeout", "nan")),
    ((DIGITS, "--dry-run", "--join-timeout=-1"), ("--join-timeout", "-1")),
    ((DIGITS, "--wrkdir=x"), ("--wrkdir=x",)),
    ((DIGITS, "word"), ("word",)),
    ((DIGITS, "--config.seed", "1"), ("--config.seed",)),
    ((DIGITS, "--config.sead=1"), ("--config.sead", "seed")),
    ((DIGITS, "--config.search.macs=1"), ("--config.search.macs", "max_macs")),
    ((DIGITS, "--config.seed.x=1"), ("--config.seed.x",)),
    ((DIGITS, "--config.search=1"), ("--config.search", "max_macs")),
]
# field -> values; the line names the field and the value as it was given.
VALUES = {
    **dict.fromkeys(CHOICES, ("nonsense",)),
    "seed": ("one", "1.5", "-1"),
    "space.image_size": ("0", f"1{'0' * 12}"),
    "space.image_channels": ("0",),
    "space.num_classes": ("0", "5"),
    "data.flip": ("maybe",),
    "data.validation_fraction": ("1", "-0.1"),
    "data.crop_padding": ("-1",),
    "data.mean": ("grey",),
    "data.std": ("0",),
    "supernet.learning_rate": ("fast", "nan", "inf", "-0.1", "1e+300"),
    "supernet.epochs": ("inf", "1e+300"),
    "supernet.log_every": (f"1{'0' * 12}",),
    "supernet.batch_size": ("0", "63"),
    "supernet.spike_factor": ("-1",),
    "supernet.reward_every": ("0",),
    "supernet.policy_learning_rate": ("-1", "nan"),
    "supernet.disturbance_every": ("-1", "4"),
    "supernet.disturbance_after": ("0",),
    "method.alpha": ("0", "0.0001", "inf", "nan"),
    "method.alpha_decay": ("0", "1.5", "0.0001"),
    "method.forgetting": ("1.5", "-1"),
    "method.project_from": ("1", "-0.1"),
    "method.project_until": ("0", "1.5"),
    "method.directions": ("0", "65"),
    "method.proxy_kernels": ("xx",),
    "method.proxy_repeats": ("0",),
    "search.population": ("0", f"1{'0' * 12}"),
    "search.generations": ("0",),
    "search.parents": ("0",),
    "search.mutations": ("-1",),
    "search.crossovers": ("-1",),
    "search.mutation_probability": ("1.5", "-0.1"),
    "search.steps": ("0",),
    "search.tournament": ("0",),
    "search.policy_learning_rate": ("-1", "nan"),
    "search.keep": ("0",),
    "search.distance": ("0",),
    "search.max_macs": ("1e-1", "1e999"),
    "search.max_params": ("1000",),
    "search.max_latency_ms": ("0.5", "-1", "nan", "inf"),  # without a table
    "search.latency": ("none.json", "gs://b/c", "README.md"),
    "retrain.momentum": ("1.5",),
    "retrain.label_smoothing": ("1",),
    "retrain.dropout": ("1",),
    "retrain.networks": ("0",),
    "retrain.keep_checkpoints": ("0",),
    "retrain.checkpoint_every": ("0",),
    "stages": ("report,search", "search,search", "train"),
    "compilation_cache": ("README.md", "gs://b/c"),
}
# (field, value, what the line names instead)
SHOWN = [
    ("data.source", "arrays", "data.path", ".npz"),
    ("search.distance", "8", "search.distance", "7", "8"),
    ("retrain.networks", "2", "retrain.networks", "search.keep = 1", "2"),
    ("retrain.batch_size", "100000000", "retrain.batch_size", "1293", "100000000"),
    ("data.mean", "0.5,0.5", "data.mean", "(0.5, 0.5)"),
    ("method.batch_sharing", "split", "supernet.batch_size", "64", "'split'"),
    ("supernet.paths_at_once", "4", "supernet.paths_at_once", "divisor of 6", "4"),
    ("retrain.architecture", "1,1", "retrain.architecture", "7", "2"),
    (
        "retrain.architecture",
        "6,0,0,0,0,0,0",
        "retrain.architecture",
        "layer 0",
        "op 6",
    ),
    ("retrain.architecture", "k3e3,k9e9,0,0,0,0,0", "retrain.architecture", "'k9e9'"),
    ("retrain.architecture", "../best.json", "retrain.architecture", "'../best.json'"),
    ("retrain.architecture", "0,-1,0,0,0,0,0", "retrain.architecture", "'0'"),
    ("search.references", "random,x", "search.references", "'x'"),
    ("method.proxies", "nwot,x", "method.proxies", "'nwot,x'", "ntk_condition"),
    ("method.proxies", "", "method.proxies", "''"),
    ("search.algorithm", "pruning", "search.algorithm", "'pruning'", "training_free"),
    ("search.max_macs", "1e5", "search.max_macs", "100000"),
    ("search.max_macs", "1e20", "search.max_macs", f"1{'0' * 20}"),
    ("search.min_macs", "1e9", "search.min_macs", "1000000000"),
    ("search.min_params", "1e8", "search.min_params", "100000000"),
    ("supernet.warmup_steps", "4", "supernet.warmup_steps", "4"),
    ("retrain.warmup_steps", "9", "retrain.warmup_steps", "4", "9"),
    ("retrain.batch_size", "1e9", "retrain.batch_size", "1293", "1000000000"),
    ("supernet.epochs", "1", "supernet.epochs", "supernet.steps", "1.0", "4"),
    ("supernet.steps", "0", "supernet.epochs", "supernet.steps", "0.0", "0"),
    ("stages", "", "stages", "''"),
    ("stages", "indicator", "stages", "indicator", "supernet/trained.json"),
    ("stages", "search", "stages", "search", "indicator.npz"),
    ("stages", "retrain", "stages", "retrain", "search/best.json"),
]
SHOWN += [(field, value, field, value) for field in VALUES for value in VALUES[field]]
COMMANDS += [((DIGITS, f"--config.{n}={text}"), shown) for n, text, *shown in SHOWN]
TWO = ("--config.search.keep=2", "--config.retrain.networks=2")
GIVEN = "--config.retrain.architecture=0,0,0,0,0,0,0"
UNHELD = "data.validation_fraction"
ARRAYS = "--config.data.source=arrays"
COMMANDS += [
    ((DIGITS, ARRAYS, "--config.data.path=gs://b/x"), ("data.path", "'gs://b/x'")),
    ((DIGITS, *TWO, GIVEN), ("retrain.networks", "retrain.architecture", "2")),
    ((DIGITS, *TWO, f"--config.{UNHELD}=0"), (UNHELD, "0", "retrain.networks = 2")),
    (
        ("--config=spos:digits,smoke", f"--config.{UNHELD}=0"),
        (UNHELD, "0", "method.score = 'accuracy'"),
    ),
    (
        ("--config=te_nas:digits,smoke", f"--config.{UNHELD}=0"),
        (UNHELD, "0", "method.score = 'training_free'"),
    ),
    (
        ("--config=te_nas:digits,smoke", "--config.method.proxies=nwot,macs"),
        ("method.proxies", "'pruning'", "'macs'"),
    ),
    (
        ("--config=te_nas:digits", "--config.method.proxies=params,live_convs"),
        ("method.proxies", "'pruning'", "'params,live_convs'"),
    ),
    (
        (DIGITS, "--config.method.sampling=reinforce", f"--config.{UNHELD}=0"),
        (UNHELD, "0", "method.sampling = 'reinforce'"),
    ),
    (
        (
            "--config=main_effect:digits",
            "--config.method.indicator=main_effect",
            "--config.method.memory=path_losses",
            "--config.method.sampling=reinforce",
        ),
        ("method.sampling", "'reinforce'", "method.indicator = 'main_effect'"),
    ),
    (
        (GAMMAS, "--config.method.trainable=indicator"),
        ("method.trainable", "'logit_gamma'", "'indicator'"),
    ),
    (
        (GAMMAS, "--config.method.logit_gammas=false"),
        ("method.logit_gammas", "true", "'logit_gamma'", "False"),
    ),
    (
        ("--config=frozen_effect:nas_bench_201",),
        ("method.logit_gammas", "'nas_bench_201'", "cut off", "'measured_effect'"),
    ),
    (
        (GAMMAS, "--config.method.layer_indicator=parallel"),
        ("method.indicator", "'logit_gamma'", "'parallel'", "'plain'"),
    ),
    (
        (GAMMAS, "--config.method.score=ratio"),
        ("method.score", "'logit_gamma'", "'sum'", "'ratio'"),
    ),
    (
        (DIGITS, "--config.method.trainable=kernels"),
        ("method.trainable", "'gamma'", "'kernels'"),
    ),
    (
        ("--config=frozen_effect:digits", "--config.method.trainable=kernels"),
        ("method.block_scale", "0", "'kernels'"),
    ),
    (
        (DIGITS, "--config.method.update=orthogonal_inputs"),
        ("method.trainable", "'orthogonal_inputs'", "'all'", "'all_bn'"),
    ),
    (("--config=dense",), ("method.trainable", "'all'", "'dense'", "'all_bn'")),
    (
        ("--config=dense", "--config.method.trainable=all"),
        ("method.indicator", "'main_effect'", "'dense'", "'gamma'"),
    ),
]


@pytest.mark.parametrize(("flags", "named"), COMMANDS)
def test_commands(tmp_path, capsys, flags, named):
    refused(flags, tmp_path / "run", capsys, *named)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("#\ndef get_config(:", ("mine.py', line 2", "SyntaxError")),
        ("get_config = 1", ("mine.py' fails", "TypeError")),
        ("def get_config(arg): return {}", ("mine.py' fails", "dict")),
        ("def get_config(arg):\n    1 / 0", ("mine.py', line 2", "ZeroDivisionError")),
        ("\nimport not_there", ("mine.py', line 2", "ModuleNotFoundError")),
        ("import broken", ("broken.py', line 3", "KeyError")),
        ("exit(0)", ("mine.py', line 1", "SystemExit")),
        ("def get_config(arg):\n    exit(0)", ("mine.py', line 2", "SystemExit")),
    ],
)
def test_config_files(tmp_path, capsys, monkeypatch, text, named):
    """With the place of the mistake."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(text)
    Path("broken.py").write_text("\n\n{}['x']\n")
    refused(["--config=mine.py"], tmp_path / "run", capsys, "--config", *named)
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


def huge():
    """An archive with an array that claims 58 TiB and holds nothing."""
    header, file = io.BytesIO(), io.BytesIO()
    claim = {"descr": "|u1", "fortran_order": False, "shape": (64 * 10**12,)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x_train.npy", header.getvalue())
    return file.getvalue()


# (contents of the file, what the line names)
DATA = [
    (huge(), "data.path", "data.npz"),
    (b"", "data.path", "data.npz"),
    (b"text", "data.path", "data.npz"),
    (npz()[:200], "data.path", "data.npz"),
    (npz(y_test=np.array([{}] * 40)), "data.path", "data.npz"),  # would need pickle
    (outside(), "data.path", "data.npz", "../../outside"),
    (npz(y_train=None), "data.path", "data.npz", "x_train", "y_train"),
    (npz(x_test=None), "data.path", "data.npz", "x_test"),
    (npz(z=images()), "data.path", "data.npz", "z"),
    (npz(x_train=images(kind=np.float32)), "train images", "uint8", "float32"),
    (npz(x_train=images(count=39)), "train labels", "39", "40"),
    (npz(x_train=images(channels=(3,))), "train images", "space.image_channels", "3"),
    (npz(y_train=np.zeros(40)), "train labels", "float64"),
    (npz(y_train=np.full(40, 10)), "train labels", "space.num_classes", "10 to 10"),
    (npz(y_test=np.full(40, -1)), "test labels", "space.num_classes", "-1 to -1"),
    (npz(x_train=images(0), y_train=np.zeros(0, int)), "train", "[0, 8, 8]"),
    (npz(x_train=images(1), y_train=np.zeros(1, int)), "data.validation_fraction", "1"),
]


@pytest.mark.parametrize(("content", "named"), [(row[0], row[1:]) for row in DATA])
def test_data_files(tmp_path, capsys, content, named):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "data.npz").write_bytes(content)
    flags = [DIGITS, "--config.data.source=arrays"]
    flags.append(f"--config.data.path={folder / 'data.npz'}")
    refused(flags, tmp_path / "run", capsys, *named)
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "data.npz"]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_or_a_pipe_is_no_data_file(tmp_path, capsys, make):
    path = tmp_path / "data.npz"
    make(path)
    flags = [DIGITS, "--config.data.source=arrays", f"--config.data.path={path}"]
    refused(flags, tmp_path / "run", capsys, "data.path", str(path))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A workdir up to its search, with a supernet whose training is faked."""

    def untrained(variables, sampler, folder, **_):
        checkpoints = Checkpoints(folder / "checkpoints", keep=2)
        losses = np.zeros((32, paths_per_update(sampler)), np.float32)
        memory: Any = {"path_losses": losses}
        for step in (16, 32):
            parts = {"variables": variables, "optimizer": {"count": np.asarray(step)}}
            checkpoints.save(step, **parts, memory=memory)
        checkpoints.close()
        files.write_json_lines(folder / "metrics.jsonl", [])
        return TrainState(jnp.asarray(32), variables, {}, memory)

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
    """Change values of a JSON file; None takes the key out. Its checksum is gone."""

    def damage(path):
        value = {**json.loads(path.read_text()), **changes, "checksum": None}
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
TABLE, ROWS, TRAINED = (
    artifacts.CANDIDATES,
    artifacts.COMPARISON,
    artifacts.SUPERNET_RESULT,
)
LAST, MARKER = "supernet/checkpoints/32", "stages/search.json"
# (the damaged file, how, the stage that reads it, what the line names with the file)
DAMAGES = [
    (BEST, cut, "retrain"),
    (BEST, write("[]"), "retrain"),
    (BEST, edit(architecture=["a", "b"]), "retrain", "op indices"),
    (BEST, edit(architecture=[0.9, 1]), "retrain", "op indices"),
    (BEST, edit(architecture=None), "retrain", "architecture"),
    (BEST, edit(architecture=[0]), "retrain", "architecture", "2", "1"),
    (BEST, edit(architecture=[6, 0]), "retrain", "layer 0", "op 6"),
    (BEST, edit(costs={"macs": "12"}), "retrain", "12"),
    (BEST, edit(costs=1), "retrain", "1"),
    (BEST, edit(costs=None), "retrain", "costs"),
    (BEST, edit(score="high"), "report", "score", "'high'"),
    (BEST, edit(space="mbv2"), "retrain", "'kills'", "'mbv2'"),
    (BEST, edit(runners_up=1), "retrain"),
    (BEST, edit(runners_up=[{"seed": 1}]), "report", "architecture"),
    (NPZ, cut, "search"),
    (NPZ, flip, "search"),
    (NPZ, write(""), "search"),
    (NPZ, arrays(table=np.zeros((3, 3))), "search", "table", "[2, 7]", "[3, 3]"),
    (NPZ, arrays(table=None), "search", "'table'"),
    (NPZ, arrays(table=np.array([{}])), "search", "allow_pickle=False"),
    (NPZ, arrays(provenance=np.asarray("{")), "search"),
    (TABLE, cut, "report"),
    (TABLE, write(""), "report"),
    (ROWS, cut, "report"),
    (ROWS, edit(rows=[{}]), "report", "'score'"),
    (artifacts.PARETO, cut, "again report"),
    (artifacts.SEARCH_HISTORY, write("x\n"), "again report"),
    (STATE, write("{"), "again search"),
    (STATE, edit(evolution={"history": []}), "again search", "'algorithm'"),
    (MARKER, write("{"), "report"),
    (MARKER, edit(config=1), "report"),
    (MARKER, Path.unlink, "report"),
    (TRAINED, write("{"), "again indicator"),
    (TRAINED, edit(policy={"entropy": 1}), "again report", "probabilities"),
    (TRAINED, edit(step=None), "again indicator", "step"),
    (TRAINED, edit(step=48), "again indicator", "supernet/checkpoints/48"),
    (LAST, in_arrays(cut), "again indicator", "variables"),
    (LAST, in_arrays(flip), "again indicator", "variables"),
    (LAST, without("variables"), "again indicator", "variables"),
    (f"{LAST}/record/metadata", edit(window=[1]), "again indicator", LAST, "record"),
    (LAST, without("record"), "again indicator", "record"),
    (LAST, shutil.rmtree, "again indicator"),
]


def contents(workdir):
    """The bytes of every file but those that describe what was run."""
    described = ("config.json", locks.LOCK)
    return {
        str(path.relative_to(workdir)): path.read_bytes()
        for path in workdir.rglob("*")
        if path.is_file() and path.parent.name != "stages"
        if path.name not in described
    }


# Orbax leaves other reads behind when one fails, and these find its loop closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("row", DAMAGES)
def test_artefacts(finished, tmp_path, capsys, row):
    name, damage, stage, *named = row
    workdir = shutil.copytree(finished, tmp_path / "run")
    again, _, stage = stage.rpartition(" ")
    for marker in workdir.glob("stages/*.json"):  # as version 0.2 wrote them
        edit(outputs=None)(marker)
    if again:
        edit(complete=False)(workdir / f"stages/{stage}.json")
    damage(workdir / name)
    before = contents(workdir)
    # The checkpoint is named, not a file in it or the artefact that refers to it.
    file = next((text for text in named if text.startswith("supernet/")), name)
    refused([SMALL, f"--config.stages={stage}"], workdir, capsys, file, *named)
    after = contents(workdir)
    assert not after.items() - before.items()  # no file is new, no file has changed


def test_workdirs(finished, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    for workdir in (file, file / "below", "gs://b/w"):
        refused([SMALL], workdir, capsys, "--workdir", str(workdir))
    assert main([SMALL, "--workdir="]) == 2
    assert "--workdir" in capsys.readouterr().err
    workdir = shutil.copytree(finished, tmp_path / "run")
    before = contents(workdir)
    for change in ("supernet.learning_rate=0.125", "seed=1", "space.name=digits"):
        field, _, value = change.partition("=")
        named = "--workdir", str(workdir), "supernet", field, value
        refused([SMALL, f"--config.{change}"], workdir, capsys, *named)
        assert contents(workdir) == before


def test_a_second_run_is_refused_and_names_the_first(finished, tmp_path, capsys):
    workdir = shutil.copytree(finished, tmp_path / "run")
    flags = [SMALL, "--config.stages=report"]
    with locks.locked(workdir):
        before = contents(workdir)
        named = "--workdir", str(workdir), f"process {os.getpid()}"
        refused(flags, workdir, capsys, *named)
        assert contents(workdir) == before
    assert main([*flags, f"--workdir={workdir}"]) == 0


# (environment, flags, what the line names)
ENVIRONMENTS = [
    ({"JAX_PLATFORMS": "nonsense"}, (), "devices", "nonsense"),
    ({"JAX_ENABLE_X64": "1"}, (), "JAX_ENABLE_X64"),
    ({}, ("--distributed",), "--distributed", "JAX_COORDINATOR_ADDRESS"),
    ({"JAX_COORDINATOR_ADDRESS": "nowhere"}, ("--distributed",), "--distributed"),
    ({"JAX_NUM_PROCESSES": "two"}, ("--distributed",), "JAX_NUM_PROCESSES", "'two'"),
]


@pytest.mark.parametrize("row", ENVIRONMENTS)
def test_environments(tmp_path, row):
    variables, flags, *named = row
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
    assert line.startswith("error: ") and all(text in line for text in named)
    assert not workdir.exists()


def test_there_are_many_of_them():
    assert len(COMMANDS) + len(DATA) + len(DAMAGES) + len(ENVIRONMENTS) >= 140
