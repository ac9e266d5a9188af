"""What a config describes: its space, wiring, budget and given architecture."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from difnas_jax import spaces
from difnas_jax.errors import InputError, require
from difnas_jax.runtime import artifacts
from difnas_jax.runtime.given_paths import given_path
from difnas_jax.runtime.latency_table import LatencyTable
from difnas_jax.runtime.markers import read_marker
from difnas_jax.runtime.metrics import say
from difnas_jax.search.problem import PREFIXES, Budget
from difnas_jax.spaces.base import Architecture, SearchSpace
from difnas_jax.spaces.costs import LATENCY, CostTable, cost_table
from difnas_jax.spaces.image import ImageSpace
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS, Wiring


def build_space(config: ConfigDict) -> ImageSpace:
    """The search space that the config names."""
    fields = config.space.to_dict()
    return spaces.build(fields.pop("name"), **fields)


def supernet_workdir(config: ConfigDict, workdir: Path) -> Path:
    """Where `supernet/` is: in the workdir, or in that of another run."""
    given = config.search.supernet
    return given_path("search.supernet", given) if given else workdir


def stage_workdir(name: str, config: ConfigDict, workdir: Path) -> Path:
    """Where a stage leaves its marker and what it writes."""
    return supernet_workdir(config, workdir) if name == "supernet" else workdir


def build_wiring(config: ConfigDict) -> Wiring:
    """The spaces that are sampled and searched under the config's layer indicator."""
    return LAYER_INDICATORS[config.method.layer_indicator](build_space(config))


def build_budget(config: ConfigDict) -> Budget:
    """The bounds on the found network."""
    return Budget.of(**limits(config))


def limits(config: ConfigDict) -> dict[str, float]:
    """The fields `search.min_<column>` and `search.max_<column>`; 0 is no bound.

    Those of latency are among them where a table of it is named.

    Raises:
      InputError: a bound on latency without a table.
    """
    found, is_known = {}, bool(config.search.latency)
    for name, limit in config.search.to_dict().items():
        if name.startswith(PREFIXES) and (is_known or not name.endswith(LATENCY)):
            found[name] = limit
        elif name.startswith(PREFIXES):
            expected = "0, or search.latency = a table of `difnas-jax latency`"
            require(not limit, f"search.{name}", expected, limit)
    return found


def build_costs(config: ConfigDict) -> CostTable:
    """What the networks cost that can be found; latency where a table is named.

    Raises:
      InputError: a table that is missing, damaged, or of another space.
    """
    space, path = build_wiring(config).searched, latency_file(config)
    return LatencyTable.read(path).costs(space) if path else cost_table(space)


def latency_file(config: ConfigDict) -> Path | None:
    """The table of latencies that the config names."""
    given = config.search.latency
    return given_path("search.latency", given) if given else None


def teacher_workdir(config: ConfigDict) -> Path | None:
    """The run whose network teaches that of this one."""
    given = config.retrain.teacher
    return given_path("retrain.teacher", given) if given else None


def find_given(config: ConfigDict, workdir: Path) -> None:
    """Name teacher and table of latencies so that they are found from any folder.

    Where they are gone, what the run kept of them takes their place; of a teacher only
    once it has taught, as its weights are not kept.
    """
    if path := latency_file(config):
        copy = workdir / artifacts.LATENCY
        found = copy if copy.exists() and not path.exists() else path
        config.search.latency = str(found.absolute())
    if path := teacher_workdir(config):
        done, kept = read_marker(workdir, "retrain"), workdir / artifacts.TEACHER
        is_gone = not (path / artifacts.RETRAIN_RESULT).exists()
        if is_gone and done.get("complete") and kept.exists():
            say(f"retrain.teacher: {path} has no network any more, which has taught")
            path = kept
        config.retrain.teacher = str(path.absolute())


def given_architecture(config: ConfigDict) -> Architecture | None:
    """What `retrain.architecture` asks for, or None where it is empty.

    Raises:
      InputError: not an architecture of the space, or one that is not connected.
    """
    given, space = config.retrain.architecture, build_space(config)
    return architecture_of(given, space, "retrain.architecture") if given else None


def architecture_of(text: str, space: SearchSpace, field: str) -> Architecture:
    """The architecture that a user wrote.

    Args:
      text: the op of each layer, all names or all indices, separated by commas.
      space: of the architecture.
      field: where it was written, for the error.

    Raises:
      InputError: not an architecture of the space, or one that is not connected.
    """
    ops = [op.strip() for op in text.split(",")]
    try:
        if all(op.isdecimal() for op in ops):
            architecture = space.validate([int(op) for op in ops])
        else:
            architecture = space.parse(ops)
    except InputError as error:
        text = str(error).removeprefix("architecture: ")
        raise InputError(f"{field}: {text}") from error
    fits = bool(space.is_connected(np.array([architecture])).all())
    expected = "a network in which the image reaches the classifier"
    require(fits, field, expected, repr(text))
    return architecture


def flat(config: ConfigDict, names: Iterable[str]) -> dict[str, Any]:
    """JSON values by dotted field name of these fields and whole sections."""
    values: dict[str, Any] = {}
    for name in names:
        value = field(config, name)
        items = value.to_dict() if isinstance(value, ConfigDict) else {"": value}
        for key, item in items.items():
            plain = list(item) if isinstance(item, tuple) else item
            values[f"{name}.{key}".rstrip(".")] = plain
    return values


def field(config: ConfigDict, name: str) -> Any:
    """The value of a dotted field name."""
    value: Any = config
    for part in name.split("."):
        value = value[part]
    return value
