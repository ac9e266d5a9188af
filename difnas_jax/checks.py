"""Checks of the whole config, before any compute is spent."""

from pathlib import Path

from ml_collections import ConfigDict

from difnas_jax import data
from difnas_jax.choices import CHOICES
from difnas_jax.config import build
from difnas_jax.config.build import field
from difnas_jax.config.ranges import check_fields, check_numbers
from difnas_jax.deployment.exporters import check_formats
from difnas_jax.deployment.teacher import check_teacher
from difnas_jax.errors import InputError, require
from difnas_jax.runtime.mesh import OVER_DEVICES, check_devices, check_divides
from difnas_jax.scoring.indicators import INDICATORS
from difnas_jax.scoring.scorers import needs_validation, scorer_row, stage_of
from difnas_jax.search.base import Settings
from difnas_jax.search.counting import networks_within
from difnas_jax.search.population import RandomSearch
from difnas_jax.search.problem import Problem
from difnas_jax.spaces import SearchSpace
from difnas_jax.spaces.layer_indicator import Wiring
from difnas_jax.spaces.stored import stored
from difnas_jax.stages import search
from difnas_jax.stages.chosen import check_inputs, chosen_stages
from difnas_jax.training.amount import AMOUNTS, check_amount
from difnas_jax.training.disturbance import check_fits
from difnas_jax.training.fates import trained_kinds
from difnas_jax.training.gradients import BATCH_SHARING
from difnas_jax.training.paths import LEARNED, SAMPLERS, paths_per_update
from difnas_jax.training.placements import PLACEMENTS
from difnas_jax.training.projection import check_projected_kernels
from difnas_jax.training.recipe import Recipe, check_logits


def check(config: ConfigDict) -> None:
    """Check the whole config before any compute is spent.

    Raises:
      InputError: naming the field, what is allowed and what came.
    """
    check_fields(config)
    check_numbers(config)
    check_devices(config.devices)
    for name, allowed in CHOICES.items():
        value = field(config, name)
        expected = f"one of {', '.join(choice or 'nothing' for choice in allowed)}"
        require(value in allowed, name, expected, repr(value))
    wiring, stages = build.build_wiring(config), chosen_stages(config)
    build.given_architecture(config)
    recipes = {"supernet": Recipe.of_supernet, "retrain": Recipe.of_retraining}
    for stage in [stage for stage in recipes if stage in stages]:
        recipe = recipes[stage](config)
        if PLACEMENTS[recipe.placement].batch == OVER_DEVICES:
            check_divides(f"{stage}.batch_size", recipe.settings.batch_size)
    check_paths(config, wiring.sampled)
    if "supernet" in stages:
        check_trainable(config, wiring.sampled)
        check_projected_kernels(config)
        check_logits(config)
        if config.supernet.steps:  # else the data say how many there are
            check_fits(config, config.supernet.steps)
    if "indicator" in {*stages, *scorer_row(config).needs}:
        check_indicator(config, wiring)
    if "indicator" in stages:
        check_read(config)
    if "search" in stages:
        check_search(config, wiring)
    if "retrain" in stages:
        stored(build.build_space(config))  # as it will be, beside the weights
    if "export" in stages:
        check_formats("export.formats", config.export.formats)


def check_search(config: ConfigDict, wiring: Wiring) -> None:
    """Refuse a search that cannot run.

    Raises:
      InputError: naming the field.
    """
    search.check_algorithms(config)
    space, needs = wiring.searched, scorer_row(config).needs
    costs, budget = build.build_costs(config), build.build_budget(config)
    check_budget(Problem(space, costs, budget), config)
    if "supernet" in needs:
        name = "search.recalibration_batch_size"
        check_divides(name, config.search.recalibration_batch_size)
        check_paths_exist("method.score", config, wiring)


def check_budget(problem: Problem, config: ConfigDict) -> None:
    """Refuse a budget without any network, before a supernet is trained for it.

    Where counting them would take too long, a first population is drawn, as the search
    would draw it.

    Raises:
      InputError: naming the bounds.
    """
    count = networks_within(problem)
    if count is None:
        RandomSearch(problem, Settings.of(config.search), config.seed).ask()
    elif not count:
        raise problem.infeasible()


def check_trainable(config: ConfigDict, space: SearchSpace) -> None:
    """Refuse to train batch norms where there are none, or to hold them at 0.

    Raises:
      InputError: naming the field.
    """
    method = config.method
    fits = space.has_batch_norms or method.trainable == "all"
    expected = f"'all' for space {space.name!r}, which has no batch norms"
    require(fits, "method.trainable", expected, repr(method.trainable))
    fits = method.block_scale > 0 or "indicator" in _trained(config)
    expected = f"above 0, as method.trainable = {method.trainable!r} keeps it for ever"
    require(fits, "method.block_scale", expected, method.block_scale)


