"""Config files: Python files with `get_config(arg)`."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from ml_collections import ConfigDict

from difnas_jax.errors import InputError


def load_config(name: str) -> ConfigDict:
    """Call `get_config(arguments)` of `FILE[:ARGUMENTS]`.

    Raises:
      InputError: no such file, no `get_config`, or arguments that it does not know.
    """
    file, _, arguments = name.partition(":")
    spec = importlib.util.spec_from_file_location("experiment", file)
    if not os.path.isfile(file) or spec is None or spec.loader is None:
        raise InputError(f"--config: expected a Python file, there is no {file!r}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config(arguments)
        if not isinstance(config, ConfigDict):
            raise TypeError(f"it gives a {type(config).__name__}")
    except InputError:
        raise
    except (
        Exception
    ) as error:  # the file is the user's: whatever it raises is bad input
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"--config: expected a file whose get_config(arg) gives a config of "
            f"difnas_jax.config.default, {file!r} fails ({reason})"
        ) from error
    return config


def experiment(folder: Path, arg: str | None, default: str = "mbv2") -> ConfigDict:
    """The config of an experiment, for a config file that changes the method only.

    Args:
      folder: where the files of the experiments are.
      arg: name of one, then its own arguments: `digits,smoke`; None is the default.
      default: the experiment that is meant if none is named.

    Raises:
      InputError: no such experiment, or what `load_config` raises.
    """
    name, _, arguments = (arg or default).partition(",")
    names = sorted(path.stem for path in folder.glob("*.py"))
    if name not in names:
        raise InputError(
            f"config argument {name!r}: unknown; expected first the experiment, one of "
            + ", ".join(names)
        )
    return load_config(f"{folder / name}.py:{arguments}")
