"""The figures of a run, drawn from the artefacts in its workdir."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from difnas_jax.config import build
from difnas_jax.report import (
    diagrams,
    disturbance,
    figures,
    isometry,
    room,
    tradeoff,
)
from difnas_jax.report.numbers import Values, found_in
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.markers import METRICS
from difnas_jax.scoring.indicators import INDICATORS
from difnas_jax.scoring.scorers import scorer_row
from difnas_jax.search.candidates import Candidates
from difnas_jax.spaces import costs
from difnas_jax.spaces.base import SearchSpace

HISTORY_KEYS = ("generation", "evaluated")
METRIC_KEYS = ("step", "loss", "accuracy")
POLICY_KEYS = ("architecture", "ops", "probabilities", "entropy", "updates")
FRONTS = {"Pareto front": artifacts.PARETO, "exact front": artifacts.EXACT_FRONT}
NOTED = 1000  # candidates of the highest score, which say what they are on hover


def draw(config: ConfigDict, workdir: Path, results: Values) -> dict[str, list[Figure]]:
    """The figures, by name, of the artefacts that exist.

    Args:
      config: the config of the run.
      workdir: where its artefacts are.
      results: what `collect` returns.
    """
    architecture, space = results["architecture"], build.build_space(config)
    trained = build.supernet_workdir(config, workdir)
    drawn: dict[str, list[Figure]] = {}
    if architecture is not None:
        drawn["network"] = [diagrams.network_diagram(space, architecture)]
    if (path := workdir / artifacts.INDICATOR).exists():
        searched = build.build_wiring(config).searched
        table = artifacts.Indicator.load(path, searched).table
        unit = INDICATORS[config.method.indicator].unit
        drawn["indicator"] = [
            figures.indicator_heat_map(table, searched, architecture or (), label=unit)
        ]
    if policy := results["supernet_policy"]:
        drawn["policy"] = [_policy(config, workdir, policy)]
    if history := _rows(workdir / artifacts.SEARCH_HISTORY, HISTORY_KEYS):
        if history[0].get("best") is not None:  # pruning has a score at the end alone
            drawn["search"] = [figures.search_trajectory(history)]
        if relative := scorer_row(config).relative:
            columns = list(relative(config).directions)
            drawn["landscapes"] = figures.landscapes(history, columns)
    if (workdir / artifacts.CANDIDATES).exists():
        drawn["pareto"] = [_pareto(space, workdir, results)]
    drawn["training"] = _supernet_training(trained) + _retraining(workdir, results)
    if measurements := disturbance.measured(trained):
        drawn["disturbance"] = disturbance.figures(measurements)
    if rows := room.measured(trained):
        drawn["room"] = [room.figure(rows, room.share_of(config))]
    if measured := isometry.measured(config, workdir):
        drawn["isometry"] = isometry.figures(measured)
    return {name: parts for name, parts in drawn.items() if parts}


def _policy(config: ConfigDict, workdir: Path, policy: Values) -> Figure:
    space = build.build_wiring(config).sampled
    path = build.supernet_workdir(config, workdir) / artifacts.SUPERNET_RESULT
    with files.damage_as_input_error(path, "a policy of this space"):
        if missing := [key for key in POLICY_KEYS if key not in policy]:
            raise ValueError("no " + ", ".join(missing))
        shares = np.array(policy["probabilities"], np.float64)
        table = np.where(space.allowed, shares, np.nan)
        probable = space.validate(policy["architecture"])
    return figures.indicator_heat_map(table, space, probable, label="probability")


def _pareto(space: SearchSpace, workdir: Path, results: Values) -> Figure:
    candidates = artifacts.load_candidates(workdir / artifacts.CANDIDATES)
    fronts = {
        label: artifacts.load_candidates(workdir / path)
        for label, path in FRONTS.items()
        if (workdir / path).exists()
    }
    budget, found = results["budget"] or {}, None
    bounded = {name[4:] for name, bound in budget.items() if bound}
    cost = costs.traded(candidates.columns, bounded)
    bounds = [budget[n] for n in (f"min_{cost}", f"max_{cost}") if budget.get(n)]
    if results["score"] is not None:
        found = results["costs"][cost], results["score"]
    notes = notes_of(space, candidates[:NOTED])
    return tradeoff.score_against_cost(candidates, fronts, cost, found, bounds, notes)


def notes_of(space: SearchSpace, candidates: Candidates) -> list[str]:
    """What each candidate is: its ops, their indices, its costs and its score."""
    notes = []
    for index, architecture in enumerate(candidates.architectures.tolist()):
        row = candidates.row(index)
        ops, indices = " ".join(space.op_names(architecture)), map(str, architecture)
        ms = row.get(costs.LATENCY)
        latency = "" if ms is None else f", {costs.in_words(ms)} ms"
        notes.append(
            f"{ops}\nop indices {' '.join(indices)}\n"
            f"{row[costs.MACS]:,} MACs, {row[costs.PARAMS]:,} parameters{latency}\n"
            f"score {row['score']:.6g}, rank {index + 1}"
        )
    return notes


def _supernet_training(workdir: Path) -> list[Figure]:
    rows = _rows(workdir / artifacts.SUPERNET_METRICS, METRIC_KEYS)
    return figures.training_curves(rows, "supernet", ["loss"]) if rows else []


def _retraining(workdir: Path, results: Values) -> list[Figure]:
    if results["test_accuracy"] is None:
        return []
    folder = workdir / (results["retrained_in"] or artifacts.RETRAIN)
    retrain = _rows(folder / METRICS, METRIC_KEYS)
    quantities = ["loss", "accuracy"] if retrain else []
    return figures.training_curves(retrain, "retraining", quantities)


def _rows(path: Path, keys: tuple[str, ...]) -> list[Values]:
    return found_in(path, files.read_json_lines, keys) or []
