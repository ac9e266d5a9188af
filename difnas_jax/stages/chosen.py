"""Which stages a run has, and whether what they read is there or will be."""

import re
from pathlib import Path

from ml_collections import ConfigDict

from difnas_jax.config.build import stage_workdir
from difnas_jax.config.stages import STAGES, maker_of
from difnas_jax.errors import InputError, require
from difnas_jax.runtime import artifacts
from difnas_jax.runtime.files import read_json
from difnas_jax.runtime.markers import read_marker
from difnas_jax.scoring.scorers import stage_of


def chosen_stages(config: ConfigDict) -> list[str]:
    """The stages that run, in order.

    Raises:
      InputError: none, an unknown one, or another order.
    """
    chosen = list(config.stages)
    fits = bool(chosen) and chosen == [stage for stage in STAGES if stage in chosen]
    expected = f"some of {', '.join(STAGES)}, in this order"
    require(fits, "stages", expected, repr(",".join(map(str, chosen))))
    if not config.search.supernet:
        return chosen
    others = [stage for stage in chosen if stage != "supernet"]
    expected = "stages after the supernet's, as search.name or search.supernet is given"
    require(bool(others), "stages", expected, "'supernet'")
    return others


def check_inputs(config: ConfigDict, workdir: Path) -> None:
    """Refuse stages that read what is not there and what no stage of this run makes.

    Raises:
      InputError: naming the file and the stage that makes it.
    """
    stages = chosen_stages(config)
    if given := config.search.supernet:
        there = stage_workdir("supernet", config, workdir)
        trained = bool(read_marker(there, "supernet").get("complete"))
        expected = "the workdir of a run whose supernet is trained"
        require(trained, "search.supernet", expected, repr(given))
    for name in stages:
        for path in stage_of(name, config).reads:
            maker = maker_of(path)
            folder = stage_workdir(maker, config, workdir)
            if maker not in stages and not (folder / path).exists():
                other = ", or --config.search.supernet=WORKDIR of a trained one"
                raise InputError(
                    f"stages: {name} reads {folder / path}, which is missing; expected "
                    f"{maker} among the stages{other * (maker == 'supernet')}, got "
                    f"{', '.join(stages)}"
                )


def named_search(config: ConfigDict, workdir: Path) -> tuple[ConfigDict, Path]:
    """What `search.name` asks for, as a run of its own.

    Args:
      config: with a name.
      workdir: of the run whose supernet is searched, or that is to train it.

    Returns:
      The config without the name and with the supernet, empty where that is yet to be
      trained in the workdir; and the workdir of the search.

    Raises:
      InputError: a name that is not that of a folder.
    """
    name, own = config.search.name, config.copy_and_resolve_references()
    fits = re.fullmatch(r"\w[\w.-]*", name) is not None
    require(fits, "search.name", "letters, digits, '_', '.' and '-'", repr(name))
    own.search.name = ""
    own.search.supernet = config.search.supernet or _supernet_of(workdir)
    return own, workdir / artifacts.SEARCHES / name


def _supernet_of(workdir: Path) -> str:
    """The workdir of the supernet that the run in a workdir searched, if any."""
    path = workdir / "config.json"
    saved = read_json(path, ("search",)) if path.exists() else {"search": {}}
    trained = read_marker(workdir, "supernet").get("complete")
    return saved["search"].get("supernet") or (str(workdir) if trained else "")
