"""What kernels see: mean patches of their inputs, for updates that are to spare them.

A caller who makes the collection `kernel_inputs` mutable gets there, under the name of
every kernel that is not frozen, the vectors that the kernel is multiplied with,
averaged over the images and over the pixels of each quarter of the feature map; zeros
for the other kernels of a switch. For everybody else nothing is computed.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.models.records import keep
from difnas_jax.ops.layout import Layout

COLLECTION = "kernel_inputs"
PARTS = 2  # of height and of width
VECTORS = PARTS**2  # of one kernel


def record(
    module: nn.Module,
    feature_map: Array,
    layout: Layout,
    kernel: int = 1,
    stride: int = 1,
    depthwise: bool = False,
) -> None:
    """Add the mean patches of a feature map to what is recorded, if that is asked for.

    The mean over the images comes first, as in OWM (Zeng et al., Nature Machine
    Intelligence 2019). There every pixel then gives a vector; here every quarter does,
    so that the cost of what is learned from them does not depend on the image size.

    Args:
      module: that has the kernel, of padding k // 2.
      feature_map: its input.
      layout: of the feature map.
      kernel: k.
      stride: of the convolution.
      depthwise: whether every channel has a kernel of its own.
    """
    asked = module.is_mutable_collection(COLLECTION) and not module.is_initializing()
    if not asked or module.has_variable("frozen", "kernel"):
        return
    images = layout.channels_last(feature_map)  # [B, H, W, C]
    mean = images.astype(jnp.float32).mean(0)  # [B, H, W, C] -> [H, W, C]
    rows, columns = (mean_positions(size, kernel, stride) for size in mean.shape[:2])
    exact = jax.lax.Precision.HIGHEST  # what is stored is to be what the kernel sees
    patches = jnp.einsum("aih,bjw,hwc->abijc", rows, columns, mean, precision=exact)
    vectors = patches.reshape(VECTORS, kernel**2, -1)  # [V, k k, C]
    if depthwise:
        vectors = vectors.transpose(2, 0, 1)  # [V, k k, C] -> [C, V, k k]
    else:
        vectors = vectors.reshape(1, VECTORS, -1)  # [V, k k, C] -> [1, V, k k C]
    keep(module, COLLECTION, ("kernel",), jax.lax.stop_gradient(vectors))


def mean_positions(size: int, kernel: int, stride: int) -> np.ndarray:
    """Where the pixels lie that a convolution multiplies with each of its taps.

    Args:
      size: pixels along one axis.
      kernel: k.
      stride: of the convolution, whose padding is k // 2.

    Returns:
      float32[PARTS, k, size]: weights of a mean over the outputs of each part of the
      axis; 0 for padding, and for a part without outputs.
    """
    weights = np.zeros((PARTS, kernel, size), np.float32)
    outputs = (size - 1) // stride + 1
    for part, own in enumerate(np.array_split(np.arange(outputs), PARTS)):
        for tap in range(kernel):
            pixels = own * stride + tap - kernel // 2
            inside = pixels[(pixels >= 0) & (pixels < size)]
            weights[part, tap, inside] = 1 / max(len(own), 1)
    return weights
