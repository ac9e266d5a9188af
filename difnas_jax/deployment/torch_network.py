"""A found network in PyTorch. It needs `torch` and `safetensors`, and no other file.

    import network
    model = network.load("model.safetensors")
    logits = model(images)  # [B, C, H, W], uint8 or float from 0 to 255 -> [B, classes]

All weights train after `model.train()`. The header of the file describes the blocks.
Where batch norms are folded into the convolutions, these have biases in their place.
"""

# PyTorch is an extra that the type checker may not find.
# pyright: reportMissingImports=false
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

Block = dict[str, Any]  # the description of a block

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "leaky_relu": nn.LeakyReLU,
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "sigmoid": nn.Sigmoid,
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
}


class Residual(nn.Sequential):
    """Modules one after another, with the input added."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return super().forward(inputs) + inputs


class Shuffle(nn.Module):
    """ShuffleNetV2 block: where it keeps the shape, half of the channels pass by."""

    def __init__(self, block: Block) -> None:
        """Make the block; an `xception` has three separable convolutions."""
        super().__init__()
        inputs, outputs, _, stride = shape(block)
        hidden, self.splits = outputs // 2, stride == 1 and inputs == outputs
        branch = inputs // 2 if self.splits else inputs
        if not self.splits:
            self.projection = separable(block, inputs, inputs, stride)
        if block["kind"] == "xception":
            self.first = separable(block, branch, hidden, stride)
            self.second, stride = separable(block, hidden, hidden, 1), 1
        else:
            self.expand = conv(block, branch, hidden)
        added = outputs - (inputs - branch if self.splits else inputs)
        self.last = separable(block, hidden, added, stride, "output")

    def forward(self, inputs: Tensor) -> Tensor:
        """A feature map -> a feature map."""
        if self.splits:  # even and odd channels
            beside, hidden = inputs[:, ::2], inputs[:, 1::2]
        else:
            beside, hidden = self.projection(inputs), inputs
        for name in ("expand", "first", "second", "last"):
            hidden = getattr(self, name, nn.Identity())(hidden)
        return torch.cat([beside, hidden], 1)


class Cell(nn.Module):
    """A graph whose nodes sum their incoming edges; the last node is the output."""

    def __init__(self, block: Block) -> None:
        """Make the blocks of its edges; an edge that is not listed passes zeros."""
        super().__init__()
        self.nodes, self.graph = block["nodes"], block["graph"]  # (source, target)
        self.edges = all_of(block["edges"])

    def forward(self, inputs: Tensor) -> Tensor:
        """A feature map -> one of the same shape."""
        sums = [inputs] + [torch.zeros_like(inputs)] * (self.nodes - 1)
        for (source, target), edge in zip(self.graph, self.edges, strict=True):
            sums[target] = sums[target] + edge(sums[source])
        return sums[-1]


class Reduction(nn.Module):
    """Two convolutions, the first at stride 2, beside a pooled shortcut."""

    def __init__(self, block: Block) -> None:
        """Make the block between two stages of cells."""
        super().__init__()
        inputs, outputs, _, stride = shape(block)
        self.first = relu_conv(block)
        self.second = relu_conv({**block, "in_channels": outputs, "stride": 1})
        pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.shortcut = named({"pool": nn.AvgPool2d(stride), "conv": pointwise})

    def forward(self, inputs: Tensor) -> Tensor:
        """A feature map -> one of half its height and width."""
        return self.second(self.first(inputs)) + self.shortcut(inputs)


class UnitNorm(nn.Module):
    """Flattens images, channels last, and scales them to a mean square of 1."""

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, H * W * C, 1, 1]."""
        flat = images.permute(0, 2, 3, 1).flatten(1)
        norms = flat.norm(dim=1, keepdim=True).clamp(min=1e-6)
        return (flat.shape[1] ** 0.5 / norms * flat)[..., None, None]


def named(modules: dict[str, nn.Module], residual: bool = False) -> nn.Sequential:
    """Modules one after another, by name, or a residual of them."""
    kind = Residual if residual else nn.Sequential
    return kind(OrderedDict(modules))


def shape(block: Block) -> tuple[int, int, int, int]:
    """Channels before and after, side of the kernel, stride."""
    return block["in_channels"], block["out_channels"], block["kernel"], block["stride"]


def activation(block: Block) -> nn.Module:
    """The activation of a block."""
    return ACTIVATIONS[block["activation"]]()


