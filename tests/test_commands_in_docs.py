"""Every command in the documentation is run by a test, or marked as not run.

A block of commands (`sh`) or of Python is run here, in a folder that has what the pages
speak of, unless the line before it is one of these comments, which no reader sees:

    <!-- run by: tests/test_x.py::test_name; .ci/run: make test -->
    <!-- not run: needs a TPU -->

Of a command that is not run, the flags are parsed, and the config is checked, with its
data where they are there. So are those of the text of notebooks.
"""

import importlib
import importlib.util
import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from test_latency_costs import table_of

from difnas_jax import __main__ as entrance
from difnas_jax import checks, usage
from difnas_jax.config import default
from difnas_jax.config.build import flat
from difnas_jax.main import parse_flags
from difnas_jax.spaces import build

ROOT = Path(__file__).parents[1]
TOP = ("README.md", "CONTRIBUTING.md", "launch/README.md")
PAGES = [*(ROOT / name for name in TOP), *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>run by|not run): (?P<text>.+?) -->\n)?"
    r"^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
EXTRAS = "torch", "onnxruntime"
OURS = (["difnas-jax"], ["python", "-m", "difnas_jax"])


class Block(NamedTuple):
    """A fenced block of a page; `mark` is empty where it is run here."""

    mark: str
    text: str
    language: str
    code: str

    def commands(self):
        """Its commands, each as words."""
        joined = self.code.replace("\\\n", " ").splitlines()
        words = (shlex.split(line, comments=True) for line in joined)
        return [command for command in words if command]


def text_of(page):
    """Its Markdown; that of a notebook is in cells."""
    if page.suffix == ".md":
        return page.read_text()
    cells = json.loads(page.read_text())["cells"]
    words = ("".join(cell["source"]) for cell in cells if cell["cell_type"] != "code")
    return "\n\n".join(words)


def blocks(page):
    return [Block(**found.groupdict("")) for found in BLOCK.finditer(text_of(page))]


@pytest.fixture(scope="module")
def folder(small_run, tmp_path_factory):
    """What the pages speak of: a finished run, images, latencies, an own space."""
    made = tmp_path_factory.mktemp("docs")
    shutil.copytree(small_run, made / "runs" / "demo")
    with np.load(ROOT / "difnas_jax" / "data" / "digits8x8.npz") as digits:
        pixels, labels = digits["x"][:100, ..., 0] * 15, digits["y"][:100]
    for label, name in ((3, "three.png"), (7, "seven.png")):
        Image.fromarray(pixels[labels == label][0]).save(made / name)
    for place in itertools.product(("train", "test"), "abc", range(30)):
        path = made.joinpath("photos", *map(str, place)).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[0]).save(path)
    shutil.copytree(made / "photos", made / "my_images")
    shutil.copytree(made / "photos" / "train", made / "pictures")
    split = {"x_train": pixels, "y_train": labels, "x_test": pixels, "y_test": labels}
    np.savez(made / "mnist.npz", **split)
    digits = build("digits", image_size=16, image_channels=1, num_classes=10)
    table_of(digits, scale=0.01).save(made / "latency.json")
    (own,) = (b for b in blocks(ROOT / "docs" / "spaces.md") if b.language == "python")
    (made / "mine.py").write_text(own.code)
    return made


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_names_its_language(page):
    """So that no command hides in a block of another kind."""
    text = text_of(page)
    assert text.count("```") == 2 * len(blocks(page))
    assert {block.language for block in blocks(page)} <= {"sh", "python", "text"}
    rest = BLOCK.sub("", text)
    assert not re.search(r"^ {4}(python|difnas-jax|make|pip) ", rest, re.MULTILINE)
    assert "<!-- run by:" not in rest and "<!-- not run:" not in rest
    assert not [b for b in blocks(page) if b.mark and b.language == "text"]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_what_is_not_marked_runs(page, folder, tmp_path, monkeypatch, capsys):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # as of a program that is started here
    for name in {"model", "model.network"} & sys.modules.keys():
        del sys.modules[name]
    names = {}  # one reader runs the blocks of a page one after another
    for block in blocks(page):
        if not block.mark and block.language == "python":
            for library in EXTRAS:
                if re.search(rf"^(import|from) {library}\b", block.code, re.MULTILINE):
                    pytest.importorskip(library, reason=f"{library} is an extra")
            exec(block.code, names)
        elif not block.mark and block.language == "sh":
            for command in block.commands():
                program = next(p for p in OURS if command[: len(p)] == p)
                assert status(command[len(program) :]) == 0, capsys.readouterr().err


