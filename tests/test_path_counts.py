"""Counts of paths, against walking them one by one; and the ranking fitted to them."""

import itertools

import numpy as np
from cell_tables import SPACE, some_cells

from difnas_jax.ranking.correlation import kendall_tau_b
from difnas_jax.ranking.fitted import fit
from difnas_jax.ranking.path_counts import path_counts, structure
from difnas_jax.ranking.tables import read_nas_bench_201
from difnas_jax.spaces.mobilenet import digits

NONE, SKIP, SMALL, LARGE, POOL = range(5)


def walks(cell):
    """The ops on each path without zero, by every choice of inner nodes."""
    ops = dict(zip(SPACE.graph, cell, strict=True))
    for inner in ((), (1,), (2,), (1, 2)):
        path = [ops[edge] for edge in itertools.pairwise((0, *inner, 3))]
        if NONE not in path:
            yield path


def test_structure_is_that_of_the_walks(rng):
    cells = some_cells(rng, 200)
    found = structure(SPACE, cells)
    for number, cell in enumerate(cells):
        paths = list(walks(cell))
        convs = [sum(op in (SMALL, LARGE) for op in path) for path in paths]
        dry = [c for c, path in zip(convs, paths, strict=True) if POOL not in path]
        wet = [c for c, path in zip(convs, paths, strict=True) if POOL in path]
        expected = {
            "depth": max(convs, default=-1),
            "large_depth": max((path.count(LARGE) for path in paths), default=-1),
            "unpooled_depth": max(dry, default=-1),
            "unpooled_paths": len(dry),
            "pool_paths": wet.count(0),
            "skip": int(0 in dry),
        }
        assert {name: found[name][number] for name in expected} == expected


def test_what_does_not_reach_the_output_does_not_count(rng):
    """A dead op may be any other: it is not live, and on no path."""
    cells = some_cells(rng, 400)
    live = np.array([_live(cell) for cell in cells])
    cleared = np.where(live, cells, NONE)
    assert (live != (cells != NONE)).any()
    for name, values in structure(SPACE, cells).items():
        np.testing.assert_array_equal(values, structure(SPACE, cleared)[name])
    np.testing.assert_array_equal(
        path_counts(SPACE, cells), path_counts(SPACE, cleared)
    )
    counts = structure(SPACE, cells)
    is_conv = (cleared == SMALL) | (cleared == LARGE)
    np.testing.assert_array_equal(counts["live_convs"], is_conv.sum(1))
    np.testing.assert_array_equal(counts["large_convs"], (cleared == LARGE).sum(1))


def _live(cell):
    """Which edges some path without zero passes."""
    ops = dict(zip(SPACE.graph, cell, strict=True))
    used = set()
    for inner in ((), (1,), (2,), (1, 2)):
        edges = list(itertools.pairwise((0, *inner, 3)))
        if all(ops[edge] != NONE for edge in edges):
            used.update(edges)
    return [edge in used for edge in SPACE.graph]


def test_features_count_the_ops_of_a_chain():
    """A chain has one path, so that most and fewest are the number of ops."""
    space = digits(image_size=8, image_channels=1, num_classes=10)
    identity = space.identity
    first = [layer.ops[0] for layer in space.layers]
    dropped = np.array([first, first])
    layer = int(np.flatnonzero(space.skippable)[0])
    dropped[1, layer] = identity
    whole, less = structure(space, dropped)["live_convs"]
    assert (whole, less) == (space.num_layers, space.num_layers - 1)
    features = path_counts(space, dropped)
    assert features.shape == (2, 6 * (2**space.num_ops - 1))
    live, _, _, most, fewest, without = features.T.reshape(-1, 6, 2).swapaxes(0, 1)
    np.testing.assert_array_equal(live, most)
    np.testing.assert_array_equal(live, fewest)
    np.testing.assert_array_equal(without, live == 0)


def test_a_fit_finds_products_of_features(rng):
    features = rng.integers(0, 4, (400, 5)).astype(float)
    quality = features[:, 0] * features[:, 1] - features[:, 2] ** 2
    accuracies = 100 - np.exp(2 - 0.2 * quality)
    predict = fit(features[:200], accuracies[:200])
    found = predict(features[200:])
    assert kendall_tau_b(found, accuracies[200:]) > 0.95
    # A feature that never changes says nothing.
    wide = np.hstack([features, np.ones((400, 1))])
    again = fit(wide[:200], accuracies[:200])(wide[200:])
    assert kendall_tau_b(again, found) > 0.97
    assert np.isfinite(fit(features, np.full(400, 100.0))(features)).all()


def test_the_fitted_ranking_on_the_public_table(shared_data):
    """On networks of which none was fitted, with 1,000 accuracies."""
    table = read_nas_bench_201(shared_data / "nb201_half.csv")
    classes = np.random.default_rng(0).permutation(table.network.max() + 1)
    order = np.argsort(classes[table.network], kind="stable")
    known, others = order[:1000], order[1000:]
    others = others[~np.isin(table.network[others], table.network[known])]
    features = path_counts(table.space, table.architectures)
    for accuracies in table.by_data_set.values():
        found = fit(features[known], accuracies[known])(features[others])
        assert kendall_tau_b(found, accuracies[others]) > 0.83
