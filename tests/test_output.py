"""Lines for readers who are gone, or who know no Unicode."""

import contextlib
import subprocess
import sys

import pytest
from jobs import ROOT

from difnas_jax.runtime.output import show

LINES = """
import sys
from difnas_jax.runtime.output import show
for number in range(3):
    show(f"ünï {number}", sys.stdout)
    sys.stderr.write("alive\\n")
    if number == 0:
        sys.stdin.read()
sys.exit(3)
"""


def started(encoding):
    return subprocess.Popen(
        [sys.executable, "-c", LINES],
        cwd=ROOT,
        env={"PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding=encoding,
    )


@pytest.mark.parametrize(
    ("encoding", "first"), [("ascii", "\\xfcn\\xef 0\n"), ("utf-8", "ünï 0\n")]
)
def test_work_goes_on_without_a_reader(encoding, first):
    """Like `| head -1`; the exit code is that of the work."""
    with started(encoding) as process:
        assert process.stdin and process.stdout and process.stderr
        assert process.stdout.readline() == first
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == "alive\n" * 3
    assert process.returncode == 3


def test_no_output_is_none():
    show("x", None)


def test_a_full_disk_is_no_reader_that_is_gone():
    full = open("/dev/full", "w")
    with pytest.raises(OSError, match="No space"):
        show("x", full)
    with contextlib.suppress(OSError):
        full.close()
