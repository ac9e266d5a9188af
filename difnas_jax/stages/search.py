"""Stage 3: search for the best network within the budget. Writes `search/`.

The reference algorithms of the config run beside the chosen one, so that every result
can be compared with random search of as many evaluations and with the exact optimum.
"""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from difnas_jax.config.build import (
    build_budget,
    build_costs,
    build_space,
    build_wiring,
    latency_file,
)
from difnas_jax.errors import InputError, require
from difnas_jax.runtime import artifacts, files, shutdown
from difnas_jax.runtime.events import EventFile
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.processes import is_main_process, on_all_processes
from difnas_jax.runtime.progress import Progress
from difnas_jax.scoring.parts import in_parts
from difnas_jax.scoring.proxies import COLUMNS
from difnas_jax.scoring.reliability import doubts_about_search
from difnas_jax.scoring.scorers import SCORERS, Scorer, counted, scorer_row
from difnas_jax.search.algorithms import ALGORITHMS, Search, compare_searches
from difnas_jax.search.base import Settings
from difnas_jax.search.candidates import SCORE, Candidates
from difnas_jax.search.nsga2 import check_objectives
from difnas_jax.search.problem import Problem
from difnas_jax.stages.kept import front_of, kept_networks


def run(config: ConfigDict, workdir: Path) -> None:
    """Search, and run the references.

    Raises:
      InputError: a damaged artefact, or the chosen algorithm finds no network.
      Stopped: a signal was received; the last generation is saved.
    """
    space = build_wiring(config).searched
    scorer = scorer_row(config).build(config, workdir, space)
    problem = Problem(
        space,
        build_costs(config),
        build_budget(config),
        table=scorer.table,
        relative=scorer.relative,
    )
    searches = {
        name: Search(ALGORITHMS[name](problem, Settings.of(config.search), config.seed))
        for name in algorithms(config)
    }
    # A barrier: no process writes before all have read.
    on_all_processes(lambda: restore(workdir / artifacts.SEARCH_STATE, searches))
    if is_main_process():
        keep_latencies(latency_file(config), workdir / artifacts.LATENCY)
    found = {}
    for name in searches:
        try:
            found[name] = _search(name, searches, scorer, config, workdir)
        except InputError as error:
            # A score that reads data may fail on this process alone.
            if name == config.search.algorithm or not scorer_row(config).additive:
                raise
            say(f"search: reference {name} is left out ({error})")
    if is_main_process():
        _write(config, workdir, problem, scorer, searches, found)


def keep_latencies(table: Path | None, path: Path) -> None:
    """Keep a copy of the table, for the report and for when the workdir has moved."""
    if table is None:
        path.unlink(missing_ok=True)
        return
    content = table.read_bytes()  # perhaps it is that copy
    with files.atomic_write(path, "wb") as file:
        file.write(content)


def algorithms(config: ConfigDict) -> list[str]:
    """The chosen algorithm, then the references that the score allows."""
    row, names = scorer_row(config), [config.search.algorithm]
    for name in config.search.references:
        algorithm = ALGORITHMS[name]
        lacks = algorithm.needs_subsets and counted(config)
        if name not in names and row.allows(algorithm) and not lacks:
            names.append(name)
    return names


def check_algorithms(config: ConfigDict) -> None:
    """Refuse an algorithm that cannot run.

    Raises:
      InputError: an unknown reference or objective, a population or a distance that
        does not fit, an algorithm that needs an additive score or scores of sets of ops
        where the score has none, or a score of unknown columns.
    """
    check_proxies(config)
    settings = Settings.of(config.search)
    space, distance = build_space(config), config.search.distance
    most = f"at most {space.num_layers}, the layers of space {space.name!r}"
    require(distance <= space.num_layers, "search.distance", most, distance)
    relative, costs = scorer_row(config).relative, build_costs(config).tables
    scored = relative(config).directions if relative else {}
    columns = dict.fromkeys((SCORE, *costs, *scored))
    check_objectives(config.search.objectives, columns)
    for name in config.search.references:
        known = f"some of {', '.join(ALGORITHMS)}"
        require(name in ALGORITHMS, "search.references", known, repr(name))
    for name in algorithms(config):
        least = ALGORITHMS[name].least_population(settings)
        expected = f"{least} (mutations + crossovers of {name}) or more"
        fits, population = settings.population >= least, settings.population
        require(fits, "search.population", expected, population)
    name, score = config.search.algorithm, config.method.score
    scores = [other for other, row in SCORERS.items() if row.allows(ALGORITHMS[name])]
    expected = f"another one than {name!r}, or method.score = {' or '.join(scores)}"
    require(score in scores, "search.algorithm", expected, repr(score))


