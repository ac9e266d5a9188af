"""A space as JSON values, so that a network can be built where its config is not."""

import dataclasses
from typing import Any

from difnas_jax.errors import require
from difnas_jax.spaces.base import Op
from difnas_jax.spaces.cell import CellSpace
from difnas_jax.spaces.chain import ChainSpace, FixedBlock
from difnas_jax.spaces.dense import DenseSpace
from difnas_jax.spaces.image import ImageLayer, ImageSpace

KINDS = {
    kind.__name__: kind
    for kind in (CellSpace, ChainSpace, DenseSpace, FixedBlock, ImageLayer, Op)
}


def stored(space: ImageSpace) -> dict[str, Any]:
    """A space as JSON values: the fields of each part, and of which kind it is.

    Raises:
      InputError: a part is of a kind that is not one of `KINDS`.
    """
    return _values(space)


def restored(values: dict[str, Any]) -> ImageSpace:
    """The space of which `stored` made these values.

    Raises:
      KeyError, TypeError, ValueError: they are not those of a space.
    """
    space = _parts(values)
    if not isinstance(space, ImageSpace):
        raise ValueError(f"no space, but {type(space).__name__}")
    return space


def _values(part: Any) -> Any:
    if dataclasses.is_dataclass(part):
        kind = type(part).__name__
        known = ", ".join(KINDS)
        require(kind in KINDS, "space", f"parts of the kinds {known}", kind)
        names = [field.name for field in dataclasses.fields(part)]
        return {"type": kind, **{name: _values(getattr(part, name)) for name in names}}
    return [_values(each) for each in part] if isinstance(part, tuple) else part


def _parts(values: Any) -> Any:
    if isinstance(values, dict):
        fields = {name: _parts(value) for name, value in values.items()}
        return KINDS[fields.pop("type")](**fields)
    return tuple(map(_parts, values)) if isinstance(values, list) else values
