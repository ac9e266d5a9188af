"""`difnas_jax.load`: the network of a run, to use it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from difnas_jax.config.build import architecture_of, build_wiring
from difnas_jax.config.files import saved_config
from difnas_jax.deployment import saved
from difnas_jax.deployment.network import TrainedNetwork
from difnas_jax.deployment.preprocessing import Preprocessing
from difnas_jax.errors import require
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.given_paths import given_path
from difnas_jax.runtime.jax_settings import standard_settings
from difnas_jax.runtime.mesh import device_count
from difnas_jax.runtime.versions import versions
from difnas_jax.scoring.accuracy import path_accuracy
from difnas_jax.spaces import SPACES


def load(
    run: str | Path,
    *,
    search: str = "",
    rank: int = 0,
    path: str | Sequence[int] | Sequence[str] | None = None,
) -> TrainedNetwork:
    """The network that a run retrained, or a subnet of its supernet.

    A retrained network needs neither the data nor the config file of the run, and
    nothing in its folder is changed.

    Args:
      run: the workdir.
      search: name of a named search of the run (`search.name`).
      rank: which of several networks that were retrained, the best first.
      path: instead of a retrained network, the supernet along these ops, one of each
        layer, names or indices; in a text separated by commas. Its batch-norm
        statistics come from training images, as in a search by accuracy, so this needs
        the data.

    Raises:
      InputError: no such network, it is not trained to its end, or there is no device.
    """
    device_count()
    workdir = given_path("run", run)
    require(workdir.is_dir(), "run", "the workdir of a run", repr(str(run)))
    fits = isinstance(rank, int) and rank >= 0
    require(fits, "rank", "0 for the best network, 1 for the next, ...", repr(rank))
    if path is not None:
        other = {"search": search, "rank": rank}
        for name, value in other.items():
            require(not value, name, "none beside a path of the supernet", repr(value))
        text = path if isinstance(path, str) else ",".join(map(str, path))
        with standard_settings():
            return _subnet(workdir, text)
    if search:
        workdir = _named(workdir, search)
    with standard_settings():
        return saved.read(saved.folder_of("run", workdir, rank))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of a command that say which network is meant: those of `load`."""
    add = parser.add_argument
    add("run", metavar="RUN", help="the workdir of a run")
    add("--search", default="", metavar="NAME", help="a named search")
    text = "which of several networks that were retrained, the best first (0)"
    add("--rank", type=int, default=0, metavar="N", help=text)


def _named(workdir: Path, name: str) -> Path:
    """The workdir of a named search."""
    folder = workdir / artifacts.SEARCHES
    known = sorted(path.name for path in folder.glob("*") if path.is_dir())
    expected = f"one of {', '.join(known)}"
    if not known:
        expected = "no name, as the run has no named searches"
    require(name in known, "search", expected, repr(name))
    return folder / name


def _subnet(workdir: Path, path: str) -> TrainedNetwork:
    """The supernet along a path, with batch-norm statistics of its own."""
    config = saved_config(workdir / "config.json")
    known, name = config.space.name in SPACES, config.space.name
    expected = "a space that is registered, by load_config of the run's config file"
    require(known, "path", expected, f"space {name!r}")
    space = build_wiring(config).sampled
    architecture = architecture_of(path, space, "path")
    accuracy = path_accuracy(config, workdir)
    statistics = accuracy.statistics(np.array([architecture], np.int32))
    own = jax.tree.map(lambda leaf: leaf[0], statistics)  # [1, C] -> [C]
    classes = files.read_json(workdir / artifacts.DATA, ("classes",))["classes"]
    normalizer = accuracy.recalibration.normalizer
    return TrainedNetwork(
        model=accuracy.model,
        variables=jax.tree.map(np.asarray, {**accuracy.variables, "batch_stats": own}),
        architecture=architecture,
        preprocessing=Preprocessing.of(config, normalizer, classes),
        facts={"versions": versions()},
    )
