"""What the program says of itself: help, fields, version, hints."""

import ast
import os
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import difnas_jax
from difnas_jax import __main__ as entrance
from difnas_jax import usage
from difnas_jax.commands import predict
from difnas_jax.config import comments, default, load_config
from difnas_jax.config.build import flat
from difnas_jax.config.comments import described
from difnas_jax.config.files import override_by_flags, shipped_configs
from difnas_jax.main import main
from difnas_jax.spaces import SPACES

ROOT = Path(__file__).parents[1]


def tables(text):
    """{title: {name: beginning of what is said of it}} of the lists of the help."""
    found = {}
    for block in text.split("\n\n"):
        title, *lines = block.splitlines()
        rows = [re.match(r"  (\S+)  +(.*)", line) for line in lines]
        listed = {row[1]: row[2] for row in rows if row}
        found[title.partition(" ")[0]] = listed
    return found


@pytest.mark.parametrize("program", [entrance.main, main])
def test_help_lists_commands_configs_methods_spaces_and_fields(program, capsys):
    assert program(["--config=digits", "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 88
    listed, package = tables(text), ROOT / "difnas_jax"
    files = {path.stem: path for path in (package / "commands").glob("[a-z]*.py")}
    assert listed["commands"].keys() == files.keys() == set(usage.COMMANDS)
    shown = listed["commands"] | listed["configs"] | listed["methods"]
    for name, path in {**files, **shipped_configs()}.items():
        summary = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
        assert summary and summary.startswith(shown.pop(name))
    assert not shown
    assert {"baselines/spos", "main_effect"} <= listed["methods"].keys()
    assert {"digits", "nas_bench_201"} <= listed["configs"].keys()
    assert listed["spaces"].keys() == SPACES.keys()
    for row in listed["spaces"].values():
        assert re.fullmatch(r"\d+ layers, [\d,]+ networks", row)
    assert "--help-config" in text and "difnas_jax/config/fields.py" in text
    for folder in ("launch", "notebooks"):
        assert f"\n  {ROOT / folder}" in text
    for flag in ("--workdir", "--dry-run", "--no-distributed", "--join-timeout"):
        assert flag in text


def test_help_and_version_need_no_jax():
    """The import of JAX takes seconds."""
    code = (
        "import sys, difnas_jax\n"
        "assert difnas_jax.config.load_config('digits').seed == 0\n"
        "from difnas_jax.__main__ import main\n"
        "assert main(['-h']) == 0 and difnas_jax.__version__\n"
        "assert not {'jax', 'tensorflow', 'torch'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_help_survives_a_reader_that_is_gone_and_a_full_disk():
    command = [sys.executable, "-m", "difnas_jax", "--help"]
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as gone:
        done = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: standard output: No space left on device\n"


@pytest.mark.parametrize("first", ["compare", "--config=digits"])
def test_the_keyboard_stops_a_program_that_still_imports(first, monkeypatch, capsys):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("difnas_jax.main.main", stopped)
    monkeypatch.setattr("difnas_jax.commands.compare.main", stopped)
    assert entrance.main([first]) == 130
    assert capsys.readouterr().err == "stopped before anything was begun\n"


def test_every_field_has_a_comment():
    explained, fields = comments.comments(), flat(default(), default())
    assert explained.keys() == fields.keys()
    assert all(len(comment.split()) > 2 for comment in explained.values())
    assert explained["search.max_macs"].startswith("Bounds on the costs")
    assert explained["retrain.warmup_steps"].endswith("over `warmup_steps`.")
    assert "`plain`" in explained["method.update"]


def test_a_comment_ends_at_an_empty_line_and_at_the_next_one():
    source = (
        "    # One\n    # two.\n    config.a = 1\n    config.b = 2\n\n"
        '    config.c = 3\n    # Three.\n    x["d"] = 4\n'
    )
    found = dict(comments._commented(source))
    assert found == {"a": "One two.", "b": "One two.", "d": "Three."}


@pytest.mark.parametrize("name", ["digits", "mbv2:paper", "baselines/spos:digits"])
def test_the_printed_fields_are_the_flags_that_give_the_config(name, capsys):
    assert main([f"--config={name}", "--help-config", "--config.seed=7"]) == 0
    printed = capsys.readouterr().out
    again = default()
    override_by_flags(again, shlex.split(printed, comments=True))
    expected = load_config(name)
    expected.seed = 7
    assert again.to_dict() == expected.to_dict()
    assert "--config.seed=7  # default: 0" in printed.splitlines()


def test_without_a_config_the_fields_are_those_of_the_default(capsys):
    assert main(["--help-config"]) == 0
    printed = capsys.readouterr().out.rstrip("\n")
    assert printed == described(default()) and "# default:" not in printed


def test_flags_of_commands_have_no_abbreviations(capsys):
    assert predict.main(["run", "one.png", "--to=1"]) == 2
    assert "--to=1; see --help" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys):
    assert difnas_jax.__version__ == metadata.version("difnas_jax")
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"difnas_jax {difnas_jax.__version__}\n"


def test_the_package_is_typed():
    assert (ROOT / "difnas_jax" / "py.typed").exists()


def test_no_hint_installs_the_package_from_an_index():
    """It is on none: another package could take the name."""
    named = re.compile(r"pip install[^\n]* ['\"]?difnas[_-]jax")
    kinds = (".py", ".md", ".sh", ".toml", ".yaml", "")
    for place in (ROOT / ".ci", *ROOT.glob("[!.]*")):
        for path in (place, *place.rglob("*")):
            if path.suffix in kinds and path.is_file():
                assert not named.search(path.read_text(errors="ignore")), path
