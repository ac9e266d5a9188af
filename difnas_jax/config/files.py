"""Config files, which are found by path or by name, and overrides of their fields.

A config file is a Python file with `get_config(arg)`. The files in `configs/` come with
the package and have names: `digits`, `mbv2`, `baselines/spos`, or `spos` as that is
unambiguous.

Why not `ml_collections.config_flags`: it defines flags of absl, which are global to the
process and which only `absl.app` parses; unparsed flags broke the worker processes of
Grain and notebooks. Here a wrong flag is one line that names the field, what was
expected and what was given, not a traceback or a page of usage, and `475e6` is an
integer.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from difnas_jax.config.fields import default
from difnas_jax.config.modules import execute, modules_beside, place_of
from difnas_jax.errors import InputError, one_line
from difnas_jax.runtime.files import damage_as_input_error, read_json
from difnas_jax.runtime.given_paths import given_path

PACKAGE = Path(__file__).parents[1]


def shipped(name: str) -> Path:
    """A folder that comes with the package: `configs`, `launch` or `notebooks`.

    It is inside an installed package and beside the package in a checkout.
    """
    inside, beside = PACKAGE / name, PACKAGE.parent / name
    return inside if inside.is_dir() else beside


def shipped_configs() -> dict[str, Path]:
    """{name: file} of the configs that come with the package."""
    folder = shipped("configs")
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*.py"))
    }


def load_config(name: str) -> ConfigDict:
    """Call `get_config(arguments)` of `FILE[:ARGUMENTS]` or `NAME[:ARGUMENTS]`.

    A file is taken before a shipped config of the same name.

    Raises:
      InputError: no such file, no `get_config`, or arguments that it does not know.
    """
    file, _, arguments = name.partition(":")
    path = given_path("--config", file)
    if os.path.isfile(path):
        return _read(path, arguments)
    known = shipped_configs()
    found = [path for name, path in known.items() if file in (name, path.stem)]
    if len(found) != 1:
        expected = f"a Python file or one of {', '.join(known)}"
        raise InputError(f"--config: expected {expected}; got {file!r}")
    return _read(found[0], arguments)


def _read(path: Path, arguments: str) -> ConfigDict:
    try:
        with modules_beside(path):
            config = execute(path).get_config(arguments)
        if not isinstance(config, ConfigDict):
            raise TypeError(f"get_config returns a {type(config).__name__}")
        if lacks := list(missing(config, default())):
            raise TypeError(f"its config lacks {', '.join(lacks[:5])}")
    except InputError:
        raise
    # The file is the user's: whatever it raises is bad input, and it has no exit code.
    except (Exception, SystemExit) as error:
        raise InputError(
            f"--config: expected a file whose get_config(arg) returns a config of "
            f"difnas_jax.config.default, {place_of(error, path)} fails "
            f"({type(error).__name__}: {one_line(error)})"
        ) from error
    return config


def missing(config: ConfigDict, expected: ConfigDict) -> Iterator[str]:
    """The fields and sections that a config does not have."""
    for name, value in expected.items():
        if name not in config:
            yield name
        elif isinstance(value, ConfigDict) and isinstance(config[name], ConfigDict):
            yield from (f"{name}.{field}" for field in missing(config[name], value))


def saved_config(path: Path) -> ConfigDict:
    """The config of a run, from its `config.json`.

    Raises:
      InputError: the file is missing or damaged, or not of this version.
    """
    values, config = read_json(path), default()
    if differ := sorted(set(_names(values)) ^ set(_names(config.to_dict()))):
        raise InputError(
            f"{path}: expected the fields of a config of this version, got one of "
            f"another version (differs in {', '.join(differ[:5])}); use the version "
            "that wrote it"
        )
    with damage_as_input_error(path, "every field of a config"):
        _fill(config, values)
    return config


def _names(values: Mapping[str, Any]) -> Iterator[str]:
    """Dotted names of all fields."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from (f"{name}.{below}" for below in _names(value))
        else:
            yield name


def _fill(config: ConfigDict, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            _fill(config[name], value)
        else:
            config[name] = tuple(value) if isinstance(value, list) else value


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
        names = ", ".join(known)
        raise InputError(f"config argument {name!r}: unknown; expected one of {names}")
    return _read(known[name], arguments)


def parse_arg(arg: str | None, **defaults: Any) -> ConfigDict:
    """Typed arguments of a config file: `--config=digits:smoke,seed=3`.

    Args:
      arg: the text behind the colon, or None.
      **defaults: the arguments that it knows, with the types of these values. A
        boolean is true where its name is given without a value.

    Returns:
      The arguments with their values.

    Raises:
      InputError: an unknown argument or a value of the wrong type.
    """
    values = dict(defaults)
    for item in filter(None, (arg or "").split(",")):
        name, given, text = item.partition("=")
        if name not in defaults:
            known = ", ".join(defaults) or "none"
            raise InputError(f"config argument {name!r}: unknown; there are: {known}")
        bare = "true" if isinstance(defaults[name], bool) and not given else text
        values[name] = _parsed(f"config argument {name!r}", defaults[name], bare)
    return ConfigDict(values)


def override(config: ConfigDict, name: str, text: str) -> None:
    """Set a field from text, as `--config.NAME=TEXT` does.

    Args:
      config: changed in place.
      name: dotted field name.
      text: a value of the field's type; the parts of a tuple are split by commas.

    Raises:
      InputError: an unknown field or a value of another type.
    """
    parent, value, path = config, config, "the config"
    for part in name.split("."):
        fields = sorted(value) if isinstance(value, ConfigDict) else []
        if part not in fields:
            known = ", ".join(fields) or "no fields"
            raise InputError(f"--config.{name}: unknown field; {path} has {known}")
        parent, value, path = value, value[part], part
    if isinstance(value, ConfigDict):
        known = ", ".join(value)
        raise InputError(f"--config.{name}: expected one of its fields, {known}")
    parent[path] = _parsed(name, value, text)


def override_by_flags(config: ConfigDict, flags: Sequence[str]) -> None:
    """Set fields from flags `--config.NAME=TEXT`.

    Raises:
      InputError: a flag of another form, or what `override` raises.
    """
    for flag in flags:
        name, given, text = flag.removeprefix("--config.").partition("=")
        if not flag.startswith("--config.") or not given:
            raise InputError(f"{flag}: expected --config.FIELD=VALUE; see --help")
        override(config, name, text)


def _parsed(name: str, current: Any, text: str) -> Any:
    """The text as a value of the same type as the current one."""
    kind = type(current)
    try:
        return PARSERS[kind](text)
    except (ValueError, KeyError, OverflowError) as error:
        raise InputError(f"{name}: expected {kind.__name__}, got {text!r}") from error


def _parse_int(text: str) -> int:
    """An integer, also in the form 475e6."""
    value = float(text) if "e" in text.lower() else int(text)
    if value != int(value):
        raise ValueError("not an integer")
    return int(value)


def _parse_tuple(text: str) -> tuple[Any, ...]:
    """Numbers or strings, split by commas, possibly in brackets and quotes."""
    items = [item.strip("\"' ") for item in text.strip("()[] ").split(",")]
    return tuple(_number_or_string(item) for item in items if item)


def _number_or_string(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


PARSERS: dict[type, Callable[[str], Any]] = {
    bool: lambda text: {"true": True, "false": False}[text.lower()],
    float: float,
    int: _parse_int,
    str: str,
    tuple: _parse_tuple,
}
