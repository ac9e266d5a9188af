"""What can be counted of an architecture as a graph, without any network.

The layers are the edges of a graph from the input to the output; a chain has one path.
A zero op cuts its paths, and only ops on a path that is not cut are live.

Source: Kadlecova et al., "Surprisingly strong performance prediction with neural graph
features", ICML 2024, arXiv 2404.16551, count paths and degrees by sets of ops too. Ours
count the ops on the live paths.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from difnas_jax.spaces.base import Op, SearchSpace
from difnas_jax.spaces.cell import PASSING, ZERO

LARGE = 3  # side in pixels of a kernel that sees more than one place


def structure(space: SearchSpace, architectures: np.ndarray) -> dict[str, np.ndarray]:
    """Counts that say something about an architecture each on its own.

    Ops with weights are all but zero, pooling and identity, be it strided or not.

    Args:
      space: the search space.
      architectures: int[N, L], valid ones.

    Returns:
      int64[N] by name: `live_convs`, live ops with weights (of a chain its blocks);
      `large_convs`, those with kernels of at least 3 pixels; `depth`, the most ops with
      weights on a path; `large_depth`, the same of large ones; `unpooled_depth`, the
      most ops with weights on a path without pooling; `unpooled_paths`, the number of
      those paths; `pool_paths`, the number of paths with pooling and nothing that has
      weights, where fewer are better; `skip`, 1 where the input reaches the output
      unchanged.
    """
    architectures = np.asarray(architectures)
    weighted = _is(space, lambda op: op.kind not in (ZERO, *PASSING))[architectures]
    large = weighted & _is(space, lambda op: op.kernel >= LARGE)[architectures]
    pooling = _is(space, lambda op: op.kind == "avg_pool")[architectures]
    paths, open_ = _paths(space), _open(space, architectures)
    live, convs = _live(open_, paths), _on_path(weighted, paths)
    unpooled = open_ & (_on_path(pooling, paths) == 0)
    return {
        "live_convs": (weighted & live).sum(1),
        "large_convs": (large & live).sum(1),
        "depth": _most(convs, open_),
        "large_depth": _most(_on_path(large, paths), open_),
        "unpooled_depth": _most(convs, unpooled),
        "unpooled_paths": unpooled.sum(1),
        "pool_paths": (open_ & ~unpooled & (convs == 0)).sum(1),
        "skip": (unpooled & (convs == 0)).any(1).astype(int),
    }


def path_counts(space: SearchSpace, architectures: np.ndarray) -> np.ndarray:
    """Six counts for every set of ops: the features of the fitted ranking.

    Of a set of ops they are: its live ops, those from the input, those into the output,
    the most and the fewest on a live path, and the live paths that have none.

    Args:
      space: the search space, of at most ten or so ops, since it is all sets.
      architectures: int[N, L], valid ones.

    Returns:
      float64[N, F], F = 6 (2^O - 1) with O ops other than zero.
    """
    architectures = np.asarray(architectures)
    paths, open_ = _paths(space), _open(space, architectures)
    live = _live(open_, paths)
    first, last = ([path[end] for path in paths] for end in (0, -1))
    columns = []
    for ops in _sets(space):
        member = np.isin(architectures, ops) & live
        count = _on_path(member, paths)
        columns += [
            member.sum(1),
            member[:, np.unique(first)].sum(1),
            member[:, np.unique(last)].sum(1),
            _most(count, open_),
            np.where(open_, count, space.num_layers).min(1),
            (open_ & (count == 0)).sum(1),
        ]
    return np.stack(columns, axis=1).astype(np.float64)


def _is(space: SearchSpace, test: Callable[[Op], bool]) -> np.ndarray:
    """bool[O]."""
    return np.array([test(op) for op in space.ops])


def _sets(space: SearchSpace) -> Iterator[tuple[int, ...]]:
    """Every set of ops but the empty one, without zero."""
    ops = [index for index, op in enumerate(space.ops) if op.kind != ZERO]
    for size in range(1, len(ops) + 1):
        yield from itertools.combinations(ops, size)


def _paths(space: SearchSpace) -> list[list[int]]:
    """The layers on each path from the input to the output."""
    target_of_last = space.graph[-1][1]

    def onward(node: int) -> Iterator[list[int]]:
        if node == target_of_last:
            yield []
        for layer, (source, target) in enumerate(space.graph):
            if source == node:
                yield from ([layer, *rest] for rest in onward(target))

    return list(onward(space.graph[0][0]))


def _open(space: SearchSpace, architectures: np.ndarray) -> np.ndarray:
    """bool[N, P]: which paths have no zero op."""
    passes = _is(space, lambda op: op.kind != ZERO)[architectures]
    return np.stack([passes[:, path].all(1) for path in _paths(space)], axis=1)


def _live(open_: np.ndarray, paths: list[list[int]]) -> np.ndarray:
    """bool[N, L]: which layers lie on a path that is open, of bool[N, P]."""
    layers = range(1 + max(map(max, paths)))
    holds = [[layer in path for path in paths] for layer in layers]
    return np.stack([open_[:, mask].any(1) for mask in holds], axis=1)


def _on_path(member: np.ndarray, paths: list[list[int]]) -> np.ndarray:
    """int64[N, P]: how many layers of each path are members, of bool[N, L]."""
    return np.stack([member[:, path].sum(1) for path in paths], axis=1)


def _most(count: np.ndarray, among: np.ndarray) -> np.ndarray:
    """int64[N]: the largest count among some of the paths; -1 where there are none."""
    return np.where(among, count, -1).max(1)
