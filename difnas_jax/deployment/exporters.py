"""The forms in which a found network leaves this package.

Every form takes uint8 pixels of the size of the network, the normalisation is inside,
and returns float32 logits. What was written is read back and compared with the network.
"""

import dataclasses
import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from difnas_jax.config import default
from difnas_jax.deployment import model_card, stablehlo, torch_files
from difnas_jax.deployment.folding import folded
from difnas_jax.deployment.network import TrainedNetwork
from difnas_jax.errors import InputError, require
from difnas_jax.ops.layout import BATCH_LAST
from difnas_jax.runtime import files
from difnas_jax.runtime.given_paths import check_writable, given_path
from difnas_jax.runtime.mesh import device_count
from difnas_jax.runtime.metrics import say

# Images on which a form is compared, and by how much its logits may differ, as a share
# of the largest of them or of 1.
IMAGES, TOLERANCE = 8, 1e-5


@dataclasses.dataclass(frozen=True)
class Exporter:
    """A form of a network.

    Attributes:
      write: (network, whether its batch norms are folded, folder) -> files.
      run: (folder, uint8[N, S, S, C]) -> float32[N, num_classes], from these files.
      usage: how to use them, Markdown.
      writes_with: packages of extras without which it cannot be written.
      runs_with: packages of extras without which it is written and not compared.
    """

    write: Callable[[TrainedNetwork, bool, Path], None]
    run: Callable[[Path, np.ndarray], np.ndarray]
    usage: str
    writes_with: tuple[str, ...] = ()
    runs_with: tuple[str, ...] = ()


EXPORTERS: dict[str, Exporter] = {
    "stablehlo": Exporter(stablehlo.write, stablehlo.run, stablehlo.USAGE),
    "safetensors": Exporter(
        torch_files.write, torch_files.run, torch_files.USAGE, runs_with=("torch",)
    ),
    "onnx": Exporter(
        torch_files.write_onnx,
        torch_files.run_onnx,
        torch_files.ONNX_USAGE,
        writes_with=("onnx", "onnxruntime", "onnxscript", "torch"),
    ),
}


def check_formats(field: str, formats: Sequence[str]) -> None:
    """Refuse formats that cannot be written here, before anything is computed.

    Args:
      field: the flag or the field of the config, for errors.
      formats: keys of `EXPORTERS`.

    Raises:
      InputError: none, an unknown or repeated one, or a package that is missing.
    """
    known = all(name in EXPORTERS for name in formats)
    fits = bool(formats) and known and len(set(formats)) == len(formats)
    expected = f"some of {', '.join(EXPORTERS)}, each once"
    require(fits, field, expected, repr(",".join(map(str, formats))))
    for name in formats:
        absent = missing(EXPORTERS[name].writes_with)
        expected = f"{' and '.join(absent)} to be installed, for {name!r}"
        way_out = f"none (extra 'onnx'; pip install {' '.join(absent)})"
        require(not absent, field, expected, way_out)
    _cpu()


def export(
    network: TrainedNetwork,
    to: str | Path,
    formats: Sequence[str] = (),
    fold: bool = False,
) -> None:
    """Write a network for programs without this package.

    Args:
      network: of `difnas_jax.load`, that was retrained; what it computes in bfloat16 is
        written in float32.
      to: the name of a folder that is made. It appears when it is complete.
      formats: keys of `EXPORTERS`; by default those of the config, `export.formats`.
      fold: fold batch norms into the convolutions before them.

    Raises:
      InputError: a format that cannot be written here, or a folder that cannot be made.
      RuntimeError: what was written has other logits than the network.
    """
    path = given_path("to", to)
    chosen: Sequence[str] = formats or default().export.formats
    check_formats("formats", chosen)
    check_target("to", path)
    with files.atomic_folder(path) as folder:
        write_forms(network, folder, chosen, fold)


def check_target(field: str, path: Path) -> None:
    """Refuse a target that is there already, or that cannot be made.

    Raises:
      InputError: naming it.
    """
    new, got = not os.path.lexists(path), f"{str(path)!r}, which exists"
    require(new, field, "the name of a new folder", got)
    above = next(each for each in path.absolute().parents if each.exists())
    check_writable(field, path, above)


def write_forms(
    network: TrainedNetwork, folder: Path, formats: Sequence[str], fold: bool
) -> None:
    """Write a network in several forms, and `model_card.md`.

    Args:
      network: that was retrained; in bfloat16, what is written computes in float32.
      folder: that is there, of the files.
      formats: keys of `EXPORTERS`, see `check_formats`.
      fold: fold batch norms into the convolutions before them.

    Raises:
      RuntimeError: what was written has other logits than the network.
    """
    written = network
    if fold:
        variables = folded(network.variables)
        written = dataclasses.replace(network, variables=variables)
    pixels, logits = _examples(network)
    for name in formats:
        row = EXPORTERS[name]
        row.write(written, fold, folder)
        if absent := missing(row.runs_with):
            say(f"export: {name}: written, not compared without {', '.join(absent)}")
            continue
        with jax.default_device(_cpu()):
            difference = np.abs(row.run(folder, pixels) - logits).max()
        share = difference / max(1.0, np.abs(logits).max())
        if not share <= TOLERANCE:
            raise RuntimeError(
                f"export: {name}: logits differ by {share:.1e} of the largest, "
                f"expected at most {TOLERANCE:.0e}"
            )
        say(f"export: {name}: logits as in JAX, to {share:.0e} of the largest")
    text = model_card.text(network, fold, [EXPORTERS[name].usage for name in formats])
    with files.atomic_write(folder / model_card.FILE) as file:
        file.write(text)


def missing(packages: Sequence[str]) -> list[str]:
    """Those of some packages that are not installed."""
    return [name for name in packages if importlib.util.find_spec(name) is None]


def _cpu() -> Any:
    """A processor: on GPU and TPU, products of float32 are rounded.

    Raises:
      InputError: JAX was told to leave it out, or has no device at all.
    """
    device_count()
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        raise InputError(
            "JAX_PLATFORMS: expected cpu among the platforms, where exported networks "
            "are compared, as in cuda,cpu; got none"
        ) from error


def _examples(network: TrainedNetwork) -> tuple[np.ndarray, np.ndarray]:
    """Random pixels and their logits in float32, in another layout than the exports."""
    space = network.space
    shape = IMAGES, space.image_size, space.image_size, space.image_channels
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    images = network.preprocessing.normalized(pixels)
    model = network.model.clone(layout=BATCH_LAST, dtype="float32")
    with jax.default_device(_cpu()):
        other = dataclasses.replace(network, model=model)
        return pixels, np.asarray(other.apply(images))