def check_proxies(config: ConfigDict) -> None:
    """Refuse columns that no proxy makes, or that the algorithm cannot use.

    Raises:
      InputError: none or an unknown one, or one that a set of ops has not.
    """
    names, algorithm = config.method.proxies, config.search.algorithm
    expected = f"some of {', '.join(COLUMNS)}"
    fits = bool(names) and set(names) <= set(COLUMNS)
    require(fits, "method.proxies", expected, repr(",".join(map(str, names))))
    if ALGORITHMS[algorithm].needs_subsets:
        expected = f"columns of networks for search.algorithm = {algorithm!r}"
        counts = ",".join(counted(config))
        require(not counts, "method.proxies", expected, f"counts: {counts!r}")


def restore(path: Path, searches: dict[str, Search]) -> None:
    """Continue the searches from the state that an interrupted run saved.

    Raises:
      InputError: a damaged file.
    """
    if not path.exists():
        return
    states = files.read_checked_json(path)
    for name in states.keys() & searches.keys():
        with files.damage_as_input_error(path, "the state of a search"):
            searches[name].restore(states[name])


def _search(
    name: str,
    searches: dict[str, Search],
    scorer: Scorer,
    config: ConfigDict,
    workdir: Path,
) -> Candidates:
    """Run one of the searches; the states of all are saved after each generation.

    A signal stops it within a generation, which is then scored anew.
    """
    search, path = searches[name], workdir / artifacts.SEARCH_STATE
    rounds, done = search.algorithm.rounds, len(search.history)
    progress = Progress(name, rounds, done, "generations")
    events = EventFile.opened(path.parent / name, done)

    def best() -> dict[str, str]:
        score = search.history[-1]["best"]
        return {} if score is None else {"best": f"{score:.4g}"}

    def on_generation(row: dict[str, Any]) -> None:
        if events:
            events.write(len(search.history), row)
        if is_main_process():
            states = {name: search.state() for name, search in searches.items()}
            files.write_checked_json(path, states)
        progress.step(values=best)
        shutdown.raise_if_stop_requested()

    score = scorer.subsets if search.algorithm.needs_subsets else scorer.score
    assert score is not None  # checked before the run
    candidates = search.run(in_parts(score, scorer.at_once, name), on_generation)
    progress.finish(best)
    return candidates


def _write(
    config: ConfigDict,
    workdir: Path,
    problem: Problem,
    scorer: Scorer,
    searches: dict[str, Search],
    found: dict[str, Candidates],
) -> None:
    chosen = config.search.algorithm
    history, candidates = searches[chosen].history, found[chosen]
    files.write_json_lines(workdir / artifacts.SEARCH_HISTORY, history)
    artifacts.save_candidates(workdir / artifacts.CANDIDATES, candidates)
    front = front_of(problem, candidates)
    artifacts.save_candidates(workdir / artifacts.PARETO, front)
    rows = compare_searches(searches, found, problem)
    warnings = doubts_about_search(searches[chosen]) if scorer.relative else []
    for warning in warnings:
        say(f"search: warning: {warning}")
    comparison = {"chosen": chosen, "rows": rows, "images": scorer.images}
    comparison |= {"warnings": warnings}
    files.write_json(workdir / artifacts.COMPARISON, comparison)
    (workdir / artifacts.EXACT_FRONT).unlink(missing_ok=True)
    if "exact" in found and problem.budget.bounded <= {problem.traded}:
        front = front_of(problem, found["exact"])
        artifacts.save_candidates(workdir / artifacts.EXACT_FRONT, front)
    best, *others = kept_networks(config, problem, candidates)
    best.save(workdir / artifacts.BEST, others)
