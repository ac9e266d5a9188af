"""What modules record beside their outputs, in collections that the caller asks for."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn


def keep(module: nn.Module, collection: str, path: tuple[str, ...], tree: Any) -> None:
    """Add what was recorded to a collection of a module, under a path."""
    first, *rest = path
    for name in reversed(rest):
        tree = {name: tree}
    kept = module.get_variable(collection, first, None)
    module.put_variable(collection, first, tree if kept is None else _sum(kept, tree))


def _sum(one: Any, other: Any) -> Any:
    """The sum of two trees; what only one has stays as it is."""
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return one + other
    both = {name: _sum(one[name], other[name]) for name in one.keys() & other.keys()}
    return {**one, **other, **both}
