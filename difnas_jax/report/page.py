"""Stage 5: report the results. Writes `report.html`, `figures/` and `results.json`.

The report shows the artefacts in the workdir. It leaves out what belongs to a stage
that was not run, and says so; a damaged artefact is an error.
"""

import base64
import json
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from difnas_jax.config import build
from difnas_jax.report import diagrams, disturbance, figures, isometry, room
from difnas_jax.report.numbers import EARLIER, Values, collect, found_in
from difnas_jax.runtime import artifacts, files, processes
from difnas_jax.runtime.results import short
from difnas_jax.scoring.indicators import INDICATORS
from difnas_jax.scoring.scorers import scorer_row
from difnas_jax.search.candidates import SCORE
from difnas_jax.spaces import costs

TEMPLATE = "report.html.j2"
BEST_CANDIDATES = 10
HISTORY_KEYS = ("generation", "evaluated")
METRIC_KEYS = ("step", "loss", "accuracy")
POLICY_KEYS = ("architecture", "ops", "probabilities", "entropy", "updates")
FRONTS = {"Pareto front": artifacts.PARETO, "exact front": artifacts.EXACT_FRONT}


def run(config: ConfigDict, workdir: Path) -> None:
    """Write the report of all artefacts in the workdir.

    Raises:
      InputError: a damaged artefact.
    """
    if not processes.is_main_process():
        return
    results = collect(config, workdir)
    drawn = draw(config, workdir, results)
    images = {name: figures.png(figure) for name, figure in drawn.items()}
    page = render(config, workdir, results, images)
    pages = {f"{artifacts.FIGURES}/{name}.png": image for name, image in images.items()}
    pages[artifacts.REPORT] = page.encode()
    files.write_json(workdir / artifacts.RESULTS, results)
    for name, content in pages.items():
        with files.atomic_write(workdir / name, "wb") as file:
            file.write(content)


def method_in_words(config: ConfigDict) -> str:
    """What made the indicator, in one sentence."""
    method = config.method
    row = INDICATORS[method.indicator]
    activation = f" and {method.activation}" if method.activation else ""
    return (
        f"The indicator {method.indicator} ({row.unit}) of a supernet with "
        f"{method.kernels} kernels (depthwise: {method.depthwise}){activation}, in "
        f"which {method.trainable} trained, on {method.sampling} paths, with the layer "
        f"indicator {method.layer_indicator}."
    )


def draw(config: ConfigDict, workdir: Path, results: Values) -> dict[str, Figure]:
    """The figures, by name, of the artefacts that exist.

    Args:
      config: the config of the run.
      workdir: where its artefacts are.
      results: what `collect` returns.
    """
    architecture, drawn = results["architecture"], {}
    supernet_folder = build.supernet_workdir(config, workdir)
    if architecture is not None:
        space = build.build_space(config)
        drawn["network"] = diagrams.network_diagram(space, architecture)
    if (path := workdir / artifacts.INDICATOR).exists():
        searched = build.build_wiring(config).searched
        drawn["indicator"] = figures.indicator_heat_map(
            artifacts.Indicator.load(path, searched).table,
            searched,
            architecture or (),
            label=INDICATORS[config.method.indicator].unit,
        )
    if policy := results["supernet_policy"]:
        drawn["policy"] = _draw_policy(config, workdir, policy)
    if history := _rows(workdir / artifacts.SEARCH_HISTORY, HISTORY_KEYS):
        if history[0].get("best") is not None:  # pruning has a score at the end alone
            drawn["search"] = figures.search_trajectory(history)
        if relative := scorer_row(config).relative:
            columns = list(relative(config).directions)
            drawn["landscapes"] = figures.landscapes(history, columns)
    if (workdir / artifacts.CANDIDATES).exists():
        drawn["pareto"] = _draw_pareto(workdir, results)
    supernet = _rows(supernet_folder / artifacts.SUPERNET_METRICS, METRIC_KEYS)
    trained = results["test_accuracy"] is not None
    path = workdir / (results["retrained_in"] or artifacts.RETRAIN) / "metrics.jsonl"
    retrain = _rows(path, METRIC_KEYS) if trained else []
    if supernet or retrain:
        drawn["training"] = figures.training_curves(supernet, retrain)
    if measurements := disturbance.measured(supernet_folder):
        drawn["disturbance"] = disturbance.figure(measurements)
    if rows := room.measured(supernet_folder):
        drawn["room"] = room.figure(rows, room.share_of(config))
    if measured := isometry.measured(config, workdir):
        drawn["isometry"] = isometry.figure(measured)
    return drawn


def _draw_policy(config: ConfigDict, workdir: Path, policy: Values) -> Figure:
    space = build.build_wiring(config).sampled
    path = build.supernet_workdir(config, workdir) / artifacts.SUPERNET_RESULT
    with files.damage_as_input_error(path, "a policy of this space"):
        if missing := [key for key in POLICY_KEYS if key not in policy]:
            raise ValueError("no " + ", ".join(missing))
        shares = np.array(policy["probabilities"], np.float64)
        table = np.where(space.allowed, shares, np.nan)
        probable = space.validate(policy["architecture"])
    return figures.indicator_heat_map(table, space, probable, label="probability")


def _draw_pareto(workdir: Path, results: Values) -> Figure:
    candidates = artifacts.load_candidates(workdir / artifacts.CANDIDATES)
    fronts = {
        label: artifacts.load_candidates(workdir / path)
        for label, path in FRONTS.items()
        if (workdir / path).exists()
    }
    budget, found = results["budget"] or {}, None
    bounds = [budget[name] for name in ("min_macs", "max_macs") if budget.get(name)]
    if results["score"] is not None:
        found = results["costs"][costs.MACS], results["score"]
    return figures.score_against_macs(candidates, fronts, found, bounds)


def _rows(path: Path, keys: tuple[str, ...]) -> list[Values]:
    return found_in(path, files.read_json_lines, keys) or []


def render(
    config: ConfigDict, workdir: Path, results: Values, images: dict[str, bytes]
) -> str:
    """The report as one page of HTML that needs no other file.

    Args:
      config: the config of the run.
      workdir: where its artefacts are.
      results: what `collect` returns.
      images: PNG files by figure name.
    """
    space, others = build.build_space(config), results["runners_up"] or ()
    scored = found_in(workdir / artifacts.CANDIDATES, artifacts.load_candidates)
    known = {SCORE, *costs.cost_table(space).tables}
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            results=results,
            space=space,
            images={
                name: base64.b64encode(png).decode() for name, png in images.items()
            },
            retrained=[{**results, **(results["costs"] or {})}, *others],
            method=method_in_words(config),
            costs=costs.cost_table(space),
            counting_rule=costs.COUNTING_RULE,
            candidates=None if scored is None else scored[:BEST_CANDIDATES],
            scored=[name for name in scored.columns if name not in known]
            if scored
            else [],
            absent=[
                name
                for name, stage in EARLIER.items()
                if not any((workdir / path).exists() for path in stage.writes)
            ],
            config=config,
            isometry=isometry.measured(config, workdir),
            config_json=json.dumps(config.to_dict(), indent=2),
        )
    )


def environment() -> jinja2.Environment:
    """Where the templates of the pages are."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["short"] = short
    return made
