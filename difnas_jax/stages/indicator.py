"""Stage 2: read the indicator off the supernet. Writes `indicator.npz`."""

from pathlib import Path

from ml_collections import ConfigDict

from difnas_jax.config.build import supernet_workdir
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.processes import is_main_process
from difnas_jax.runtime.versions import versions
from difnas_jax.scoring.indicators import INDICATORS, raw_gammas
from difnas_jax.scoring.path_losses import full_evidence
from difnas_jax.scoring.reliability import doubts_about_accuracy
from difnas_jax.scoring.trained_supernet import trained_supernet

RESULT_KEYS = ("accuracy", "examples", "split", "chance")


def run(config: ConfigDict, workdir: Path) -> None:
    """Score every candidate of every layer from the last supernet checkpoint.

    Warns where the supernet may have learnt nothing, or no op is told from another.

    Raises:
      InputError: the supernet is not there or not trained to its end.
    """
    trained = trained_supernet(config, workdir)
    evidence = full_evidence(config, trained)
    row = INDICATORS[config.method.indicator]
    result = files.read_json(
        supernet_workdir(config, workdir) / artifacts.SUPERNET_RESULT, RESULT_KEYS
    )
    doubts = doubts_about_accuracy(result, "supernet", "the indicator may be noise")
    warnings = [*doubts, *row.doubts(evidence)]
    for warning in warnings:
        say(f"indicator: warning: {warning}")
    provenance = {
        "space": config.space.to_dict(),
        "method": config.method.to_dict(),
        "data": config.data.source,
        "seed": config.seed,
        "supernet_step": trained.step,
        "warnings": warnings,
        "versions": versions(),
    }
    if is_main_process():
        table = row.measure(evidence)
        indicator = artifacts.Indicator(table, raw_gammas(evidence), provenance)
        indicator.save(workdir / artifacts.INDICATOR)
