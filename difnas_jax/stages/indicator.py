"""Stage 2: read the indicator off the supernet. Writes `indicator.npz`."""

from pathlib import Path

from ml_collections import ConfigDict

from difnas_jax.runtime import artifacts
from difnas_jax.runtime.processes import is_main_process
from difnas_jax.scoring.indicators import INDICATORS, raw_gammas
from difnas_jax.scoring.trained_supernet import evidence_of, trained_supernet


def run(config: ConfigDict, workdir: Path) -> None:
    """Score every candidate of every layer from the last supernet checkpoint.

    Raises:
      InputError: the supernet is not there or not trained to its end.
    """
    trained = trained_supernet(config, workdir)
    evidence = evidence_of(config, trained)
    table = INDICATORS[config.method.indicator].measure(evidence)
    provenance = {
        "space": config.space.to_dict(),
        "method": config.method.to_dict(),
        "data": config.data.source,
        "seed": config.seed,
        "supernet_step": trained.step,
        "versions": artifacts.versions(),
    }
    if is_main_process():
        indicator = artifacts.Indicator(table, raw_gammas(evidence), provenance)
        indicator.save(workdir / artifacts.INDICATOR)
