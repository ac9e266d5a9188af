"""Stage 5: report the results. Writes `report.html`, `figures/` and `results.json`.

The report shows the artefacts in the workdir. It leaves out what belongs to a stage
that was not run, and says so; a damaged artefact is an error.
"""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from difnas_jax.config import build, stages
from difnas_jax.report import diagrams, figures, isometry
from difnas_jax.runtime import artifacts, files, processes
from difnas_jax.runtime.results import short
from difnas_jax.scoring.indicators import INDICATORS
from difnas_jax.spaces import costs

TEMPLATE = "report.html.j2"
BEST_CANDIDATES = 10
HISTORY_KEYS = ("generation", "evaluated", "best")
METRIC_KEYS = ("step", "loss", "accuracy")
MARKER_KEYS = ("complete", "versions")
RETRAIN_KEYS = ("architecture", "test_accuracy")
EARLIER = {name: stage for name, stage in stages.STAGES.items() if name != "report"}
NETWORK = ("architecture", "ops", "text", "costs", "score", "budget")
FRONTS = {"Pareto front": artifacts.PARETO, "exact front": artifacts.EXACT_FRONT}
Values = dict[str, Any]


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


def _read(read: Callable[..., Any], path: Path, *arguments: Any) -> Any:
    """What `read(path, *arguments)` finds in an artefact; None if it is missing."""
    return read(path, *arguments) if path.exists() else None


def collect(config: ConfigDict, workdir: Path) -> Values:
    """The numbers of a run, those of `results.json`.

    Args:
      config: the config of the run.
      workdir: where its artefacts are.

    Returns:
      The found network, its accuracies in 0..1, their provenance, the algorithms
      compared, and the seconds of each finished stage before this one; None for a value
      whose artefact is missing.

    Raises:
      InputError: a damaged artefact.
    """
    network = _network(config, workdir)
    path = workdir / artifacts.RETRAIN_RESULT
    retrained = _read(files.read_json, path, RETRAIN_KEYS) or {}
    if retrained.get("architecture") != list(network["architecture"] or ()):
        retrained = {}  # there is none of this network
    markers = _markers(workdir)
    written = "report" in config.stages or (workdir / artifacts.REPORT).exists()
    return {
        "space": config.space.name,
        "seed": config.seed,
        "data_source": config.data.source,
        **network,
        "test_accuracy": retrained.get("test_accuracy"),
        "test_examples": retrained.get("test_examples"),
        "validation_accuracy": retrained.get("validation_accuracy"),
        "comparison": _read(artifacts.load_comparison, workdir / artifacts.COMPARISON),
        "seconds": {name: marker["seconds"] for name, marker in markers.items()},
        "versions": _versions(list(markers.values())),
        "report": str(workdir / artifacts.REPORT) if written else None,
    }


def _network(config: ConfigDict, workdir: Path) -> Values:
    """The network that the config gives, or else the one that the search found."""
    space = build.build_space(config)
    given = build.given_architecture(config)
    if given is None:
        best = _read(artifacts.FoundNetwork.load, workdir / artifacts.BEST, space)
        return {name: getattr(best, name, None) for name in NETWORK}
    values: Values = dict.fromkeys(NETWORK)
    values |= {"architecture": given, "ops": space.op_names(given)}
    values |= {"text": space.text(given)}
    return values | {"costs": costs.cost_table(space).of_one(given)}


def _markers(workdir: Path) -> dict[str, Values]:
    """The markers of the finished stages before this one, in their order."""
    paths = {name: workdir / f"stages/{name}.json" for name in EARLIER}
    read = {n: _read(files.read_json, p, MARKER_KEYS) for n, p in paths.items()}
    return {n: marker for n, marker in read.items() if marker and marker["complete"]}


def _versions(markers: list[Values]) -> dict[str, str]:
    """Versions by package; all of them where stages ran with different ones."""
    versions: dict[str, set[str]] = {}
    for marker in markers:
        for package, version in marker["versions"].items():
            versions.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(found)) for package, found in versions.items()}


def draw(config: ConfigDict, workdir: Path, results: Values) -> dict[str, Figure]:
    """The figures, by name, of the artefacts that exist.

    Args:
      config: the config of the run.
      workdir: where its artefacts are.
      results: what `collect` returns.
    """
    architecture, drawn = results["architecture"], {}
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
    if history := _rows(workdir / artifacts.SEARCH_HISTORY, HISTORY_KEYS):
        drawn["search"] = figures.search_trajectory(history)
    if (workdir / artifacts.CANDIDATES).exists():
        drawn["pareto"] = _draw_pareto(workdir, results)
    supernet = _rows(workdir / artifacts.SUPERNET_METRICS, METRIC_KEYS)
    trained = results["test_accuracy"] is not None
    retrain = _rows(workdir / artifacts.RETRAIN_METRICS, METRIC_KEYS) if trained else []
    if supernet or retrain:
        drawn["training"] = figures.training_curves(supernet, retrain)
    if measured := isometry.measured(config, workdir):
        drawn["isometry"] = isometry.figure(measured)
    return drawn


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
    return _read(files.read_json_lines, path, keys) or []


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
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short
    space = build.build_space(config)
    scored = _read(artifacts.load_candidates, workdir / artifacts.CANDIDATES)
    return environment.get_template(TEMPLATE).render(
        results=results,
        space=space,
        images={name: base64.b64encode(png).decode() for name, png in images.items()},
        costs=costs.cost_table(space),
        counting_rule=costs.COUNTING_RULE,
        candidates=None if scored is None else scored[:BEST_CANDIDATES],
        absent=[
            name
            for name, stage in EARLIER.items()
            if not any((workdir / path).exists() for path in stage.writes)
        ],
        config=config,
        isometry=isometry.measured(config, workdir),
        config_json=json.dumps(config.to_dict(), indent=2),
    )
