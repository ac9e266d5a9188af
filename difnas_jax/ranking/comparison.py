"""Scores side by side against a table: counted, measured, combined and fitted ones."""

from collections.abc import Iterable

import numpy as np

from difnas_jax.errors import require
from difnas_jax.ranking.combiners import COMBINERS, Combiner, rank_shares
from difnas_jax.ranking.evaluation import Numbers, evaluation
from difnas_jax.ranking.fitted import fit
from difnas_jax.ranking.path_counts import path_counts, structure
from difnas_jax.ranking.tables import BenchmarkTable

NULLS = ("params", "macs", "live_convs")  # beside every score
FITTED = "fitted_path_counts"

# float64[S, N] by name, of S repeats, larger for better networks.
Scores = dict[str, np.ndarray]


def counted(table: BenchmarkTable) -> Scores:
    """What is counted without a network, in one row: costs and `structure`.

    Of `pool_paths` fewer are better, as its column says.
    """
    counts = structure(table.space, table.architectures)
    return {name: values[None] * 1.0 for name, values in (table.costs | counts).items()}


def check_combination(text: str, names: Iterable[str]) -> tuple[Combiner, list[str]]:
    """The combiner and the names of `COMBINER:NAME+NAME+...`.

    Args:
      text: of a flag.
      names: those that can be combined.

    Raises:
      InputError: another form, an unknown combiner or an unknown name.
    """
    combiner, _, terms = text.partition(":")
    expected = f"one of {', '.join(COMBINERS)}, a colon and names joined by +"
    require(combiner in COMBINERS, "--combine", expected, repr(text))
    known = list(names)
    for name in terms.split("+"):
        expected = f"names among {', '.join(known)}"
        require(name in known, "--combine", expected, repr(name))
    return COMBINERS[combiner], terms.split("+")


def combined(text: str, scores: Scores) -> np.ndarray:
    """One score of several.

    Args:
      text: `COMBINER:NAME+NAME+...`; a name that stands twice counts twice.
      scores: those that can be named; one row serves every repeat of the others.

    Returns:
      float64[S, N].

    Raises:
      InputError: as `check_combination`.
    """
    combine, names = check_combination(text, scores)
    columns = np.broadcast_arrays(*(scores[name] for name in names))
    repeats = np.stack(columns, axis=-1)  # [S, N, terms]
    return np.stack([combine(values) for values in repeats])


def evaluations(
    table: BenchmarkTable, scores: Scores, *, fit_to: int = 0, seed: int = 0
) -> dict[str, dict[str, Numbers]]:
    """The numbers of `evaluation` by data set and score.

    Args:
      table: N architectures.
      scores: float64[S, N].
      fit_to: to how many architectures a ranking by path counts, and one by path counts
        and the ranks of all scores, is fitted; all scores are judged on the others,
        which have no network in common with these. 0: none is fitted.
      seed: of the split and the folds.

    Raises:
      InputError: as `check_fit`.
    """
    check_fit(table, fit_to, seed)
    known, judged = split(table, fit_to, seed)
    features = fitted_features(table, scores) if fit_to else {}
    found = {}
    for data_set, accuracies in table.by_data_set.items():
        rows = {name: repeats[:, judged] for name, repeats in scores.items()}
        for name, columns in features.items():
            predict = fit(columns[known], accuracies[known])
            rows[name] = predict(columns[judged])[None]
        found[data_set] = {
            name: evaluation(repeats, table[judged], data_set, seed=seed)
            for name, repeats in rows.items()
        }
    return found


def fitted_features(table: BenchmarkTable, scores: Scores) -> dict[str, np.ndarray]:
    """float64[N, F] by name of the ranking that is fitted to them."""
    paths = path_counts(table.space, table.architectures)
    shares = rank_shares(np.stack([rows[0] for rows in scores.values()], axis=1))
    return {FITTED: paths, f"{FITTED}_and_scores": np.hstack([paths, shares])}


def check_fit(table: BenchmarkTable, count: int, seed: int) -> None:
    """Refuse to fit to fewer than two networks, or to judge on fewer.

    Args:
      table: N architectures.
      count: to how many of them a ranking is fitted; 0: none is.
      seed: of the split.

    Raises:
      InputError: naming the number.
    """
    fewest = min(
        len(np.unique(table.network[part])) for part in split(table, count, seed)
    )
    expected = (
        f"0, or a number that leaves two networks on each side of {len(table)} "
        "architectures"
    )
    require(not count or fewest > 1, "--fit", expected, count)


def split(
    table: BenchmarkTable, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two parts of a table that have no network in common.

    Args:
      table: N architectures.
      count: how many of them the first part has at most.
      seed: of the drawing.

    Returns:
      int[M] and int[N - M], rows of the table.
    """
    numbers, members = np.unique(table.network, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(numbers))[members]
    whole = np.searchsorted(np.cumsum(np.bincount(place)), count, side="right")
    return np.flatnonzero(place < whole), np.flatnonzero(place >= whole)
