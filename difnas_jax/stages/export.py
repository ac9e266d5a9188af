"""Stage of a run that asks for it: the trained network in other forms. `export/`."""

import shutil
from pathlib import Path

from ml_collections import ConfigDict

from difnas_jax.deployment import saved
from difnas_jax.deployment.exporters import write_forms
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.processes import is_main_process


def run(config: ConfigDict, workdir: Path) -> None:
    """Write the network that was retrained, of several the best one.

    The folder is the run's own: what is in it is replaced as a whole, and what a
    process left that was killed is removed.
    """
    network = saved.read(saved.folder_of("stages", workdir))
    if not is_main_process():
        return
    for left in workdir.glob(f".{artifacts.EXPORT}.*.tmp"):
        shutil.rmtree(left)
    with files.atomic_folder(workdir / artifacts.EXPORT) as folder:
        write_forms(network, folder, config.export.formats, config.export.fold)
        shutil.rmtree(workdir / artifacts.EXPORT, ignore_errors=True)
