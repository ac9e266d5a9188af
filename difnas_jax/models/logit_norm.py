"""A normalisation of logits, whose scale tells ops apart."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.ops.normalization import EPSILON

LOGIT_GAMMAS = ("bn_logits", "scale")  # the name of its scale in `params`


class LogitNorm(nn.Module):
    """The logits of every path at one size, times the mean of the gammas of its ops.

    Behind any other scale of a network there is a batch norm that takes it out again.
    Here nothing does: a path that is right more often lowers its loss by larger logits,
    so that a gamma learns how far the paths through an op can be relied on. The means
    of the classes stay, so that the network cut out of the supernet, which has no such
    norm, predicts the same classes. The deviation is that of each batch, in an
    evaluation, too. Ours.

    Variables: `params/scale`, float32[L, O], one gamma for each op of each layer.

    Attributes:
      shape: L layers, O ops.
    """

    shape: tuple[int, int]

    @nn.compact
    def __call__(self, logits: Array, paths: Array) -> Array:
        """Divide by the standard deviation around the means of the classes, and scale.

        Args:
          logits: float32[K, B, C]; the deviation is that of the batch of each path.
          paths: int32[K, L], no weights of ops.
        """
        scale = self.param("scale", nn.initializers.ones, self.shape)
        gammas = scale[jnp.arange(self.shape[0]), paths].mean(-1)  # [K, L] -> [K]
        around = logits - logits.mean(1, keepdims=True)
        variance = jnp.square(around).mean((1, 2))  # [K, B, C] -> [K]
        factors = gammas * jax.lax.rsqrt(variance + EPSILON)
        return logits * factors[:, None, None]
