"""A found network as one StableHLO program for CPU, GPU and TPU."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, export

from difnas_jax.deployment.network import TrainedNetwork
from difnas_jax.ops.layout import CHANNELS_LAST
from difnas_jax.runtime import files

FILE = "model.stablehlo"
PLATFORMS = ("cpu", "cuda", "tpu")
USAGE = """\
`model.stablehlo` is a program with its weights, for batches of any size on CPU, NVIDIA
GPU and TPU. It needs `jax` and `flatbuffers`:

```python
import jax.export
import numpy as np

with open("model.stablehlo", "rb") as file:
    program = jax.export.deserialize(bytearray(file.read()))
images = np.zeros({images_last}, np.uint8)  # [batch, height, width, channels]
logits = program.call(images)
```

Other runtimes of StableHLO would have to choose the platform and the size of the batch
in its bytecode, `program.mlir_module_serialized`; ONNX is the simpler form for them."""


def write(network: TrainedNetwork, fold: bool, folder: Path) -> None:
    """Write the program that takes uint8[batch, S, S, C] and returns float32 logits.

    It computes in float32 whatever the training did. Where the platforms want different
    programs (see `ops.convolutions`) it has all of them.

    Args:
      network: the network.
      fold: whether its batch norms are folded; they are in its variables.
      folder: of the file.
    """
    path = np.array(network.architecture, np.int32)
    # Channels last is right for every platform; batch last would be for one.
    model = network.model.clone(layout=CHANNELS_LAST, dtype="float32")
    mean, std = (
        np.array(each, np.float32)
        for each in (network.preprocessing.mean, network.preprocessing.std)
    )

    def logits(pixels: Array) -> Array:
        images = (pixels.astype(jnp.float32) / 255 - mean) / std
        return model.apply(network.variables, images, path, False)  # type: ignore

    space = network.space
    side, channels = space.image_size, space.image_channels
    shape = export.symbolic_shape(f"batch, {side}, {side}, {channels}")
    pixels = jax.ShapeDtypeStruct(shape, jnp.uint8)
    program = export.export(jax.jit(logits), platforms=PLATFORMS)(pixels)
    with files.atomic_write(folder / FILE, "wb") as file:
        file.write(program.serialize())


def run(folder: Path, pixels: np.ndarray) -> np.ndarray:
    """The logits of uint8[N, S, S, C], by the program in a folder."""
    program = export.deserialize(bytearray((folder / FILE).read_bytes()))
    return np.asarray(program.call(pixels))
