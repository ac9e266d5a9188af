"""A trained network with all that it takes to use it."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from difnas_jax.deployment.latency import latency_of
from difnas_jax.deployment.predictions import Predictions
from difnas_jax.deployment.preprocessing import Preprocessing
from difnas_jax.errors import require
from difnas_jax.models.network import Network
from difnas_jax.runtime.jax_settings import lenient_modes
from difnas_jax.spaces.base import Architecture
from difnas_jax.spaces.costs import cost_table
from difnas_jax.spaces.image import ImageSpace

# Images that pass through the network at once.
AT_ONCE = 128


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A trained network with all that it takes to use it.

    Attributes:
      model: the Flax module.
      variables: its collections, numpy arrays.
      architecture: the op of each layer.
      preprocessing: what is done to an image before, and the names of the classes.
      facts: how it was found and how good it is, JSON values: all of
        `retrain/result.json`, and `found`, the network as the search wrote it.
    """

    model: Network = dataclasses.field(repr=False)
    variables: dict[str, Any] = dataclasses.field(repr=False)
    architecture: Architecture
    preprocessing: Preprocessing
    facts: dict[str, Any] = dataclasses.field(repr=False)

    @property
    def space(self) -> ImageSpace:
        """Of the module; of a found network, with one op in each layer."""
        return self.model.space

    @property
    def costs(self) -> dict[str, float]:
        """By name: `macs`, `params` and, as its search predicted it, `latency_ms`."""
        found = self.facts.get("found", {}).get("costs", {})
        return {**found, **cost_table(self.space).of_one(self.architecture)}

    @property
    def text(self) -> str:
        """The architecture in one line."""
        return self.space.text(self.architecture)

    @lenient_modes()
    def apply(self, images: ArrayLike) -> Array:
        """Normalised images float32[B, S, S, C] -> logits float32[B, num_classes].

        Raises:
          InputError: pixels that are not normalised, or images of another shape.
        """
        images = jnp.asarray(images)
        space, shape = self.space, images.shape
        own = space.image_size, space.image_size, space.image_channels
        fits = shape[1:] == own and jnp.issubdtype(images.dtype, jnp.floating)
        expected = f"float32[B, {', '.join(map(str, own))}], see `preprocessing`"
        require(fits, "images", expected, f"{images.dtype}{list(shape)}")
        path = np.array(self.architecture, np.int32)
        return _compiled(self.model, self._on_device, images, path)

    @functools.cached_property
    def _on_device(self) -> dict[str, Any]:
        return jax.device_put(self.variables)

    @lenient_modes()
    def predict(self, images: Any) -> Predictions:
        """Classify images of any size.

        Args:
          images: a file, its bytes, or several; or arrays uint8, one [H, W] or
            [H, W, C], several [N, H, W] or [N, H, W, C], or a list of arrays of any
            sizes; see `Preprocessing.listed`.

        Raises:
          InputError: an image that cannot be read, or of other channels.
        """
        given = self.preprocessing.listed(images)
        parts = [np.zeros((0, self.space.num_classes), np.float32)]
        for start in range(0, len(given), AT_ONCE):
            pixels = self.preprocessing.pixels(given[start : start + AT_ONCE])
            parts.append(self.logits(pixels))
        return Predictions(self.preprocessing.classes, np.concatenate(parts))

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Those of squares that `preprocessing.pixels` made.

        They are filled up, so that few shapes compile.

        Args:
          pixels: uint8[n, S, S, C], from 1 to `AT_ONCE` of them.

        Returns:
          float32[n, num_classes].
        """
        missing = min(AT_ONCE, 1 << (len(pixels) - 1).bit_length()) - len(pixels)
        filled = np.pad(pixels, ((0, missing), (0, 0), (0, 0), (0, 0)))
        logits = self.apply(self.preprocessing.normalized(filled))
        return np.asarray(logits[: len(pixels)])

    @lenient_modes()
    def latency(self, batch: int = 1) -> dict[str, float]:
        """How long `apply` takes on this device, alone; see `deployment.latency`.

        Args:
          batch: images at once.

        Returns:
          Milliseconds: the median `ms` of the rounds, quartiles `low` and `high`.
        """
        require(batch >= 1, "batch", "1 image or more", batch)
        space, path = self.space, np.array(self.architecture, np.int32)
        shape = batch, space.image_size, space.image_size, space.image_channels
        noise = np.random.default_rng(0).standard_normal(shape, np.float32)
        arguments = self.model, self._on_device, jax.device_put(noise), path
        return latency_of(functools.partial(_compiled, *arguments))


@functools.partial(jax.jit, static_argnums=0)
def _compiled(
    model: Network, variables: dict[str, Any], images: Array, path: Array
) -> Any:
    """Equal networks have one program."""
    return model.apply(variables, images, path, False)
