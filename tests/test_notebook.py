"""In a real kernel of Jupyter: a run is a guest there, and the notebooks teach."""

import base64
import io
import json
import re

import numpy as np
import pytest
from jobs import ROOT, environment
from PIL import Image

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
def messages(tmp_path):
    """A function that runs a cell and returns what it sends, in an empty folder."""
    variables = environment(
        PYTHONPATH=f"{ROOT}:{ROOT}/tests",
        XLA_FLAGS=None,  # the notebooks train, and what is compiled quickly is slow
        OPENBLAS_NUM_THREADS="1",  # they multiply small matrices, many times
    )
    kernel, client = manager.start_new_kernel(
        startup_timeout=300, env=variables, cwd=str(tmp_path)
    )

    def run(code):
        sent = []
        hook = sent.append
        client.execute_interactive(code, timeout=300, output_hook=hook)
        return sent

    yield run
    client.stop_channels()
    kernel.shutdown_kernel(now=True)


@pytest.fixture
def cell(messages):
    """A function that runs a cell and returns what it prints."""

    def run(code):
        contents = [message["content"] for message in messages(code)]
        texts = (one.get(name, "") for one in contents for name in ("text", "evalue"))
        return "".join(texts)

    return run


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


# What a learner may wait for on two cores; both take less than half of it.
CPU_SECONDS = 240
NOTEBOOKS = [ROOT / "notebooks" / f"{name}.ipynb" for name in ("quickstart", "theory")]


def cells(path, kind):
    """The sources of the cells of a kind."""
    found = json.loads(path.read_text())["cells"]
    return ["".join(one["source"]) for one in found if one["cell_type"] == kind]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    """In the format 4.5, which gives every cell a name; and of no machine."""
    notebook = json.loads(path.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"].keys() == {"kernelspec", "language_info"}
    names = [one["id"] for one in notebook["cells"]]
    assert len(names) == len(set(names))
    for one in notebook["cells"]:
        code = one["cell_type"] == "code"
        assert one["metadata"] == {} and all(isinstance(t, str) for t in one["source"])
        assert one.keys() - {"id", "cell_type", "metadata", "source"} == (
            {"outputs", "execution_count"} if code else set()
        )
        assert not one.get("outputs") and one.get("execution_count") is None
    text = "".join(cells(path, "code") + cells(path, "markdown"))
    assert not re.search(r"(?<![\w.])/(home|root|tmp|work|usr|Users)/", text)


@pytest.fixture(scope="module")
def spent():
    """Notebook -> seconds of CPU time, of those that have run."""
    return {}


def picture(message):
    """The bytes of a picture that a cell has drawn, if any."""
    data = message["content"].get("data", {})
    if svg := data.get("image/svg+xml"):
        assert svg.count("<path") > 20
        return svg.encode()
    return base64.b64decode(data.get("image/png", ""))


@pytest.mark.filterwarnings("default")  # of what reads and writes to the kernel
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path, messages, cell, spent):
    """Without an error or a warning, with every figure that it promises, in time."""
    for code in cells(path, "code"):
        sent = messages(code)
        errors = [m["content"] for m in sent if m["msg_type"] == "error"]
        warned = [m for m in sent if m["content"].get("name") == "stderr"]
        assert not errors and not warned, code
        drawn = list(filter(None, map(picture, sent)))
        assert len(drawn) == len(re.findall(r"plt\.subplots|SVG\(", code)), code
        for png in (one for one in drawn if one.startswith(b"\x89PNG")):
            with Image.open(io.BytesIO(png)) as image:
                pixels = np.asarray(image.convert("L"))
            # Neither blank nor a frame alone.
            assert min(pixels.shape) > 100 and np.mean(pixels < 250) > 0.01
            assert len(np.unique(pixels)) > 50
    # Of the kernel and of the processes that it started, which have ended.
    spent[path] = float(cell("import os; print(sum(os.times()[:4]))"))
    assert sum(spent.values()) < CPU_SECONDS, spent
