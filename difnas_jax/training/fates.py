"""What trains: a rule gives every leaf of the parameters one of three fates.

`trained`: in the collection `params`, and the optimizer moves it. `held`: in `params`
too, but an optax mask keeps it where it is. `frozen`: in the collection `frozen`, which
no optimizer sees; kernels of convolutions only. Modules do not depend on fates: they
read a kernel from the collection in which it lies.
"""

from typing import Any

import flax.traverse_util

from difnas_jax.models.blocks import INDICATOR_BATCH_NORMS

Leaf = tuple[str, ...]
Fates = dict[str, Any]  # nested like the parameters

TRAINED, HELD, FROZEN = "trained", "held", "frozen"


def leaves_of(tree: Any) -> dict[Leaf, Any]:
    """A nested dictionary as a flat one, by name."""
    return flax.traverse_util.flatten_dict(tree)


def tree_of(leaves: dict[Leaf, Any]) -> Any:
    """The inverse of `leaves_of`."""
    return flax.traverse_util.unflatten_dict(leaves)


def kind_of(leaf: Leaf, shape: tuple[int, ...]) -> str:
    """What a leaf is; `indicator` is the last batch norm of a candidate.

    Raises:
      ValueError: a leaf that no rule covers, such as a batch norm of another name.
    """
    if leaf[0] == "classifier":
        return "classifier"
    if leaf[-1] == "kernel":  # [k, k, C_in, C_out] or [C_in, C_out]
        return "spatial kernel" if len(shape) == 4 and shape[0] > 1 else "kernel"
    if leaf[-2].startswith("bn_") and leaf[-1] in ("scale", "bias"):
        scores = leaf[0].startswith("layer_") and leaf[-2] in INDICATOR_BATCH_NORMS
        return "indicator" if scores else "batch norm"
    raise ValueError(f"no rule says whether {'/'.join(leaf)} {list(shape)} trains")


# The kinds that train. The paper does not say whether the classifier is one of them:
# `method.train_classifier` does.
TRAINABLE: dict[str, frozenset[str]] = {
    "indicator": frozenset({"indicator"}),
    "all_bn": frozenset({"indicator", "batch norm"}),
    "spatial": frozenset({"indicator", "batch norm", "spatial kernel"}),
    "kernels": frozenset({"spatial kernel", "kernel"}),
    "all": frozenset(
        {"indicator", "batch norm", "spatial kernel", "kernel", "classifier"}
    ),
}
# The kinds that have a kernel.
KINDS_WITH_KERNELS = frozenset({"spatial kernel", "kernel", "classifier"})


def trained_kinds(trainable: str, train_classifier: bool) -> frozenset[str]:
    """The kinds of leaves that train; see `fates_of`."""
    return TRAINABLE[trainable] | ({"classifier"} if train_classifier else set())


def fates_of(params: Any, trainable: str, train_classifier: bool) -> Fates:
    """The fate of every leaf: what does not train is frozen if it is a kernel.

    Args:
      params: nested dictionary of arrays or shapes: all parameters of a network.
      trainable: key of `TRAINABLE`.
      train_classifier: whether the classifier trains where not everything does.

    Returns:
      A tree like `params` of `TRAINED`, `HELD` and `FROZEN`: the labels of the optax
      mask, see `optim.optimizer`.

    Raises:
      ValueError: see `kind_of`.
    """
    trained = trained_kinds(trainable, train_classifier)

    def fate(leaf: Leaf, array: Any) -> str:
        kind = kind_of(leaf, array.shape)
        untrained = FROZEN if kind.endswith("kernel") else HELD
        return TRAINED if kind in trained else untrained

    leaves = leaves_of(params).items()
    return tree_of({leaf: fate(leaf, array) for leaf, array in leaves})


def split(variables: dict[str, Any], fates: Fates) -> dict[str, Any]:
    """Move the frozen leaves from `params` into the collection `frozen`.

    Args:
      variables: collections by name, with all parameters in `params`.
      fates: of all leaves of `params`.

    Returns:
      The collections, `frozen` among them (empty where nothing is frozen).
    """
    leaves = leaves_of(variables["params"])
    names = [leaf for leaf, fate in leaves_of(fates).items() if fate == FROZEN]
    frozen = {leaf: leaves.pop(leaf) for leaf in names}
    return {**variables, "params": tree_of(leaves), "frozen": tree_of(frozen)}


def trains_kernels(params: Any) -> bool:
    """Whether a tree of parameters has kernels of convolutions."""
    leaves = leaves_of(params).items()
    return any(kind_of(leaf, array.shape).endswith("kernel") for leaf, array in leaves)


def merge(variables: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `split`: one plain tree of parameters, and no frozen ones.

    For code that differentiates by all parameters; outputs do not change.
    """
    params = leaves_of(variables["params"])
    frozen = leaves_of(variables.get("frozen", {}))
    merged = tree_of({**params, **frozen})
    return {**variables, "params": merged, "frozen": {}}
