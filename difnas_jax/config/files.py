"""Config files: Python files with `get_config(arg)`, found by path or by name.

The files in `configs/` come with the package and have names: `digits`, `mbv2`,
`baselines/spos`, or `spos` as that is unambiguous.

Why not `ml_collections.config_flags`: it defines flags of absl, which are global to the
process and which only `absl.app` parses; unparsed flags broke the worker processes of
Grain and notebooks. `config/overrides.py` names other reasons.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from ml_collections import ConfigDict

from difnas_jax.errors import InputError, one_line

PACKAGE = Path(__file__).parents[1]


def shipped_configs() -> dict[str, Path]:
    """{name: file} of the configs that come with the package.

    They are inside an installed package and beside the package in a checkout.
    """
    inside, beside = PACKAGE / "configs", PACKAGE.parent / "configs"
    folder = inside if inside.is_dir() else beside
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*.py"))
    }


def load_config(name: str) -> ConfigDict:
    """Call `get_config(arguments)` of `FILE[:ARGUMENTS]` or `NAME[:ARGUMENTS]`.

    Raises:
      InputError: no such file, no `get_config`, or arguments that it does not know.
    """
    file, _, arguments = name.partition(":")
    return _read(_find(file), arguments)


def _read(path: Path, arguments: str) -> ConfigDict:
    spec = importlib.util.spec_from_file_location("experiment", path)
    if spec is None or spec.loader is None:
        raise InputError(f"--config: expected a Python file, got {str(path)!r}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config(arguments)
        if not isinstance(config, ConfigDict):
            raise TypeError(f"it returns a {type(config).__name__}")
    except InputError:
        raise
    # The file is the user's: whatever it raises is bad input.
    except Exception as error:
        raise InputError(
            f"--config: expected a file whose get_config(arg) returns a config of "
            f"difnas_jax.config.default, {str(path)!r} fails "
            f"({type(error).__name__}: {one_line(error)})"
        ) from error
    return config


def _find(file: str) -> Path:
    """The file of this path or, where there is none, of the shipped config so named."""
    if os.path.isfile(file):
        return Path(file)
    known = shipped_configs()
    found = [path for name, path in known.items() if file in (name, path.stem)]
    if len(found) != 1:
        raise InputError(
            f"--config: expected a Python file or one of {', '.join(known)}; got "
            f"{file!r}"
        )
    return found[0]


def experiment(arg: str | None) -> ConfigDict:
    """The config of an experiment, for a config file that changes its method only.

    Args:
      arg: a shipped experiment, `mbv2` if empty, and then its own arguments:
        `digits,smoke`.

    Raises:
      InputError: no such experiment, or what `load_config` raises.
    """
    name, _, arguments = (arg or "mbv2").partition(",")
    known = {name: path for name, path in shipped_configs().items() if "/" not in name}
    if name not in known:
        raise InputError(
            f"config argument {name!r}: unknown; expected first the experiment, one of "
            + ", ".join(known)
        )
    return _read(known[name], arguments)
