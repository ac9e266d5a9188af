"""The long compilations of networks, announced."""

from collections.abc import Callable
from typing import Any

import jax

from difnas_jax.models.network import Network
from difnas_jax.runtime import compilation
from difnas_jax.runtime.compiling import announced
from difnas_jax.training.fates import trains_kernels


def compiled(
    function: Callable[..., Any], params: Any, donate: tuple[int, ...] = ()
) -> Any:
    """`compilation.compiled` of a function of a network with these parameters."""
    return compilation.compiled(function, not trains_kernels(params), donate)


def of_network(
    function: Callable[..., Any],
    params: Any,
    title: str,
    name: str,
    model: Network,
    batch_size: int,
) -> Callable[..., Any]:
    """The compiled function, whose first call says what it compiles, and for how long.

    Args:
      function: of a network and more.
      params: parameters of the network.
      title: of the work that needs it.
      name: of the program, for people.
      model: the network that it contains.
      batch_size: images of one call.
    """
    what = described(name, model, batch_size)
    return announced(compiled(function, params), title, what)


def described(name: str, model: Network, batch_size: int) -> str:
    """A program of a network, for people; see `of_network`."""
    space, device = model.space, jax.devices()[0].device_kind
    most = max(len(layer.ops) for layer in space.layers)
    ops = "1 op" if most == 1 else f"{most} ops"
    return (
        f"{name} of {space.name}: {space.num_layers} layers x {ops}, "
        f"{space.image_size} px, batch {batch_size}, {model.dtype}, "
        f"for {jax.device_count()} x {device}"
    )
