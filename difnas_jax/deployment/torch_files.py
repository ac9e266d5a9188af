"""A found network for PyTorch and ONNX: weights, and a module that runs them."""

import importlib
import json
import logging
import runpy
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from difnas_jax.deployment.network import TrainedNetwork
from difnas_jax.deployment.torch_form import structure, tensors
from difnas_jax.runtime import files

# What PyTorch 2.13 says of itself while it exports.
DEPRECATED = r"`isinstance\(treespec, LeafSpec\)` is deprecated"
WEIGHTS, MODULE, ONNX = "model.safetensors", "network.py", "model.onnx"
SOURCE = Path(__file__).with_name("torch_network.py")
USAGE = """\
`model.safetensors` holds the weights and the structure, and `network.py` is a plain
PyTorch module of them. They need `torch` and `safetensors`:

```python
import network
import torch

model = network.load("model.safetensors")
# [batch, channels, height, width]
images = torch.zeros({images_first}, dtype=torch.uint8)
logits = model(images)
```"""
ONNX_USAGE = """\
`model.onnx` takes batches of any size, in ONNX Runtime for example:

```python
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
# [batch, channels, height, width]
images = np.zeros({images_first}, np.uint8)
(logits,) = session.run(None, {{"images": images}})
```"""


def write(network: TrainedNetwork, fold: bool, folder: Path) -> None:
    """Write weights and structure, and beside them the module that reads them.

    Args:
      network: the network.
      fold: whether its batch norms are folded, in its variables; here they are left out
        and convolutions have biases.
      folder: of the files.
    """
    known = network.preprocessing
    statistics = {"mean": known.mean, "std": known.std}
    arrays = tensors(network.variables, fold)
    for name, values in statistics.items():
        arrays[name] = np.array(values, np.float32)[:, None, None]
    text = {
        "format": "pt",
        "structure": json.dumps(structure(network.model, fold)),
        "classes": json.dumps(known.classes),
    }
    data = safetensors.numpy.save(arrays, metadata=text)
    for name, content in ((WEIGHTS, data), (MODULE, SOURCE.read_bytes())):
        with files.atomic_write(folder / name, "wb") as file:
            file.write(content)


def run(folder: Path, pixels: np.ndarray) -> np.ndarray:
    """The logits of uint8[N, S, S, C], by the module in a folder."""
    torch, model = loaded(folder)
    with torch.no_grad():
        return model(torch.from_numpy(_channels_first(pixels))).numpy()


def write_onnx(network: TrainedNetwork, fold: bool, folder: Path) -> None:
    """Write the PyTorch module for ONNX, for batches of any size.

    Not by `jax2onnx`, which holds Orbax back.
    """
    with tempfile.TemporaryDirectory() as own:
        write(network, fold, Path(own))
        torch, model = loaded(Path(own))
    # It warns that torchvision is not installed.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    space = network.space
    shape = 2, space.image_channels, space.image_size, space.image_size
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", DEPRECATED, FutureWarning)
        program = torch.onnx.export(
            model,
            (torch.zeros(shape, dtype=torch.uint8),),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    with files.atomic_write(folder / ONNX, "wb") as file:
        file.write(program.model_proto.SerializeToString())


def run_onnx(folder: Path, pixels: np.ndarray) -> np.ndarray:
    """The logits of uint8[N, S, S, C], by ONNX Runtime."""
    runtime = importlib.import_module("onnxruntime")  # an extra
    file, providers = folder / ONNX, ["CPUExecutionProvider"]
    session = runtime.InferenceSession(file, providers=providers)
    return np.asarray(session.run(None, {"images": _channels_first(pixels)})[0])


def loaded(folder: Path) -> tuple[Any, Any]:
    """PyTorch, an extra that the module alone imports, and the network of a folder."""
    module = runpy.run_path(str(folder / MODULE))
    return module["torch"], module["load"](folder / WEIGHTS)


def _channels_first(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
