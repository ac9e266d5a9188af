"""The numbers of a run, those of `results.json`."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from difnas_jax.config import build, stages
from difnas_jax.report import curves, disturbance, room
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.latency_table import costs_beside
from difnas_jax.runtime.markers import METRICS, read_marker
from difnas_jax.spaces import costs
from difnas_jax.spaces.base import Architecture

DATA_KEYS = ("images", "classes", "stored", "notes")
EARLIER = {name: stage for name, stage in stages.STAGES.items() if name != "report"}
RETRAINED = (
    "test_accuracy",
    "test_top5_accuracy",
    "test_examples",
    "validation_accuracy",
    "validation_top5_accuracy",
    "teacher",
    "runners_up",
    "retrained_in",
)
NETWORK = ("architecture", "ops", "text", "costs", "score", "budget")
OF_SEARCHES = ("text", "costs", "score", "budget", "test_accuracy")
Values = dict[str, Any]


def found_in(path: Path, read: Callable[..., Any], *arguments: Any) -> Any:
    """What `read(path, *arguments)` finds in an artefact; None if it is missing."""
    return read(path, *arguments) if path.exists() else None


def collect(config: ConfigDict, workdir: Path) -> Values:
    """The numbers of a run, those of `results.json`.

    Args:
      config: the config of the run.
      workdir: where its artefacts are.

    Returns:
      The found network (of several that were retrained the best one), its accuracies in
      0..1, its runners-up, their provenance, the disturbance in the supernet, the room
      that projected updates leave there, the algorithms compared, and of each finished
      stage before this one the seconds and by what it was made (`runtime.provenance`);
      None for a value whose artefact is missing.

    Raises:
      InputError: a damaged artefact.
    """
    networks = _networks(config, workdir)
    retrained = _retrained(workdir, networks)
    chosen = tuple(retrained["architecture"]) if retrained else next(iter(networks), ())
    network = networks.get(chosen, dict.fromkeys(NETWORK))
    supernet = build.supernet_workdir(config, workdir)
    markers = _markers(config, workdir)
    comparison = workdir / artifacts.COMPARISON
    written = "report" in config.stages or (workdir / artifacts.REPORT).exists()
    return {
        "space": config.space.name,
        "seed": config.seed,
        "data_source": config.data.source,
        **network,
        **{name: retrained.get(name) for name in RETRAINED},
        **_supernet(supernet),
        "disturbance": disturbance.summary(disturbance.measured(supernet)),
        "room": room.summary(room.measured(supernet), room.share_of(config)),
        "searches": _searches(workdir),
        "data": found_in(workdir / artifacts.DATA, files.read_json, DATA_KEYS),
        "warnings": _warnings(config, workdir, retrained),
        "comparison": found_in(comparison, artifacts.load_comparison),
        "seconds": {name: marker["seconds"] for name, marker in markers.items()},
        "versions": _versions(list(markers.values())),
        "provenance": {n: m.get("provenance", {}) for n, m in markers.items()},
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
        kept = found_in(path, artifacts.FoundNetwork.load_kept, space) or []
        found = kept[: config.retrain.networks]
        return {f.architecture: {n: getattr(f, n) for n in NETWORK} for f in found}
    values: Values = dict.fromkeys(NETWORK)
    values |= {"architecture": given, "ops": space.op_names(given)}
    values |= {"text": space.text(given)}
    table = costs_beside(workdir / artifacts.LATENCY, space)
    return {given: values | {"costs": table.of_one(given)}}


def _supernet(workdir: Path) -> Values:
    """How well the trained supernet does, and what a constant answer has.

    And the policy by which its paths were drawn, where that was learned.
    """
    path = workdir / artifacts.SUPERNET_RESULT
    result = found_in(path, files.read_json, ("accuracy", "chance")) or {}
    names = "accuracy", "chance", "policy"
    return {f"supernet_{name}": result.get(name) for name in names}


def _warnings(config: ConfigDict, workdir: Path, retrained: Values) -> list[str]:
    """Why indicator, score without training, or network are not to be believed.

    And where the curve of a training has a gap.
    """
    trained = build.supernet_workdir(config, workdir)
    ended = found_in(trained / artifacts.SUPERNET_RESULT, files.read_json) or {}
    lost = curves.lost_rows(trained / artifacts.SUPERNET_METRICS, ended.get("step"))
    folder = workdir / retrained.get("retrained_in", artifacts.RETRAIN)
    lost += curves.lost_rows(folder / METRICS, retrained.get("steps"))
    searched = build.build_wiring(config).searched
    path = workdir / artifacts.INDICATOR
    indicator = found_in(path, artifacts.Indicator.load, searched)
    comparison = found_in(workdir / artifacts.COMPARISON, files.read_json) or {}
    sources = indicator.provenance if indicator else {}, comparison, retrained
    found = [warning for source in sources for warning in source.get("warnings", [])]
    return found + lost


def _retrained(workdir: Path, networks: Collection[Architecture]) -> Values:
    """The result of retraining, or {} where it is not of these networks."""
    path = workdir / artifacts.RETRAIN_RESULT
    rows = found_in(path, artifacts.load_retrained) or [{}]
    trained = {tuple(row.get("architecture", ())) for row in rows}
    return rows[0] if trained == set(networks) else {}


def _markers(config: ConfigDict, workdir: Path) -> dict[str, Values]:
    """The markers of the finished stages before this one, in their order."""
    folders = {name: build.stage_workdir(name, config, workdir) for name in EARLIER}
    read = {name: read_marker(folder, name) for name, folder in folders.items()}
    return {name: marker for name, marker in read.items() if marker.get("complete")}


def _searches(workdir: Path) -> list[Values]:
    """What the named searches of this supernet found, by their names."""
    rows = []
    for path in sorted(workdir.glob(f"{artifacts.SEARCHES}/*/{artifacts.RESULTS}")):
        values = files.read_json(path, OF_SEARCHES)
        page = path.with_name(artifacts.REPORT)
        report = page.relative_to(workdir).as_posix() if page.exists() else None
        row = {"name": path.parent.name, "architecture": values["text"]}
        row |= values["costs"] or dict.fromkeys((costs.MACS, costs.PARAMS))
        row |= {name: values[name] for name in ("budget", "score", "test_accuracy")}
        rows.append(row | {"report": report})
    return rows


def _versions(markers: list[Values]) -> dict[str, str]:
    """Versions by package; all of them where stages ran with different ones."""
    versions: dict[str, set[str]] = {}
    for marker in markers:
        for package, version in marker["versions"].items():
            versions.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(found)) for package, found in versions.items()}
