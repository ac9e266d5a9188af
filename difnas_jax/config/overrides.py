"""Text to typed config values: arguments of config files and command-line overrides.

Why not `ml_collections.config_flags`: a wrong flag has to be one line that names the
field, what was expected and what was given, not a traceback or a page of usage, and
`475e6` is an integer here. `config/files.py` names another reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ml_collections import ConfigDict

from difnas_jax.errors import InputError


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
    *sections, last = name.split(".")
    section, path = config, "the config"
    for part in (*sections, last):
        if not isinstance(section, ConfigDict) or part not in section:
            there = list(section) if isinstance(section, ConfigDict) else []
            raise InputError(
                f"--config.{name}: unknown field; {path} has "
                + (", ".join(sorted(there)) or "no fields")
            )
        parent, section, path = section, section[part], part
    if isinstance(section, ConfigDict):
        raise InputError(
            f"--config.{name}: expected one of its fields, {', '.join(section)}"
        )
    parent[last] = _parsed(name, section, text)


def override_by_flags(config: ConfigDict, flags: Sequence[str]) -> None:
    """Set fields from flags `--config.NAME=TEXT`.

    Raises:
      InputError: a flag of another form, or what `override` raises.
    """
    for flag in flags:
        name, given, text = flag.removeprefix("--config.").partition("=")
        if not flag.startswith("--config.") or not given:
            raise InputError(
                f"{flag}: expected a flag --config.FIELD=VALUE; see --help"
            )
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
