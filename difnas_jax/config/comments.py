"""The comments of the fields of a config, read from the source that has them."""

import inspect
import re
import shlex
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from ml_collections import ConfigDict

from difnas_jax.config import fields, method_fields
from difnas_jax.config.build import flat

# Where fields get their defaults, and the sections that they are in.
SOURCES: tuple[tuple[Callable[[], ConfigDict], tuple[str, ...]], ...] = (
    (fields.training_fields, ("supernet.", "retrain.")),
    (method_fields.method_fields, ("method.",)),
    (fields.default, ("",)),
)
# In the order in which people read them; those before are in no section.
SECTIONS = ("space", "data", "method", "supernet", "search", "retrain")
ASSIGNMENT = re.compile(r' +\w+((?:\.\w+|\["\w+"\])+) = ')


def comments() -> dict[str, str]:
    """{dotted field: comment}, by section and in the order of the source.

    A comment is that of all fields that follow it up to the next one or an empty line.
    """
    found: dict[str, str] = {}
    for function, sections in SOURCES:
        for name, comment in _commented(inspect.getsource(function)):
            found |= {section + name: comment for section in sections}
    rank = {section: position for position, section in enumerate(SECTIONS)}
    order = sorted(found, key=lambda name: rank.get(name.partition(".")[0], -1))
    return {name: found[name] for name in order}


def _commented(source: str) -> Iterator[tuple[str, str]]:
    """The fields that have a comment, with it."""
    comment, goes_on = "", False
    for line in source.splitlines():
        text = line.strip()
        if text.startswith("#"):
            comment = f"{comment} {text[1:].strip()}" if goes_on else text[1:].strip()
        elif not text:
            comment = ""
        elif comment and (assigned := ASSIGNMENT.match(line)):
            yield re.sub(r'\["(\w+)"\]', r".\1", assigned[1])[1:], comment
        goes_on = text.startswith("#")


def changes(config: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """{dotted field: (its default, its value)} where these differ."""
    before, now = (flat(each, each) for each in (fields.default(), config))
    return {
        name: (before[name], now[name]) for name in before if before[name] != now[name]
    }


def as_flag(name: str, value: Any) -> str:
    """The flag that gives a field this value, quoted for a shell."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"--config.{name}={shlex.quote(text)}"


def described(config: ConfigDict) -> str:
    """Every field with its comment and its value, as flags that give just these."""
    lines, before = [], ""
    values, changed = flat(config, config), changes(config)
    for name, comment in comments().items():
        if comment != before:
            lines += ["", *(f"# {line}" for line in textwrap.wrap(comment, width=84))]
        before = comment
        default = f"  # default: {changed[name][0]}" if name in changed else ""
        lines.append(as_flag(name, values[name]) + default)
    return "\n".join(lines[1:])
