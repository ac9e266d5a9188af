"""In a real kernel of Jupyter, a run is a guest: the user's state and process stay."""

import pytest
from jobs import ROOT, environment

manager = pytest.importorskip("jupyter_client.manager", reason="no jupyter_client here")
pytest.importorskip("ipykernel", reason="no kernel of Jupyter here")

FLAGS = f"--config={ROOT}/tests/tiny_run.py --config.stages=retrain,report "
FLAGS += "--config.retrain.architecture=0,0"
RUNPY = """
import runpy, sys
sys.argv = ["host", *{flags!r}.split()]
try:
    runpy.run_module("difnas_jax.main", run_name="__main__", alter_sys=True)
except SystemExit as end:
    print("runpy ends with", end.code)
"""
STATE = """
import matplotlib
print("state:", x, os.getpid() == pid, matplotlib.rcParams["backend"])
"""


@pytest.fixture
def cell():
    """A function that runs a cell and returns what it prints."""
    started = manager.start_new_kernel(env=environment(PYTHONPATH=f"{ROOT}:tests"))

    def run(code):
        printed = []

        def hook(message):
            content = message["content"]
            printed.extend(content.get(name, "") for name in ("text", "evalue"))

        started[1].execute_interactive(code, timeout=120, output_hook=hook)
        return "".join(printed)

    yield run
    started[1].stop_channels()
    started[0].shutdown_kernel(now=True)


@pytest.mark.filterwarnings("default")  # of what reads and writes to the kernel
def test_a_run_leaves_the_notebook_as_it_is(tmp_path, cell):
    flags = f"{FLAGS} --workdir={tmp_path / 'run'}"
    assert cell("import os; x, pid = 41, os.getpid()") == ""
    first = cell(f"%run -m difnas_jax.main -- {flags}")
    assert "test accuracy: " in first and "report.html" in first
    again = cell(f"%run -m difnas_jax -- {flags}"), cell(RUNPY.format(flags=flags))
    assert all("retrain: complete, skipped" in printed for printed in again)
    assert "runpy ends with 0" in again[1]
    assert "error: --config" in cell("%run -m difnas_jax -- --config=nothing")
    assert cell(STATE).startswith("state: 41 True module://matplotlib_inline")
