"""The same numbers on any number of devices, in one process or in several."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_run
from jobs import QUICK, ROOT, environment, free_port

from difnas_jax import checks, data, main
from difnas_jax.commands import rank
from difnas_jax.errors import InputError
from difnas_jax.runtime import processes
from difnas_jax.runtime.artifacts import (
    BEST,
    INDICATOR,
    RETRAIN_METRICS,
    RETRAIN_RESULT,
    SUPERNET_METRICS,
)
from difnas_jax.runtime.files import read_json_lines

TESTS = Path(__file__).parent

# Devices add up the same float32 numbers in another order, which moves a sum by some
# 1e-7 of itself and a loss by no more than this in four updates.
LOSS = 1e-5
# What training changes moves by more where an activation falls on the other side of a
# bound of ReLU6, at which the gradient jumps; 4e-4 was measured.
CHANGE = 1e-2
# As in `pyproject.toml`.
WARNINGS = (
    "-Werror",
    "-Wignore:Error reading persistent compilation cache",
    "-Wignore:Error writing persistent compilation cache",
)


@pytest.fixture(scope="module")
def on_devices(tmp_path_factory):
    """The folder of `train_on_devices`."""
    folder = tmp_path_factory.mktemp("devices")
    flags = f"{QUICK} --xla_force_host_platform_device_count=4"
    subprocess.run(
        [sys.executable, *WARNINGS, TESTS / "train_on_devices.py", folder],
        env=environment(XLA_FLAGS=flags, PYTHONPATH=str(ROOT)),
        check=True,
        timeout=300,
    )
    return folder


@pytest.mark.parametrize("count", [2, 4])
def test_devices_change_no_number(on_devices, count):
    one, several = (on_devices / str(number) for number in (1, count))
    losses, there = (
        [row["loss"] for row in read_json_lines(folder / "metrics.jsonl")]
        for folder in (one, several)
    )
    assert len(losses) == 4 and np.ptp(losses) > 100 * LOSS
    assert there == pytest.approx(losses, rel=LOSS)
    check_change(*(np.load(folder / "change.npy") for folder in (several, one)))


def check_change(there, here):
    assert np.linalg.norm(there - here) < CHANGE * np.linalg.norm(here)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """(processes, devices) -> workdir, output, writes of a run of `launch/local.sh`."""

    def run(number, devices):
        folder = tmp_path_factory.mktemp(f"local{number}")
        workdir, writes = folder / "run", folder / "writes"
        hook = (TESTS / "record_writes.py").read_text()
        (folder / "sitecustomize.py").write_text(hook)
        done = subprocess.run(
            ["launch/local.sh"],
            cwd=ROOT,
            env=environment(
                CONFIG="tests/tiny_run.py",
                WORKDIR=str(workdir),
                PROCESSES=str(number),
                DEVICES=str(devices),
                PORT=str(free_port()),
                PYTHON=sys.executable,
                PYTHONPATH=f"{folder}:{os.environ.get('PYTHONPATH', '')}",
                WATCHED=str(workdir),
                WRITES=str(writes),
            ),
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return workdir, done.stdout, writes.read_text().splitlines()

    return run


@pytest.fixture(scope="module")
def alone(local):
    return local(1, 1)[0]


@pytest.fixture(scope="module")
def together(local):
    return local(2, 2)


def test_processes_change_no_number(alone, together):
    """All stages in two processes of two devices, and in one process of one."""
    workdir = together[0]
    for name in (SUPERNET_METRICS, RETRAIN_METRICS):
        here, there = (
            [(row["loss"], row["accuracy"]) for row in read_json_lines(folder / name)]
            for folder in (alone, workdir)
        )
        assert len(here) == 4
        assert np.array(there) == pytest.approx(np.array(here), rel=LOSS)
    here, there = (np.load(folder / INDICATOR) for folder in (alone, workdir))
    gammas = [name for name in here.files if name.startswith("gamma")]
    check_change(*(np.concatenate([f[g] for g in gammas]) - 1 for f in (there, here)))
    here, there = (json.loads((f / BEST).read_text()) for f in (alone, workdir))
    assert there == here
    result = RETRAIN_RESULT
    here, there = (json.loads((f / result).read_text()) for f in (alone, workdir))
    assert there["architecture"] == here["architecture"]
    for split in ("validation", "test"):
        for name in (f"{split}_loss", f"{split}_accuracy"):
            assert there[name] == pytest.approx(here[name], rel=LOSS), name
    assert there["test_examples"] == here["test_examples"]


def test_only_process_0_writes_and_prints(together):
    """Orbax alone has a file of each process inside a checkpoint."""
    workdir, output, writes = together
    by_process = {"0": set(), "1": set()}
    for line in writes:
        process, _, path = line.split(" ", 2)
        if "checkpoints" not in Path(path).relative_to(workdir).parts:
            by_process[process].add(path)
    assert by_process["1"] == set()
    assert len(by_process["0"]) > 20
    assert output.count("workdir: ") == output.count("retrain: running") == 1


def test_who_waits_for_other_processes_says_so(monkeypatch, capsys):
    ended, joined = [], threading.Event()
    monkeypatch.setattr(processes, "BETWEEN_SIGNS", 0.02)

    def end(message):
        ended.append(message)
        joined.set()

    monkeypatch.setattr(processes, "_end", end)
    processes._watch(joined, 0.1, "late")
    lines = capsys.readouterr().err.splitlines()
    assert ended == ["late"] and len(lines) > 1
    assert lines[0] == "processes: waiting for the others of this job for 0 of 0.1 s"
    processes._watch(joined, 0.1, "late")
    assert ended == ["late"] and not capsys.readouterr().err


@pytest.mark.parametrize("process", ["0", "1"])
def test_processes_that_do_not_join_end_the_run(tmp_path, process):
    """Process 0 waits for process 1, or 1 finds no process 0."""
    done = subprocess.run(
        [sys.executable, "-m", "difnas_jax.main", "--distributed", "--join-timeout=1"]
        + ["--config=tests/tiny_run.py", f"--workdir={tmp_path / 'none'}"],
        cwd=ROOT,
        env=environment(
            JAX_COORDINATOR_ADDRESS=f"127.0.0.1:{free_port()}",
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=process,
        ),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 2
    assert "error: --distributed: expected 2 processes to join at 127." in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "--distributed: expected a cluster that JAX knows, or JAX_COORDINATOR"),
        ({"JAX_PROCESS_ID": "one"}, "JAX_PROCESS_ID: expected a whole number, got 'o"),
    ],
)
def test_processes_that_are_not_described_are_an_error(monkeypatch, variables, message):
    for name in ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message):
        processes.join(60)


# What a cluster tells each of its processes, of which there are two.
CLUSTERS = {
    "JAX_NUM_PROCESSES": {"JAX_NUM_PROCESSES": "2"},
    "SLURM": {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": "node[1-2]",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": "1",
        "SLURM_LOCALID": "0",
    },
    "Open MPI": {
        "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": "1",
        "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    },
    "TPU pod of GKE": {"TPU_WORKER_HOSTNAMES": "one,two", "TPU_WORKER_ID": "1"},
    # It says so in its metadata, see `cluster`.
    "TPU pod": {},
}
METADATA = {
    "agent-worker-number": "1",
    "worker-network-endpoints": "one,two",
    "tpu-env": "",
}


@pytest.fixture
def cluster(monkeypatch):
    """name -> nothing: this process is one of two in such a cluster, or in none."""
    for name in (*os.environ, "TPU_SKIP_MDS_QUERY"):  # JAX sets it without a TPU
        if name.startswith(("JAX_NUM", "SLURM_", "OMPI_", "TPU_", "KUBERNETES_")):
            monkeypatch.delenv(name, raising=False)

    def enter(name):
        tpu = "jax._src.clusters.cloud_tpu_cluster"
        monkeypatch.setattr(f"{tpu}.running_in_cloud_tpu_vm", "TPU" in name)
        monkeypatch.setattr(f"{tpu}.get_metadata", lambda key: (METADATA[key], 200))
        for variable, value in CLUSTERS.get(name, {}).items():
            monkeypatch.setenv(variable, value)

    return enter


@pytest.mark.parametrize("name", [*CLUSTERS, "none"])
def test_processes_are_counted_as_jax_detects_them(cluster, name, capsys):
    cluster(name)
    assert processes.number_of_processes() == (1 if name == "none" else 2)
    assert not capsys.readouterr().err


def test_a_pod_of_kubernetes_alone_is_no_job(cluster, monkeypatch):
    """Without the Python package of Kubernetes; JAX would warn, an error in tests."""
    cluster("none")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    assert processes.number_of_processes() == 1


def test_a_run_goes_on_where_jax_cannot_read_what_the_cluster_says(
    cluster, monkeypatch, capsys
):
    cluster("SLURM")
    monkeypatch.setenv("SLURM_NTASKS", "many")
    assert processes.number_of_processes() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("processes: this one runs alone") and "'many'" in line


def test_a_run_goes_on_without_the_private_module_of_jax(cluster, monkeypatch):
    cluster("SLURM")
    monkeypatch.setitem(sys.modules, "jax._src.clusters", None)
    assert processes.number_of_processes() == 1


@pytest.mark.parametrize(
    ("name", "flags", "joins"),
    [
        ("SLURM", [], True),
        ("SLURM", ["--no-distributed"], False),
        ("none", [], False),
        ("none", ["--distributed"], True),
    ],
)
def test_a_run_joins_where_there_are_others(cluster, monkeypatch, name, flags, joins):
    cluster(name)
    joined = []
    monkeypatch.setattr(processes, "join", joined.append)
    monkeypatch.setattr(main, "_work", lambda flags, config: None)
    assert main.main(["--config=digits", "--join-timeout=7", *flags]) == 0
    assert joined == [7] * joins


def test_a_ranking_joins_as_a_run_does(cluster, monkeypatch, tmp_path):
    cluster("SLURM")
    joined = []
    monkeypatch.setattr(processes, "join", joined.append)
    monkeypatch.setattr(rank, "_work", lambda flags, config: None)
    command = ["nas_bench_macro", "--table=x.json", "--csv=x.csv"]
    command += [f"--workdir={tmp_path}", "--join-timeout=7"]
    assert rank.main(command) == 0 == rank.main([*command, "--no-distributed"])
    assert joined == [7]


def test_fewer_devices_than_expected_are_refused():
    config = tiny_run.get_config()
    config.devices = jax.device_count()
    checks.check(config)
    config.devices = 5
    with pytest.raises(InputError, match="^devices: expected 5, got 2 cpu dev"):
        checks.check(config)


def others_have(monkeypatch, *texts):
    """Let `gather_texts` find these processes beside this one."""
    monkeypatch.setattr(processes, "gather_texts", lambda text: [text, *texts])


def test_the_first_value_that_differs_is_named(monkeypatch):
    mine = {"seed": 0, "rate": [1]}
    processes.check_same("config", mine)
    others_have(monkeypatch, json.dumps(mine), json.dumps(mine | {"rate": [2]}))
    message = r"^config: .* but rate is \[1\] on process 0 and \[2\] on process 2"
    with pytest.raises(InputError, match=message):
        processes.check_same("config", mine)


def test_paths_that_differ_are_refused(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    others_have(monkeypatch, json.dumps({"['paths']": zlib.crc32(bytes(8))}))
    processes.check_same_arrays("supernet", {"paths": np.zeros(2, np.int32)})
    with pytest.raises(InputError, match=r"^supernet.* but \['paths'\] is"):
        processes.check_same_arrays("supernet", {"paths": np.ones(2, np.int32)})


def test_a_workdir_of_each_host_is_refused(tmp_path, monkeypatch):
    written = tmp_path / "config.json"
    written.write_text("{}")
    processes.check_shared(written)
    others_have(monkeypatch, json.dumps({"config.json": "No such file or directory"}))
    with pytest.raises(InputError, match="a folder that all share: expected the same"):
        processes.check_shared(written)


def test_a_process_makes_its_rows_of_every_batch():
    """The parts make up the batch, with its padding at the end."""
    config = tiny_run.get_config()
    config.data.crop_padding, config.data.flip = 2, True
    split = data.load(config).train[:70]
    whole = data.TrainBatches.of(config, split, 32)
    slices = [slice(0, 8), slice(8, 32)]
    parts = [dataclasses.replace(whole, rows=rows) for rows in slices]
    passes = [
        [stream[5], *data.evaluation_batches(split, 32, whole.normalizer, rows)]
        for stream, rows in [(whole, slice(None)), *zip(parts, slices, strict=True)]
    ]
    assert [len(batches) for batches in passes] == [4, 4, 4]
    for batch, *own in zip(*passes, strict=True):
        for name, values in batch.items():
            joined = np.concatenate([part[name] for part in own])
            assert joined.tobytes() == values.tobytes(), name