def status(argv):
    """The exit code of our program."""
    try:
        return entrance.main(argv)
    except SystemExit as ended:
        return ended.code or 0


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_what_is_run_elsewhere_is_there(page):
    marks = [block.text for block in blocks(page) if block.mark == "run by"]
    for place in "; ".join(marks).split("; ") if marks else ():
        path, _, name = re.split(r"(::|: )", place, maxsplit=1)
        lines = (ROOT / path).read_text().splitlines()
        assert {name, f"def {name}"} & {line.partition("(")[0] for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_what_is_not_run_would_start(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    for block in blocks(page):
        if block.mark and block.language == "python":
            compile(block.code, str(page), "exec")
        for command in block.commands() if block.language == "sh" else ():
            check(command)


def check(command):
    """A command is one of a program that is known here, with flags that it takes."""
    for program in OURS:
        if command[: len(program)] == program:
            return check_ours(command[len(program) :])
    if command[:2] == ["python", "-m"]:
        return check_benchmark(*command[2:])
    if command[0] == "make":
        assert all(
            f"\n{name}:" in (ROOT / "Makefile").read_text() for name in command[1:]
        )
    elif command[:2] in (["pip", "install"], ["pip", "wheel"]):
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = re.findall(r"\[(\w+)\]", " ".join(command))
        assert set(extras) <= known["optional-dependencies"].keys()
    elif any(word.startswith("launch/") for word in command):
        check_script(command)
    else:
        known = ".ci/run", "docker", "mkdir", "tensorboard", "tfds"
        assert command[0] in known, f"unknown program: {command}"


def check_ours(argv):
    if argv and argv[0] in usage.COMMANDS:
        module = importlib.import_module(f"difnas_jax.commands.{argv[0]}")
        parse = getattr(module, "parse_flags", None) or module.parse_arguments
        parse(argv[1:])
    elif argv not in ([], ["--help"], ["--version"]):
        flags, config = parse_flags(argv)
        checks.check(config)
        if config.data.source == "digits" or Path(config.data.path or "none").exists():
            checks.check_run(config, flags.workdir or Path("runs/new"))


def check_benchmark(module, *flags):
    """The module is there, and its package has the names of the flags."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    sources = "".join(
        path.read_text() for path in Path(spec.origin).parent.glob("*.py")
    )
    for flag in flags:
        assert flag.partition("=")[0] in sources or not flag.startswith("--")


def check_script(command):
    """A script of `launch/` says what it would do."""
    script = next(word for word in command if word.startswith("launch/"))
    before, after = command[: command.index(script)], command[command.index(script) :]
    words = ["env", *before, "bash", str(ROOT / script), "--dry-run", *after[1:]]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_what_a_sentence_names_would_start(page, folder, monkeypatch):
    """Commands and fields between words; in a command, capitals stand for a value."""
    monkeypatch.chdir(folder)
    text = BLOCK.sub("", text_of(page)).replace("\\\n", " ")
    inline = re.findall(r"`((?:difnas-jax|python -m) [^`]+)`", text)
    indented = re.findall(r"^ {4,}((?:difnas-jax|python -m) .+)$", text, re.MULTILINE)
    names = {f"difnas-jax {name}" for name in usage.COMMANDS}
    for command in {*inline, *indented} - names:
        if not re.search(r"\b[A-Z]{2,}\b", command):
            check(shlex.split(command))
    named = re.findall(r"--config\.([a-z][\w.]*)", text)
    assert set(named) <= {*flat(default(), default())}