def check_read(config: ConfigDict) -> None:
    """Refuse to read gammas that do not train.

    Raises:
      InputError: naming the field.
    """
    name, read = config.method.indicator, INDICATORS[config.method.indicator].reads
    expected = f"one that trains what method.indicator = {name!r} reads"
    fits = not read or read in _trained(config)
    require(fits, "method.trainable", expected, repr(config.method.trainable))


def _trained(config: ConfigDict) -> frozenset[str]:
    """The kinds of leaves that train."""
    return trained_kinds(config.method.trainable, config.method.train_classifier)


def check_indicator(config: ConfigDict, wiring: Wiring) -> None:
    """Refuse an indicator that the score or the supernet does not fit.

    Raises:
      InputError: naming the field.
    """
    name, method = config.method.indicator, config.method
    indicator, space = INDICATORS[name], wiring.sampled
    fits = space.has_batch_norms or indicator.reads != "indicator"
    others = [repr(n) for n, row in INDICATORS.items() if row.reads != "indicator"]
    expected = f"{' or '.join(others)} for space {space.name!r}, without batch norms"
    require(fits, "method.indicator", expected, repr(name))
    fits = indicator.positive or method.score != "ratio"
    expected = f"'sum' or 'argmax' for method.indicator = {name!r}"
    require(fits, "method.score", expected, repr(method.score))
    if indicator.memory != "nothing":
        fits = method.memory == indicator.memory
        expected = f"{indicator.memory!r}, which method.indicator = {name!r} reads"
        require(fits, "method.memory", expected, repr(method.memory))
        fits = method.sampling not in LEARNED
        expected = f"paths that method.indicator = {name!r} can draw again"
        require(fits, "method.sampling", expected, repr(method.sampling))
    if indicator.switch:
        on, needed = method[indicator.switch], f"true for method.indicator = {name!r}"
        require(on, f"method.{indicator.switch}", needed, on)
    if indicator.sampled:
        check_paths_exist("method.indicator", config, wiring)


def check_paths_exist(name: str, config: ConfigDict, wiring: Wiring) -> None:
    """Refuse to score paths that the supernet does not have.

    Raises:
      InputError: naming the layer indicator.
    """
    if (wiring.searched.allowed & ~wiring.sampled.allowed).any():
        raise InputError(
            f"{name}: {field(config, name)!r} expected that the supernet samples every "
            "op that can be found, with method.layer_indicator = "
            f"{config.method.layer_indicator!r} it does not; use 'plain' or 'candidate'"
        )


def check_run(config: ConfigDict, workdir: Path) -> data.DataSummary:
    """Check all that can be checked before a workdir is touched.

    Raises:
      InputError: see `check`, `check_data` and `check_inputs`.
    """
    check(config)
    summary = check_data(config)
    check_inputs(config, workdir)
    return summary


def check_data(config: ConfigDict) -> data.DataSummary:
    """Read the data where a stage of this run needs them.

    Returns:
      What was read; nothing where no stage needs them.

    Raises:
      InputError: missing or malformed data, or what they do not fit.
    """
    stages = chosen_stages(config)
    if not any(stage_of(name, config).reads_data for name in stages):
        return data.DataSummary()
    trained = [name for name in stages if name in AMOUNTS]
    batches = {f"{name}.batch_size": config[name].batch_size for name in trained}
    summary = data.check(config, needing_validation(config), batches)
    for name in trained:
        check_amount(config, name, summary.images["train"])
    if "retrain" in trained:
        check_teacher(config, summary.classes)
    return summary


def needing_validation(config: ConfigDict) -> list[str]:
    """The fields for which the stages of this run need a validation split."""
    reads = {
        "supernet": ("method.sampling", config.method.sampling in LEARNED),
        "search": ("method.score", needs_validation(config)),
        "retrain": ("retrain.networks", config.retrain.networks > 1),
    }
    found = [reads[stage] for stage in chosen_stages(config) if stage in reads]
    return [f"{name} = {field(config, name)!r}" for name, needed in found if needed]


def check_paths(config: ConfigDict, space: SearchSpace) -> None:
    """Refuse a batch or groups that do not fit the number of paths of an update.

    Raises:
      InputError: naming the field and the number of paths.
    """
    sharing, size = config.method.batch_sharing, config.supernet.batch_size
    paths = paths_per_update(SAMPLERS[config.method.sampling](space))
    fits = BATCH_SHARING[sharing].passes(paths) == paths or size % paths == 0
    of_paths = f"{paths} paths of an update (method.batch_sharing = {sharing!r})"
    require(fits, "supernet.batch_size", f"a multiple of the {of_paths}", size)
    at_once, placement = config.supernet.paths_at_once, config.supernet.placement
    most = paths if PLACEMENTS[placement].batch == OVER_DEVICES else 1
    require(
        0 < at_once <= most and paths % at_once == 0,
        "supernet.paths_at_once",
        f"a divisor of {most} (paths of an update: {paths}, "
        f"supernet.placement = {placement!r})",
        at_once,
    )
