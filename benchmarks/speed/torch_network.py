"""The same networks in PyTorch."""

# PyTorch is an extra that the type checker may not find.
# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from difnas_jax.spaces.base import Op
from difnas_jax.spaces.chain import ChainSpace


def conv_bn(
    channels: tuple[int, int],
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    *,
    running: bool,
    activation: bool = True,
) -> list[nn.Module]:
    """Convolution without bias, batch norm and, where asked for, ReLU6 in place."""
    conv = nn.Conv2d(*channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(channels[1], track_running_stats=running)
    return [conv, norm, nn.ReLU6(inplace=True)] if activation else [conv, norm]


class InvertedResidual(nn.Module):
    """MobileNetV2 block; adds its input where the shape is kept."""

    def __init__(
        self, op: Op, channels: tuple[int, int], stride: int, running: bool
    ) -> None:
        """Make the layers of one op."""
        super().__init__()
        inputs, outputs = channels
        width = inputs * op.expansion
        expand = conv_bn((inputs, width), running=running) if op.expansion > 1 else []
        self.layers = nn.Sequential(
            *expand,
            *conv_bn((width, width), op.kernel, stride, width, running=running),
            *conv_bn((width, outputs), running=running, activation=False),
        )
        self.keeps_shape = stride == 1 and inputs == outputs

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, C_in, H, W] -> [B, C_out, H', W']."""
        outputs = self.layers(inputs)
        return inputs + outputs if self.keeps_shape else outputs


class Network(nn.Module):
    """All candidates of a space without identity, of which a path takes one a layer."""

    def __init__(self, space: ChainSpace, *, running: bool, dropout: float) -> None:
        """Make every candidate.

        Args:
          space: the search space, or a cut one.
          running: keep running statistics, as a found network does.
          dropout: rate before the classifier.
        """
        super().__init__()
        stem = (space.image_channels, space.stem_channels)
        self.start = nn.Sequential(
            *conv_bn(stem, 3, space.stem_stride, running=running),
            *(
                InvertedResidual(
                    block.op,
                    (block.in_channels, block.out_channels),
                    stride=block.stride,
                    running=running,
                )
                for block in space.fixed
            ),
        )
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    str(op): InvertedResidual(
                        space.ops[op],
                        (layer.in_channels, layer.out_channels),
                        stride=layer.stride,
                        running=running,
                    )
                    for op in layer.ops
                }
            )
            for layer in space.layers
        )
        head = (space.layers[-1].out_channels, space.head_channels)
        self.head = nn.Sequential(*conv_bn(head, running=running))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(space.head_channels, space.num_classes)

    def forward(self, images: Tensor, path: Sequence[int]) -> Tensor:
        """Classify [B, C, H, W] along one path."""
        hidden = self.start(images)
        for layer, op in zip(self.layers, path, strict=True):
            assert isinstance(layer, nn.ModuleDict)
            hidden = layer[str(op)](hidden)
        pooled = torch.mean(self.head(hidden), (2, 3))
        return self.classifier(self.dropout(pooled))
