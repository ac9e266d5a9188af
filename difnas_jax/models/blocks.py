"""All blocks by kind of op, with modules named by role.

The names are what other files go by. A batch norm is called `bn_` and its role; where
its name is in `INDICATOR_BATCH_NORMS` its scale scores the candidate, as the last batch
norm of a block or as one that only the supernet has. The name of a module with a kernel
selects the initial values (`initializers.GAINS`).
"""

import flax.linen as nn
from jax import Array

from difnas_jax.models.batchnorm import BatchNorm
from difnas_jax.models.cell_blocks import AveragePool, ReluConv, Zero
from difnas_jax.models.kernels import Block, Conv, Depthwise, Pointwise
from difnas_jax.models.shuffle import ShuffleBlock, XceptionBlock


class InvertedResidual(Block):
    """MobileNetV2 block: expand, depthwise, project, each with its batch norm.

    `bn_project` is the block indicator (the last batch norm, no activation after it).
    With expansion 1 there is no expanding convolution. Adds its input where the shape
    is kept.
    """

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map of C_in channels -> one of C_out channels."""
        op, layout = self.op, self.layout
        hidden = inputs
        if op.expansion > 1:
            width = inputs.shape[layout.channel] * op.expansion
            hidden = Pointwise(width, layout, name="expand")(hidden)
            hidden = BatchNorm(layout, self.activation, name="bn_expand")(hidden, train)
        depthwise = Depthwise(op.kernel, self.stride, layout, name="depthwise")
        hidden = depthwise(hidden)
        hidden = BatchNorm(layout, self.activation, name="bn_depthwise")(hidden, train)
        project = Pointwise(self.out_channels, layout, name="project")
        outputs = BatchNorm(layout, name="bn_project")(project(hidden), train)
        return outputs + inputs if self.keeps_shape(inputs) else outputs


class Identity(Block):
    """Identity, in the supernet followed by batch norm: the layer indicator.

    The indicator `bn_identity` exists in the supernet only. Where the shape changes,
    identity is a strided 1x1 convolution with batch norm, a block like any other.
    """

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map of C_in channels -> one of C_out channels."""
        layout = self.layout
        if not self.keeps_shape(inputs):
            project = Conv(self.out_channels, 1, self.stride, layout, name="project")
            return BatchNorm(layout, name="bn_project")(project(inputs), train)
        if not self.op.indicator:
            return inputs
        return BatchNorm(layout, name="bn_identity")(inputs, train)


BLOCKS: dict[str, type[Block]] = {
    "avg_pool": AveragePool,
    "identity": Identity,
    "inverted_residual": InvertedResidual,
    "relu_conv": ReluConv,
    "shuffle": ShuffleBlock,
    "xception": XceptionBlock,
    "zero": Zero,
}
# The batch norms whose scales are scores. Every op has exactly one, except `zero`, and
# identity and pooling where their layer has no other op.
INDICATOR_BATCH_NORMS = frozenset(
    {"bn_conv", "bn_identity", "bn_output", "bn_pool", "bn_project"}
)
