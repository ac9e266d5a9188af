"""`run(config, workdir)`: the stages in order, each skipped when its work is there.

A stage leaves a marker `stages/<name>.json` with the part of the config that its result
depends on and checksums of the artefacts that it read. The same command run again skips
what is complete and continues what was killed; a workdir of another config is refused.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from difnas_jax import artifacts, data
from difnas_jax import config as config_lib
from difnas_jax.costs import cost_table
from difnas_jax.distributed import check_divides, is_main_process
from difnas_jax.errors import InputError
from difnas_jax.models.initializers import DEPTHWISE_RULES, KERNEL_RULES
from difnas_jax.optim import SCHEDULES, TRAINABLE
from difnas_jax.paths import SAMPLERS
from difnas_jax.search.budget import check_reachable
from difnas_jax.search.scores import SCORES
from difnas_jax.spaces import SPACES, SearchSpace
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS
from difnas_jax.stages import indicator, report, retrain, search, supernet
from difnas_jax.steps import BATCHES
from difnas_jax.writer import say

CHOICES: dict[str, Iterable[str]] = {
    "space.name": SPACES,
    "data.source": data.SOURCES,
    "method.kernels": KERNEL_RULES,
    "method.depthwise": DEPTHWISE_RULES,
    "method.trainable": TRAINABLE,
    "method.sampling": SAMPLERS,
    "method.batch": BATCHES,
    "method.layer_indicator": LAYER_INDICATORS,
    "method.score": SCORES,
    "supernet.schedule": SCHEDULES,
    "retrain.schedule": SCHEDULES,
    "retrain.kernels": KERNEL_RULES,
}


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage and what it depends on.

    Attributes:
      run: (config, workdir) -> None.
      fields: config fields, or whole sections, that its result depends on.
      reads: artefacts of earlier stages; those that are absent are left out.
      writes: artefacts that are there when it is complete.
    """

    run: Callable[[ConfigDict, Path], None]
    fields: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]


TRAINED_BY = ("seed", "space", "data", "supernet") + tuple(
    f"method.{name}"
    for name in (
        *("kernels", "depthwise", "trainable", "sampling"),
        *("batch", "layer_indicator"),
    )
)
SEARCHED_BY = (*TRAINED_BY, "search", "method.score")

STAGES: dict[str, Stage] = {
    "supernet": Stage(
        supernet.run,
        TRAINED_BY,
        (),
        ("supernet/checkpoints", "supernet/metrics.jsonl"),
    ),
    "indicator": Stage(
        indicator.run,
        TRAINED_BY,
        (),
        (artifacts.INDICATOR,),
    ),
    "search": Stage(
        search.run,
        SEARCHED_BY,
        (artifacts.INDICATOR,),
        (
            *(artifacts.SEARCH_HISTORY, artifacts.CANDIDATES),
            *(artifacts.PARETO, artifacts.BEST),
        ),
    ),
    "retrain": Stage(
        retrain.run,
        ("seed", "space", "data", "retrain"),
        (artifacts.BEST,),
        ("retrain/checkpoints", "retrain/metrics.jsonl", artifacts.RETRAIN_RESULT),
    ),
    "report": Stage(
        report.run,
        (*SEARCHED_BY, "retrain"),
        (artifacts.INDICATOR, artifacts.CANDIDATES, artifacts.RETRAIN_RESULT),
        (artifacts.REPORT, artifacts.RESULTS, artifacts.FIGURES),
    ),
}

# How often something is written changes no result.
HOUSEKEEPING = ("log_every", "checkpoint_every", "keep_checkpoints", "evaluate_every")


@dataclasses.dataclass(frozen=True)
class Results:
    """What a run found; `values` are those of `results.json`.

    Attributes:
      workdir: where everything is.
      values: architecture, MACs, parameters, score, test accuracy and so on; a value
        whose stage did not run is None.
    """

    workdir: Path
    values: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        """A value by its name."""
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    def lines(self) -> list[str]:
        """The values that matter, for people."""
        shown = {
            "architecture": _joined(self.ops),
            "op indices": _joined(self.architecture),
            "MACs": _counted(self.macs),
            "parameters": _counted(self.params),
            "score": None if self.score is None else f"{self.score:.6g}",
            "test accuracy": _percent(self.test_accuracy),
            "report": self.report,
        }
        return [f"{name}: {text}" for name, text in shown.items() if text is not None]

    def _repr_html_(self) -> str:
        rows = (line.split(": ", 1) for line in self.lines())
        cells = "".join(f"<tr><th>{a}</th><td>{b}</td></tr>" for a, b in rows)
        return f"<table>{cells}</table>"


def _joined(values: Iterable[Any] | None) -> str | None:
    return None if values is None else " ".join(map(str, values))


def _counted(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.2f} %"


def run(config: ConfigDict, workdir: str | Path) -> Results:
    """Run the stages of the config that are not complete in the workdir.

    Args:
      config: see `difnas_jax.config.default`.
      workdir: made if needed.

    Returns:
      The results of all stages that are complete.

    Raises:
      InputError: bad config, data or artefacts.
      TrainingError: a training broke down.
    """
    workdir = Path(workdir)
    check(config)
    check_workdir(config, workdir)
    if is_main_process():
        artifacts.write_json(workdir / "config.json", config.to_dict())
    for name in config_lib.chosen_stages(config):
        run_stage(name, config, workdir)
    return Results(workdir, report.collect(config, workdir))


