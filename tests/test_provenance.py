"""Where a result comes from."""

import datetime
import subprocess
import sys

import jax
import pytest

from difnas_jax.runtime import provenance


def commit_in(folder, monkeypatch):
    monkeypatch.setattr(provenance, "CHECKOUT", folder)
    return provenance.facts()["commit"]


@pytest.fixture
def git(tmp_path):
    """A repository with one commit of one file."""

    def run(*arguments):
        who = "-c", "user.name=a", "-c", "user.email=a@b"
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.check_output(command, text=True).strip()

    run("init", "--quiet")
    (tmp_path / "file").write_text("one")
    run("add", "file")
    run("commit", "--quiet", "--message=one")
    return run


def test_the_commit_is_that_of_the_checkout_and_says_if_files_differ(
    git, tmp_path, monkeypatch
):
    git("tag", "v1")
    commit = git("rev-parse", "HEAD")
    assert commit_in(tmp_path, monkeypatch) == commit
    (tmp_path / "file").write_text("two")
    assert commit_in(tmp_path, monkeypatch) == f"{commit}-dirty"


def test_a_package_installed_within_another_project_has_no_commit(
    git, tmp_path, monkeypatch
):
    (tmp_path / "site-packages").mkdir()
    assert commit_in(tmp_path / "site-packages", monkeypatch) == ""


def test_without_git_there_is_no_commit(git, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert commit_in(tmp_path, monkeypatch) == ""


def test_command_device_and_date(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "difnas_jax", "--a=b c"])
    facts = provenance.facts()
    assert facts["command"] == "python -m difnas_jax '--a=b c'"
    assert facts["device"].startswith(f"{jax.device_count()} x cpu, ")
    date = datetime.datetime.fromisoformat(facts["date"].removesuffix(" UTC"))
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    assert abs(now - date) < datetime.timedelta(minutes=5)
