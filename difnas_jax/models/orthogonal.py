"""Orthogonal kernels: the rules of a single kernel, and of the kernels of a block.

Kernels are normalised by the row (output unit), see `initializers`.
"""

import math
from collections.abc import Callable

import numpy as np

Fill = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
Kernels = dict[str, np.ndarray]  # of one block, by role

RELU_GAIN = math.sqrt(2.0)
# The kernels of an inverted residual, by role.
BLOCK_ROLES = ("expand", "depthwise", "project")


def stacked_haar(gain: float) -> Fill:
    """Semi-orthogonal kernels: Haar matrices stacked and cut to the output units.

    The kernel flattens to [fan_in, C_out]. With C_out <= fan_in its output units are
    orthonormal (times `gain`); with C_out = t * fan_in it is t independent Haar
    matrices, so that W^T W = t gain^2 I and every row has norm `gain`. A plain tall QR
    has uneven rows, which batch norm would turn into a broken frame.
    """

    def fill(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        fan_in, out = math.prod(shape[:-1]), shape[-1]
        widths = [min(fan_in, out - start) for start in range(0, out, fan_in)]
        columns = [haar(rng, fan_in, width) for width in widths]
        return gain * np.concatenate(columns, axis=1).reshape(shape)

    return fill


def haar(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Matrices with orthonormal columns, over the last two dimensions."""
    return orthonormal(rng.standard_normal(shape))


def orthonormal(matrices: np.ndarray) -> np.ndarray:
    """The factors Q of matrices, with the sign that makes Gaussian ones Haar."""
    q, r = np.linalg.qr(matrices)
    return q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]


def looks_linear(
    expand: np.ndarray, depthwise: np.ndarray, project: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Aligned pairs in an inverted residual: exactly linear, where batch norm is off.

    With columns A of norm 1, orthogonal to each other, and R with orthonormal rows or
    columns: expand = [A; -A], the centre tap 1, project = [R A^T, -R A^T]. A ReLU lets
    one of each pair through, relu(Ax) - relu(-Ax) = Ax, so that the block is x -> R x,
    of which all singular values are 1. Batch norm shifts what the second ReLU sees and
    breaks it. Ours for this block; the pairs are those of Balduzzi et al. 2017
    ("looks-linear") and Burkholz and Dubatovka 2019. With centre taps all kernel sizes
    start as the same function. A pair takes two hidden channels: a block of an odd
    number of them, and all others without an expansion of at least 2 (stem, head,
    depthwise separable blocks, ShuffleNetV2, cells), keep orthogonal kernels.

    Args:
      expand: [C, tC], orthogonal; A is made from it.
      depthwise: [k, k, 1, tC].
      project: [tC, C'], orthogonal; R is made from it.

    Returns:
      The same shapes.
    """
    channels, width = expand.shape
    if width % 2:
        return expand, depthwise, project
    columns = orthonormal(expand[:, : width // 2].T)  # A: [tC / 2, C]
    mix = project[:channels]  # R^T: [C, C']
    wide = mix.shape[1] > channels
    mix = orthonormal(mix.T).T if wide else orthonormal(mix)
    taps = np.zeros_like(depthwise)
    taps[depthwise.shape[0] // 2, depthwise.shape[1] // 2] = 1
    pair = np.array([1, -1])[:, None, None]
    project = (pair * (columns @ mix)).reshape(project.shape)
    return np.concatenate([columns.T, -columns.T], axis=1), taps, project


def depthwise_qr(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Each k x k filter an orthogonal matrix, scaled to norm sqrt(2).

    The paper: orthogonal weights "obtained by triangulating every filter".
    """
    side, channels = shape[0], shape[-1]
    # [C, k, k] -> [k, k, 1, C]
    filters = RELU_GAIN / math.sqrt(side) * haar(rng, channels, side, side)
    return filters.transpose(1, 2, 0)[:, :, None, :]


def depthwise_shift(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """One tap sqrt(2) at a random position of each window: an exact isometry."""
    taps = rng.integers(shape[0] * shape[1], size=shape[-1])
    return RELU_GAIN * np.eye(shape[0] * shape[1])[:, taps].reshape(shape)


def looks_linear_block(kernels: Kernels, rng: np.random.Generator) -> Kernels:
    """`looks_linear` of an inverted residual; other blocks keep what they have."""
    if not set(BLOCK_ROLES) <= kernels.keys():
        return kernels
    new = looks_linear(*(kernels[role] for role in BLOCK_ROLES))
    return dict(zip(BLOCK_ROLES, new, strict=True))


def shared_response(kernels: Kernels, rng: np.random.Generator) -> Kernels:
    """Let all candidates of a layer answer a constant input alike, up to a scale.

    With expand E of orthogonal rows and the signs S of the sums of the depthwise
    filters, project = E^T S R: without activations, what a block makes of an input
    that is the same at all pixels is near to R x. R has orthonormal columns or rows and
    is drawn once for a layer, so that an identity that changes the shape, which is R,
    and blocks of all sizes answer the next layer in the same basis. Of a drawn
    projection each candidate has a basis of its own, and where no skip connection goes
    around it, the frozen kernels behind cannot fit them all. Ours.

    Where a layer widens from C to C', the rows of R are orthonormal, and the norms of
    its output units differ, in all candidates alike, by a relative standard deviation
    of sqrt((C' - C) / (2 C (C' + 2))): 0.09 from 32 to 64 channels. The batch norm
    behind evens them out, and R stretches then: the normalised variance of its s^2 is
    0.015, where that of a whole reducing block is 3 to 7. A constant input does not ask
    for it, since an equal-norm tight frame R has neither; R is a cut Haar matrix since
    the published numbers rest on it.

    Args:
      kernels: of a block, orthogonal; `project` is replaced.
      rng: the same for all candidates of a layer.

    Returns:
      The same shapes; a block without `project` keeps what it has.
    """
    if "project" not in kernels:
        return kernels
    shape = kernels["project"].shape
    width, outputs = shape[-2:]
    expand = kernels.get("expand", np.eye(width))  # [C, tC]
    filters = kernels.get("depthwise", np.ones((1, 1, 1, width)))
    signs = np.sign(filters.sum((0, 1))[0])  # [tC]
    inputs = len(expand)
    mix = haar(rng, max(inputs, outputs), min(inputs, outputs))
    mix = mix if inputs >= outputs else mix.T  # R: [C, C']
    project = (expand * signs).T @ mix
    project /= np.linalg.norm(project) / math.sqrt(min(inputs, outputs))
    return {**kernels, "project": project.reshape(shape)}