def conv(
    block: Block,
    inputs: int,
    outputs: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    active: bool = True,
) -> nn.Module:
    """A convolution, its batch norm or bias and, where `active`, the activation."""
    taps, bias = (kernel, stride, kernel // 2), block["folded"]
    layer = nn.Conv2d(inputs, outputs, *taps, groups=groups, bias=bias)
    parts: dict[str, nn.Module] = {"conv": layer}
    if not bias:
        parts["norm"] = nn.BatchNorm2d(outputs)
    if active:
        parts["activation"] = activation(block)
    return named(parts)


def separable(
    block: Block, inputs: int, outputs: int, stride: int, role: str = "mix"
) -> nn.Module:
    """A depthwise convolution without activation, then a 1x1 convolution."""
    geometry = inputs, inputs, block["kernel"], stride
    spatial = conv(block, *geometry, groups=inputs, active=False)
    return named({"spatial": spatial, role: conv(block, inputs, outputs)})


def inverted_residual(block: Block) -> nn.Module:
    """MobileNetV2 block: expand, depthwise, project."""
    inputs, outputs, kernel, stride = shape(block)
    width = inputs * block["expansion"]
    parts = {"expand": conv(block, inputs, width)} if width > inputs else {}
    parts["depthwise"] = conv(block, width, width, kernel, stride, groups=width)
    parts["project"] = conv(block, width, outputs, active=False)
    return named(parts, block["skip"])


def identity(block: Block) -> nn.Module:
    """Nothing or, where the shape changes, a strided 1x1 convolution."""
    inputs, outputs, _, stride = shape(block)
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return named({"project": conv(block, inputs, outputs, 1, stride, active=False)})


def relu_conv(block: Block) -> nn.Module:
    """Activation, then a convolution."""
    convolution = conv(block, *shape(block), active=False)
    return named({"activation": activation(block), "conv": convolution})


def average_pool(block: Block) -> nn.Module:
    """Mean over the neighbours that lie inside the image."""
    side = block["kernel"]
    return nn.AvgPool2d(side, 1, side // 2, count_include_pad=False)


def dense(block: Block) -> nn.Module:
    """A fully connected layer, as a 1x1 convolution of one pixel."""
    layer = named({"conv": nn.Conv2d(*shape(block)[:2], kernel_size=1, bias=False)})
    return named({"dense": layer, "activation": activation(block)}, block["skip"])


BLOCKS: dict[str, Callable[[Block], nn.Module]] = {
    "avg_pool": average_pool,
    "cell": Cell,
    "conv": lambda block: conv(block, *shape(block), active=block["active"]),
    "dense": dense,
    "identity": identity,
    "inverted_residual": inverted_residual,
    "norm": lambda block: named(
        {"norm": nn.BatchNorm2d(block["in_channels"]), "activation": activation(block)}
    ),
    "reduction": Reduction,
    "relu_conv": relu_conv,
    "shuffle": Shuffle,
    "unit_norm": lambda block: UnitNorm(),
    "xception": Shuffle,
}


def all_of(blocks: list[Block]) -> nn.Sequential:
    """The blocks of a list one after another, under their names."""
    return named({block["name"]: BLOCKS[block["kind"]](block) for block in blocks})


class Network(nn.Module):
    """Normalisation, blocks, mean over the pixels, dropout, classifier."""

    mean: Tensor
    std: Tensor

    def __init__(self, structure: dict[str, Any]) -> None:
        """Make the network that the header of a file describes."""
        super().__init__()
        statistics = structure["image_channels"], 1, 1
        self.register_buffer("mean", torch.zeros(statistics))
        self.register_buffer("std", torch.ones(statistics))
        self.features = all_of(structure["blocks"])
        self.dropout = nn.Dropout(structure["dropout"])
        self.classifier = nn.Linear(*structure["classifier"], bias=structure["bias"])

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W], uint8 or float from 0 to 255 -> logits [B, classes]."""
        images = images.to(self.mean.dtype)  # in which all weights are
        hidden = self.features((images / 255 - self.mean) / self.std)
        return self.classifier(self.dropout(hidden.mean((2, 3))))


def load(path: str) -> Network:
    """The network of a `.safetensors` file, for evaluation."""
    with safe_open(path, framework="pt") as file:
        model = Network(json.loads(file.metadata()["structure"]))
    model.load_state_dict(load_file(path))
    return model.eval()
