"""What a run is about to do, in a few lines: for its start, and for `--dry-run`."""

import datetime
from collections.abc import Iterator
from pathlib import Path

from ml_collections import ConfigDict

from difnas_jax import checks
from difnas_jax.config.build import (
    build_budget,
    build_costs,
    build_space,
    build_wiring,
    find_given,
    given_architecture,
    latency_file,
    limits,
    supernet_workdir,
)
from difnas_jax.config.comments import changes
from difnas_jax.data import DataSummary
from difnas_jax.deployment.teacher import teacher_facts
from difnas_jax.errors import first_of
from difnas_jax.models.initializers import variable_shapes
from difnas_jax.runtime import artifacts, files, provenance
from difnas_jax.runtime.latency_table import LatencyTable
from difnas_jax.runtime.markers import read_marker
from difnas_jax.search.algorithms import ALGORITHMS
from difnas_jax.search.base import Settings
from difnas_jax.search.counting import networks_within
from difnas_jax.search.problem import Budget, Problem
from difnas_jax.spaces.costs import LATENCY, MACS, PARAMS, cost_table, in_words
from difnas_jax.stages import search
from difnas_jax.stages.chosen import chosen_stages, named_search
from difnas_jax.stages.dependencies import check_workdir
from difnas_jax.training.amount import Amount, trained_parameters
from difnas_jax.training.recipe import Recipe, build_supernet

IN_WORDS = {MACS: "MACs", PARAMS: "parameters", LATENCY: "ms"}
UNKNOWN = "how long is not known before its first updates"


def lines(config: ConfigDict, workdir: Path, summary: DataSummary) -> Iterator[str]:
    """What a run is about to do.

    Args:
      config: that was checked.
      workdir: of the run; an earlier session may have begun it.
      summary: of the data that were read.
    """
    yield _of_space(config)
    if "search" in chosen_stages(config):
        yield _of_budget(config)
        if table := latency_file(config):
            yield "; ".join(LatencyTable.read(table).lines())
    yield from _of_data(config, summary)
    yield f"device: {provenance.device()}"
    yield from _of_stages(config, workdir, summary)


def dry_run(config: ConfigDict, workdir: Path) -> Iterator[str]:
    """The same at more length, checked as a run checks it; writes and compiles nothing.

    Raises:
      InputError: what the run would raise at its start.
    """
    if config.search.name:
        config, workdir = named_search(config, workdir)
        yield f"search: in {workdir}"
    find_given(config, workdir)
    summary = checks.check_run(config, workdir)
    check_workdir(config, workdir, summary.checksum)
    changed = changes(config).items()
    yield f"config: {len(changed)} fields differ from the default"
    for name, (default, value) in changed:
        yield f"  {name} = {value!r} (default {default!r})"
    yield from lines(config, workdir, summary)
    if "supernet" in chosen_stages(config):
        shapes = variable_shapes(build_supernet(config))
        recipe = Recipe.of_supernet(config)
        yield f"supernet: {trained_parameters(recipe, {'params': shapes['params']})}"
    if "retrain" in chosen_stages(config):
        yield f"retrain: {_of_network(config)}"
    yield "dry run: nothing was written, nothing compiled"


def _of_space(config: ConfigDict) -> str:
    problem = _problem(config, Budget({}))
    space = problem.space
    counts = {len(layer.ops) for layer in space.layers}
    ops = " to ".join(str(count) for count in sorted({min(counts), max(counts)}))
    costs = " and ".join(
        f"{in_words(low)} to {in_words(high)} {IN_WORDS.get(name, name)}"
        for name, (low, high) in problem.reach.items()
    )
    return (
        f"space: {space.name}, {space.num_layers} layers of {ops} ops, "
        f"{_counted(problem)}, of {costs}"
    )


def _of_budget(config: ConfigDict) -> str:
    bounds = [
        f"search.{name} = {limit:,}" for name, limit in limits(config).items() if limit
    ]
    allowed = _counted(_problem(config, build_budget(config)))
    return f"budget: {', '.join(bounds) or 'no bound'}; allows {allowed}"


def _problem(config: ConfigDict, budget: Budget) -> Problem:
    space = build_wiring(config).searched
    return Problem(space, build_costs(config), budget)


def _counted(problem: Problem) -> str:
    count = networks_within(problem)
    if count is None:
        return "an unknown number of networks"
    return f"{count:,} network{'s' * (count != 1)}"


def _of_data(config: ConfigDict, summary: DataSummary) -> Iterator[str]:
    if not summary.images:
        yield "data: no stage of this run reads any"
        return
    images = ", ".join(f"{count:,} {role}" for role, count in summary.images.items())
    classes = f"{len(summary.classes):,} classes ({first_of(summary.classes)})"
    side, channels = config.space.image_size, config.space.image_channels
    yield (
        f"data: {images} images of {classes}, {summary.stored}; "
        f"the network sees {side} x {side} x {channels}"
    )
    yield from (f"data: {note}" for note in summary.notes)


def _of_stages(
    config: ConfigDict, workdir: Path, summary: DataSummary
) -> Iterator[str]:
    """One line for each stage that takes long."""
    stages, examples = chosen_stages(config), summary.images.get("train", 0)
    if "supernet" in stages:
        amount = Amount.of_supernet(config, examples)
        there = supernet_workdir(config, workdir)
        known = _duration("supernet", there, artifacts.SUPERNET_METRICS, amount)
        yield f"supernet: {amount.text()}; {known}"
    if "search" in stages:
        yield f"search: {_of_search(config)}"
    if "retrain" in stages:
        amount, count = Amount.of_retraining(config, examples), config.retrain.networks
        several = f"{count} networks, each " if count > 1 else ""
        known = _duration("retrain", workdir, artifacts.RETRAIN_METRICS, amount)
        yield f"retrain: {several}{amount.text()}; {known}"
        if taught := teacher_facts(config).get("teacher"):
            yield (
                f"retrain: {taught['text']} teaches {taught['share']:.0%} of the "
                f"target (its accuracy on test: {taught['test_accuracy']:.2%})"
            )
            yield from (f"retrain: warning: {text}" for text in taught["warnings"])


def _of_search(config: ConfigDict) -> str:
    chosen, *others = search.algorithms(config)
    settings = Settings.of(config.search)
    algorithm = ALGORITHMS[chosen](_problem(config, Budget({})), settings, config.seed)
    beside = f", beside it {' and '.join(others)}" if others else ""
    rounds = f"at most {algorithm.rounds:,} rounds"
    return f"{chosen} by the score {config.method.score}, {rounds}{beside}"


def _of_network(config: ConfigDict) -> str:
    """The parameters of what is retrained, all of which train."""
    architecture, space = given_architecture(config), build_space(config)
    if architecture is None:
        return "trains all parameters of the network that the search finds"
    costs = cost_table(space).of_one(architecture)
    return f"trains all {costs['params']:,} parameters of {space.text(architecture)}"


def _duration(name: str, workdir: Path, metrics: str, amount: Amount) -> str:
    """How long a training takes, as far as its workdir tells."""
    marker, path = read_marker(workdir, name), workdir / metrics
    if marker.get("complete"):
        return f"complete, took {_time(marker['seconds'])}"
    rows = files.read_json_lines(path, ("step",)) if path.exists() else []
    if not rows:
        return UNKNOWN
    done, rate = rows[-1]["step"], rows[-1].get("images_per_second", 0.0)
    if not rate:
        return UNKNOWN
    left = (amount.updates - done) * amount.images / rate
    return f"begun, {done:,} updates done; {_time(left)} left at {rate:,.0f} images/s"


def _time(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
