"""Stage 5: report the results. Writes `report.html`, `figures/` and `results.json`.

The report shows the artefacts in the workdir. It leaves out what belongs to a stage
that was not run, and says so; a damaged artefact is an error.
"""

import base64
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from difnas_jax.config import build, stages
from difnas_jax.report import diagrams, figures
from difnas_jax.runtime import artifacts, files, processes
from difnas_jax.runtime.results import short
from difnas_jax.scoring.indicators import INDICATORS
from difnas_jax.spaces import costs
from difnas_jax.spaces.base import Architecture

TEMPLATE = "report.html.j2"
BEST_CANDIDATES = 10
HISTORY_KEYS = ("generation", "evaluated", "best")
METRIC_KEYS = ("step", "loss", "accuracy")
MARKER_KEYS = ("complete", "versions")
EARLIER = {name: stage for name, stage in stages.STAGES.items() if name != "report"}
RETRAINED = (
    "test_accuracy",
    "test_top5_accuracy",
    "test_examples",
    "validation_accuracy",
    "validation_top5_accuracy",
    "runners_up",
    "retrained_in",
)
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
      The found network (of several that were retrained the best one), its accuracies in
      0..1, its runners-up, their provenance, the algorithms compared, and the seconds
      of each finished stage before this one; None for a value whose artefact is
      missing.

    Raises:
      InputError: a damaged artefact.
    """
    networks = _networks(config, workdir)
    retrained = _retrained(workdir, networks)
    chosen = tuple(retrained["architecture"]) if retrained else next(iter(networks), ())
    network = networks.get(chosen, dict.fromkeys(NETWORK))
    markers = _markers(workdir)
    written = "report" in config.stages or (workdir / artifacts.REPORT).exists()
    return {
        "space": config.space.name,
        "seed": config.seed,
        "data_source": config.data.source,
        **network,
        **{name: retrained.get(name) for name in RETRAINED},
        **_supernet(workdir),
        "warnings": _warnings(config, workdir),
        "comparison": _read(artifacts.load_comparison, workdir / artifacts.COMPARISON),
        "seconds": {name: marker["seconds"] for name, marker in markers.items()},
        "versions": _versions(list(markers.values())),
        "report": str(workdir / artifacts.REPORT) if written else None,
    }


def _networks(config: ConfigDict, workdir: Path) -> dict[Architecture, Values]:
    """What is to be retrained, best first: `NETWORK` by architecture.

    It is the network that the config gives, or else what the search kept.
    """
    space = build.build_space(config)
    given = build.given_architecture(config)
    if given is None:
        path = workdir / artifacts.BEST
        kept = _read(artifacts.FoundNetwork.load_kept, path, space) or []
        found = kept[: config.retrain.networks]
        return {f.architecture: {n: getattr(f, n) for n in NETWORK} for f in found}
    values: Values = dict.fromkeys(NETWORK)
    values |= {"architecture": given, "ops": space.op_names(given)}
    values |= {"text": space.text(given)}
    return {given: values | {"costs": costs.cost_table(space).of_one(given)}}


def _supernet(workdir: Path) -> Values:
    """How well the trained supernet does, and what a constant answer has."""
    path = workdir / artifacts.SUPERNET_RESULT
    result = _read(files.read_json, path, ("accuracy", "chance")) or {}
    return {f"supernet_{name}": result.get(name) for name in ("accuracy", "chance")}


def _warnings(config: ConfigDict, workdir: Path) -> list[str]:
    """Why the indicator is not to be believed."""
    searched = build.build_wiring(config).searched
    path = workdir / artifacts.INDICATOR
    indicator = _read(artifacts.Indicator.load, path, searched)
    return indicator.provenance.get("warnings", []) if indicator else []


def method_in_words(config: ConfigDict) -> str:
    """What made the indicator, in one sentence."""
    method = config.method
    row = INDICATORS[method.indicator]
    return (
        f"The indicator {method.indicator} ({row.unit}) of a supernet with "
        f"{method.kernels} kernels in which {method.trainable} trained, on "
        f"{method.sampling} paths, with the layer indicator {method.layer_indicator}."
    )


def _retrained(workdir: Path, networks: Collection[Architecture]) -> Values:
    """The result of retraining, or {} where it is not of these networks."""
    rows = _read(artifacts.load_retrained, workdir / artifacts.RETRAIN_RESULT) or [{}]
    trained = {tuple(row.get("architecture", ())) for row in rows}
    return rows[0] if trained == set(networks) else {}


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
    path = workdir / (results["retrained_in"] or artifacts.RETRAIN) / "metrics.jsonl"
    retrain = _rows(path, METRIC_KEYS) if trained else []
    if supernet or retrain:
        drawn["training"] = figures.training_curves(supernet, retrain)
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
    space, others = build.build_space(config), results["runners_up"] or ()
    scored = _read(artifacts.load_candidates, workdir / artifacts.CANDIDATES)
    return environment.get_template(TEMPLATE).render(
        results=results,
        space=space,
        images={name: base64.b64encode(png).decode() for name, png in images.items()},
        retrained=[{**results, **(results["costs"] or {})}, *others],
        method=method_in_words(config),
        costs=costs.cost_table(space),
        counting_rule=costs.COUNTING_RULE,
        candidates=None if scored is None else scored[:BEST_CANDIDATES],
        absent=[
            name
            for name, stage in EARLIER.items()
            if not any((workdir / path).exists() for path in stage.writes)
        ],
        config=config,
        config_json=json.dumps(config.to_dict(), indent=2),
    )
