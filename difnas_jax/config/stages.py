"""The stages of a run: what each depends on, reads and writes. Stated here alone."""

import dataclasses
from collections.abc import Iterable

from difnas_jax.runtime import artifacts


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
      sections: config fields and whole sections on which its result depends.
      reads: artefacts of earlier stages without which it cannot run.
      writes: artefacts that are there when it is complete.
      harmless: fields within the sections that do not change its result.
      shows: optional artefacts, which it reads if they exist; patterns of them.
      reads_data: whether it reads images.
      may_write: artefacts that it writes in some cases.
      renewed: whether it writes what was changed again, also for another config,
        without a question: it takes seconds, and no stage reads what it writes.
      trains: whether it trains, which may take long: nothing deletes what it wrote.
      by_default: whether it runs unless the config asks for other stages.
    """

    sections: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    harmless: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    reads_data: bool = False
    may_write: tuple[str, ...] = ()
    trains: bool = False
    renewed: bool = False
    by_default: bool = True


# What only the search reads of a method.
OF_THE_SCORE = (
    "method.score",
    "method.dropped_layer",
    "method.proxies",
    "method.combiner",
    "method.proxy_repeats",
    "method.proxy_kernels",
)
# A field counts unless it is named: a new one can never reuse what is stale.
STAGES: dict[str, Stage] = {
    "supernet": Stage(
        sections=("seed", "space", "data", "method", "supernet"),
        reads=(),
        writes=(
            artifacts.SUPERNET_CHECKPOINTS,
            artifacts.SUPERNET_METRICS,
            artifacts.SUPERNET_RESULT,
        ),
        harmless=("method.indicator", "method.measured_batches", *OF_THE_SCORE),
        reads_data=True,
        trains=True,
    ),
    "indicator": Stage(
        sections=("seed", "space", "data", "method", "supernet"),
        reads=(artifacts.SUPERNET_RESULT,),
        writes=(artifacts.INDICATOR,),
        harmless=OF_THE_SCORE,
    ),
    "search": Stage(  # and what its score needs, see `search_stage`
        sections=("seed", "space", "method", "search"),
        reads=(),
        writes=(
            artifacts.SEARCH_STATE,
            artifacts.SEARCH_HISTORY,
            artifacts.CANDIDATES,
            artifacts.PARETO,
            artifacts.BEST,
            artifacts.COMPARISON,
        ),
        may_write=(artifacts.EXACT_FRONT, artifacts.LATENCY),
    ),
    "retrain": Stage(
        sections=("seed", "space", "data", "retrain"),
        reads=(artifacts.BEST,),
        writes=(
            artifacts.RETRAIN_CHECKPOINTS,
            artifacts.RETRAIN_METRICS,
            artifacts.RETRAIN_NETWORK,
            artifacts.RETRAIN_RESULT,
        ),
        may_write=(artifacts.TEACHER,),
        reads_data=True,
        trains=True,
    ),
    "export": Stage(
        sections=("export",),
        reads=(artifacts.RETRAIN_RESULT,),
        shows=(
            artifacts.RETRAIN_NETWORK,
            f"{artifacts.RETRAIN_NETWORKS}/*/{artifacts.NETWORK}",
        ),
        writes=(artifacts.EXPORT,),
        renewed=True,
        by_default=False,
    ),
    "report": Stage(
        sections=("seed", "space", "data", "method", "supernet", "search", "retrain"),
        reads=(),
        shows=(
            artifacts.SUPERNET_METRICS,
            artifacts.SUPERNET_RESULT,
            artifacts.DISTURBANCE,
            artifacts.ROOM,
            artifacts.INDICATOR,
            artifacts.SEARCH_HISTORY,
            artifacts.CANDIDATES,
            artifacts.PARETO,
            artifacts.EXACT_FRONT,
            artifacts.LATENCY,
            artifacts.BEST,
            artifacts.COMPARISON,
            artifacts.RETRAIN_METRICS,
            artifacts.RETRAIN_RESULT,
            artifacts.ISOMETRY,
            artifacts.DATA,
            f"{artifacts.SEARCHES}/*/{artifacts.RESULTS}",
        ),
        writes=(artifacts.REPORT, artifacts.RESULTS, artifacts.FIGURES),
        renewed=True,
    ),
}

BY_DEFAULT = tuple(name for name, stage in STAGES.items() if stage.by_default)

# How often something is written, who reads the images, and when a training gives up
# change no result. Nor does `skip` change what was done before an image was corrupt.
OF_TRAININGS = ("log_every", "checkpoint_every", "keep_checkpoints", "spike_factor")
OF_SEARCHES = ("search.name", "search.supernet")  # whose data and supernet are compared
HARMLESS = (
    "data.workers",
    "data.corrupt",
    "retrain.evaluate_every",
    *OF_SEARCHES,
) + tuple(
    f"{section}.{field}"
    for section in ("supernet", "retrain")
    for field in OF_TRAININGS
)


@dataclasses.dataclass(frozen=True)
class Need:
    """What a score, or weights to begin with, may need.

    Attributes:
      sections: config sections on which it then depends.
      artefact: what it reads; empty for data.
    """

    sections: tuple[str, ...]
    artefact: str = ""


NEEDS: dict[str, Need] = {
    "supernet": Need(("data", "method", "supernet"), artifacts.SUPERNET_RESULT),
    "indicator": Need(("data", "method", "supernet"), artifacts.INDICATOR),
    "data": Need(("data",)),
    "validation": Need(("data",)),  # a validation split
}


def supernet_stage(disturbance: bool, room: bool) -> Stage:
    """The stage that trains a supernet, and what it measures in doing so.

    Args:
      disturbance: whether that of paths is measured.
      room: whether updates are projected, which says how much room is left.
    """
    asked = {artifacts.DISTURBANCE: disturbance, artifacts.ROOM: room}
    measured = [path for path, wanted in asked.items() if wanted]
    stage = STAGES["supernet"]
    return dataclasses.replace(stage, writes=(*stage.writes, *measured))


def indicator_stage(measures: bool) -> Stage:
    """The stage that reads the indicator, and whether it measures for it on images."""
    return dataclasses.replace(STAGES["indicator"], reads_data=measures)


def search_stage(needs: Iterable[str]) -> Stage:
    """The search stage of a score.

    Args:
      needs: keys of `NEEDS`.
    """
    stage = _with_needs(STAGES["search"], needs)
    return dataclasses.replace(stage, reads_data="data" in needs)


def retrain_stage(networks: int, given: bool, needs: Iterable[str]) -> Stage:
    """The stage that retrains one network, or several in folders of their own.

    Args:
      networks: how many.
      given: whether the config has the network, so that none is searched.
      needs: keys of `NEEDS`, of the weights with which it begins.
    """
    stage, needs = STAGES["retrain"], frozenset(needs)
    several = artifacts.RETRAIN_NETWORKS, artifacts.RETRAIN_RESULT
    chosen = dataclasses.replace(
        stage,
        harmless=STAGES["supernet"].harmless if needs else (),
        reads=() if given else stage.reads,
        writes=several if networks > 1 else stage.writes,
    )
    return _with_needs(chosen, needs)


def _with_needs(stage: Stage, needs: Iterable[str]) -> Stage:
    """A stage that depends on these keys of `NEEDS`, too."""
    added = [NEEDS[name] for name in sorted(needs)]
    sections = [section for need in added for section in need.sections]
    reads = [need.artefact for need in added if need.artefact]
    return dataclasses.replace(
        stage,
        sections=(*stage.sections, *sections),
        reads=(*stage.reads, *reads),
    )


def maker_of(artefact: str) -> str:
    """The stage that writes an artefact."""
    return next(name for name, stage in STAGES.items() if artefact in stage.writes)
