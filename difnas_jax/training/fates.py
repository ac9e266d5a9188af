"""What trains: a rule gives every leaf of the parameters one of three fates.

`trained`: in the collection `params`, and the optimizer moves it. `held`: in `params`
too, but an optax mask keeps it where it is. `frozen`: in the collection `frozen`, which
no optimizer sees; kernels of convolutions only. Modules do not know of fates: they read
a kernel from the collection in which it lies.
"""

from collections.abc import Callable
from typing import Any

import flax.traverse_util

from difnas_jax.models.blocks import INDICATOR_BATCH_NORMS

Leaf = tuple[str, ...]
Fates = dict[Leaf, str]
Matches = Callable[[Leaf, tuple[int, ...]], bool]  # (name, shape)
Rule = tuple[tuple[Matches, str], ...]

TRAINED, HELD, FROZEN = "trained", "held", "frozen"


def leaves_of(tree: Any) -> dict[Leaf, Any]:
    """A nested dictionary as a flat one, by name."""
    return flax.traverse_util.flatten_dict(tree)


def tree_of(leaves: dict[Leaf, Any]) -> Any:
    """The inverse of `leaves_of`."""
    return flax.traverse_util.unflatten_dict(leaves)


def _any(leaf: Leaf, shape: tuple[int, ...]) -> bool:
    return True


def _classifier(leaf: Leaf, shape: tuple[int, ...]) -> bool:
    return leaf[0] == "classifier"


def _batch_norm(leaf: Leaf, shape: tuple[int, ...]) -> bool:
    return leaf[-2].startswith("bn_") and leaf[-1] in ("scale", "bias")


def _indicator(leaf: Leaf, shape: tuple[int, ...]) -> bool:
    """The batch norm by which a candidate scores: its last one."""
    return leaf[0].startswith("layer_") and leaf[-2] in INDICATOR_BATCH_NORMS


def _kernel(leaf: Leaf, shape: tuple[int, ...]) -> bool:
    return leaf[-1] == "kernel"


def _spatial_kernel(leaf: Leaf, shape: tuple[int, ...]) -> bool:
    """A kernel of more than one pixel, [k, k, C_in, C_out]."""
    return _kernel(leaf, shape) and len(shape) == 4 and shape[0] > 1


# The first match decides. `Differs from the paper:` it does not say whether the
# classifier trains; `method.train_classifier` does here.
TRAINABLE: dict[str, Rule] = {
    "indicator": (
        (_indicator, TRAINED),
        (_batch_norm, HELD),
        (_kernel, FROZEN),
    ),
    "all_bn": ((_batch_norm, TRAINED), (_kernel, FROZEN)),
    "spatial": (
        (_batch_norm, TRAINED),
        (_spatial_kernel, TRAINED),
        (_kernel, FROZEN),
    ),
    "all": ((_any, TRAINED),),
}


def fates_of(params: Any, trainable: str, train_classifier: bool) -> Fates:
    """The fate of every leaf.

    Args:
      params: nested dictionary of arrays or shapes: all parameters of a network.
      trainable: key of `TRAINABLE`.
      train_classifier: whether the classifier trains where kernels are frozen; under
        `all` it does anyway.

    Returns:
      One of `TRAINED`, `HELD` and `FROZEN` by name of the leaf.

    Raises:
      ValueError: a leaf that the rule does not cover, such as a batch norm of another
        name.
    """
    classifier = TRAINED if train_classifier or trainable == "all" else HELD
    rule: Rule = ((_classifier, classifier), *TRAINABLE[trainable])
    leaves = leaves_of(params)
    return {leaf: _fate(leaf, array.shape, rule) for leaf, array in leaves.items()}


def _fate(leaf: Leaf, shape: tuple[int, ...], rule: Rule) -> str:
    for matches, fate in rule:
        if matches(leaf, shape):
            return fate
    raise ValueError(f"no rule says whether {'/'.join(leaf)} {list(shape)} trains")


def split(variables: dict[str, Any], fates: Fates) -> dict[str, Any]:
    """Move the frozen leaves from `params` into the collection `frozen`.

    Args:
      variables: collections by name, with all parameters in `params`.
      fates: of all leaves of `params`.

    Returns:
      The collections, `frozen` among them (empty where nothing is frozen).
    """
    leaves = leaves_of(variables["params"])
    frozen = {leaf: leaves.pop(leaf) for leaf in fates if fates[leaf] == FROZEN}
    return {
        **variables,
        "params": tree_of(leaves),
        "frozen": tree_of(frozen),
    }


def merge(variables: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `split`: one plain tree of parameters, and no frozen ones.

    For whoever differentiates by everything; the network computes the same.
    """
    params = leaves_of(variables["params"])
    frozen = leaves_of(variables.get("frozen", {}))
    merged = tree_of({**params, **frozen})
    return {**variables, "params": merged, "frozen": {}}
