"""Config files are modules: with dataclasses, and with modules beside them."""

import sys

import pytest

from difnas_jax.config import files, modules
from difnas_jax.errors import InputError

TEXT = """
from __future__ import annotations
import dataclasses
import widths
from difnas_jax.config import default

@dataclasses.dataclass(frozen=True)
class Widths:
    first: int = widths.FIRST

def get_config(arg=None):
    import late
    config = default()
    config.seed = Widths().first + late.MORE
    return config
"""


def test_each_file_has_the_modules_beside_it_and_leaves_no_trace(tmp_path):
    """Also a second one of the same name, and one that changed meanwhile."""
    before, path = {*sys.modules}, [*sys.path]
    for number, name in enumerate(("a", "b", "a")):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "mine.py").write_text(TEXT)
        (folder / "widths.py").write_text(f"FIRST = {number}")
        (folder / "late.py").write_text("MORE = 10")
        assert files.load_config(f"{folder}/mine.py").seed == number + 10
        assert sys.path == path
    own = sys.modules.keys() - before
    assert len(own) == 2 and all(name.startswith(modules.PREFIX) for name in own)
    assert not list(tmp_path.rglob("mine.*.pyc"))


def test_a_file_that_fails_is_no_module(tmp_path):
    (tmp_path / "mine.py").write_text("1 / 0")
    before, path = {*sys.modules}, [*sys.path]
    try:
        files.load_config(f"{tmp_path}/mine.py")
    except files.InputError:
        pass
    assert {*sys.modules} == before and sys.path == path


def test_a_config_that_lacks_fields_is_refused(tmp_path):
    (tmp_path / "less.py").write_text(
        "from ml_collections import ConfigDict\n"
        "from difnas_jax.config import default\n"
        "def get_config(arg):\n"
        "    values = default().to_dict()\n"
        "    del values['search'], values['data']['path']\n"
        "    return ConfigDict(values)\n"
    )
    with pytest.raises(InputError, match=r"its config lacks data\.path, search\b"):
        files.load_config(str(tmp_path / "less.py"))