def check(config: ConfigDict) -> None:
    """Check the whole config before any work is done.

    Raises:
      InputError: naming the field, what is allowed and what came.
    """
    config_lib.check_numbers(config)
    for name, allowed in CHOICES.items():
        config_lib.check_choice(config, name, allowed)
    wiring, stages = config_lib.build_wiring(config), config_lib.chosen_stages(config)
    if "search" in stages:
        space = wiring.searched
        check_reachable(config_lib.build_budget(config), cost_table(space), space)
        search.settings(config)
    config_lib.given_architecture(config)
    for group in ("supernet", "retrain"):
        check_divides(f"{group}.batch_size", config[group].batch_size)
        if group in stages:
            data.check(config)
    check_batch_of_paths(config, wiring.sampled)


def check_batch_of_paths(config: ConfigDict, space: SearchSpace) -> None:
    """Refuse a batch that cannot be shared among the paths of an update.

    Raises:
      InputError: naming the batch size and the number of paths.
    """
    sampler, share = SAMPLERS[config.method.sampling], BATCHES[config.method.batch]
    paths = jax.eval_shape(sampler(space), jax.random.key(0)).shape[0]
    size = config.supernet.batch_size
    labels = {"label": jax.ShapeDtypeStruct((size,), jnp.int32)}
    try:
        jax.eval_shape(lambda batch: share(batch, jnp.asarray(0), paths), labels)
    except TypeError as error:
        raise InputError(
            f"supernet.batch_size: expected a multiple of the {paths} paths of an "
            f"update (method.batch = {config.method.batch!r}), got {size}"
        ) from error


def check_workdir(config: ConfigDict, workdir: Path) -> None:
    """Refuse a workdir that holds artefacts of another config.

    Raises:
      InputError: naming the first field that differs.
    """
    if workdir.exists() and not workdir.is_dir():
        raise InputError(f"--workdir: expected a folder, {workdir} is a file")
    for name, stage in STAGES.items():
        marker = _read_marker(workdir, name)
        then, now = marker.get("config", {}), _dependencies(stage, config)
        for field in sorted(then.keys() & now.keys()):
            if then[field] != now[field]:
                raise InputError(
                    f"--workdir: {workdir} holds the {name} stage of another config: "
                    f"{field} is {then[field]!r} there and {now[field]!r} here; use "
                    "another --workdir or delete this one"
                )


def run_stage(name: str, config: ConfigDict, workdir: Path) -> None:
    """Run one stage, unless it is complete for this config and these inputs."""
    stage, marker = STAGES[name], _read_marker(workdir, name)
    inputs = _checksums(workdir, stage.reads)
    same_inputs = marker.get("inputs") == inputs
    written = all((workdir / path).exists() for path in stage.writes)
    if marker.get("complete") and same_inputs and written:
        say(f"{name}: complete, skipped")
        return
    if is_main_process() and marker and not same_inputs:
        _remove(workdir, stage.writes)
    seconds = marker.get("seconds", 0.0) if same_inputs else 0.0
    marker = {
        "stage": name,
        "complete": False,
        "seconds": seconds,
        "config": _dependencies(stage, config),
        "inputs": inputs,
        "versions": artifacts.versions(),
    }
    _write_marker(workdir, marker)
    say(f"{name}: running")
    start = time.monotonic()
    stage.run(config, workdir)
    seconds += time.monotonic() - start
    _write_marker(workdir, {**marker, "complete": True, "seconds": round(seconds, 2)})
    say(f"{name}: done in {seconds:.1f} s")


def _marker_path(workdir: Path, name: str) -> Path:
    return workdir / "stages" / f"{name}.json"


def _read_marker(workdir: Path, name: str) -> dict[str, Any]:
    path = _marker_path(workdir, name)
    return artifacts.read_json(path, ("config", "inputs")) if path.exists() else {}


def _write_marker(workdir: Path, marker: dict[str, Any]) -> None:
    if is_main_process():
        artifacts.write_json(_marker_path(workdir, marker["stage"]), marker)


def _dependencies(stage: Stage, config: ConfigDict) -> dict[str, Any]:
    """Flat {dotted field: value} of what the result of a stage depends on."""
    flat: dict[str, Any] = {}
    for name in stage.fields:
        value = config_lib.field(config, name)
        items = value.to_dict() if isinstance(value, ConfigDict) else {"": value}
        for key, item in items.items():
            if key not in HOUSEKEEPING:
                plain = list(item) if isinstance(item, tuple) else item
                flat[f"{name}.{key}".rstrip(".")] = plain
    return flat


def _checksums(workdir: Path, names: Iterable[str]) -> dict[str, str]:
    paths = {name: workdir / name for name in names}
    return {
        name: f"{zlib.crc32(path.read_bytes()):08x}"
        for name, path in paths.items()
        if path.exists()
    }


def _remove(workdir: Path, names: Iterable[str]) -> None:
    for path in (workdir / name for name in names):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
