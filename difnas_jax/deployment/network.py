"""A trained network with all that it takes to use it."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from difnas_jax.deployment.preprocessing import Preprocessing
from difnas_jax.errors import InputError, require
from difnas_jax.models.initializers import variable_shapes
from difnas_jax.models.network import Network
from difnas_jax.models.networks import network
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.checkpoint import Checkpoints
from difnas_jax.runtime.jax_settings import lenient_modes
from difnas_jax.runtime.mesh import data_mesh, replicated
from difnas_jax.runtime.versions import versions
from difnas_jax.spaces.base import Architecture
from difnas_jax.spaces.costs import cost_table
from difnas_jax.spaces.image import ImageSpace
from difnas_jax.spaces.stored import restored, stored
from difnas_jax.training.fates import fates_of, split

# Images that pass through the network at once.
AT_ONCE = 128
# Attributes of a network that are no part of its space.
OPTIONS = ("dropout", "dtype")


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a network says of N images.

    Attributes:
      labels: int64[N], the likeliest class of each.
      classes: its name.
      probabilities: float32[N, C] of all classes.
      logits: float32[N, C].
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    probabilities: np.ndarray
    logits: np.ndarray


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
        """By name (`macs`, `params`)."""
        return cost_table(self.space).of_one(self.architecture)

    @property
    def text(self) -> str:
        """The architecture in one line."""
        return self.space.text(self.architecture)

    @lenient_modes()
    def apply(self, images: ArrayLike) -> Array:
        """Normalised images float32[B, S, S, C] -> logits float32[B, num_classes]."""
        path = np.array(self.architecture, np.int32)
        return _compiled(self.model, self._on_device, images, path)

    @functools.cached_property
    def _on_device(self) -> dict[str, Any]:
        return jax.device_put(self.variables)

    @lenient_modes()
    def predict(self, images: Any) -> Predictions:
        """Classify images of any size.

        Args:
          images: a file or several; or arrays uint8, one [H, W] or [H, W, C], several
            [N, H, W] or [N, H, W, C], or a list of arrays of any sizes; see
            `Preprocessing.listed`.

        Raises:
          InputError: an image that cannot be read, or of other channels.
        """
        given = self.preprocessing.listed(images)
        parts = [np.zeros((0, self.space.num_classes), np.float32)]
        for start in range(0, len(given), AT_ONCE):
            parts.append(self._logits(given[start : start + AT_ONCE]))
        logits = np.concatenate(parts)
        labels, names = logits.argmax(-1), self.preprocessing.classes
        return Predictions(
            labels=labels,
            classes=tuple(names[label] for label in labels),
            probabilities=np.asarray(jax.nn.softmax(logits)),
            logits=logits,
        )

    def _logits(self, images: Sequence[Any] | np.ndarray) -> np.ndarray:
        """float32[n, num_classes]; images are filled up, so that few shapes compile."""
        pixels = self.preprocessing.pixels(images)
        missing = min(AT_ONCE, 1 << (len(pixels) - 1).bit_length()) - len(pixels)
        filled = np.pad(pixels, ((0, missing), (0, 0), (0, 0), (0, 0)))
        logits = self.apply(self.preprocessing.normalized(filled))
        return np.asarray(logits[: len(pixels)])

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a network that was retrained, on the devices of this process.

        Args:
          folder: of its training, with `network.json` and `checkpoints/`.

        Raises:
          InputError: it is not there, incomplete or damaged.
        """
        known = cls.described(folder)
        shapes, step = variable_shapes(known.model), known.facts["steps"]
        variables = _read_variables(shapes, folder / "checkpoints", step)
        return dataclasses.replace(known, variables=variables)

    @classmethod
    def described(cls, folder: Path) -> Self:
        """All that `read` reads but the variables.

        Raises:
          InputError: it is not there or damaged.
        """
        path = folder / artifacts.NETWORK
        values = files.read_checked_json(path, ("space", "facts"))
        with files.damage_as_input_error(path, "a trained network"):
            space, facts = restored(values["space"]), values["facts"]
            options = {name: values[name] for name in OPTIONS}
            model = network(space, **options, rematerialize=False)
            preprocessing = Preprocessing.restored(values["preprocessing"])
            architecture = space.validate(values["architecture"])
            if len(preprocessing.classes) != space.num_classes:
                raise ValueError(f"{len(preprocessing.classes)} classes")
            facts["steps"] = int(facts["steps"])
        return cls(model, {}, architecture, preprocessing, facts)


def folder_of(field: str, workdir: Path, rank: int = 0) -> Path:
    """Where a network that was retrained is.

    Args:
      field: that names the run, for errors.
      workdir: of the run or of a named search.
      rank: among those that were retrained, the best first.

    Raises:
      InputError: nothing was retrained, or fewer networks.
    """
    path = workdir / artifacts.RETRAIN_RESULT
    if not path.exists():
        raise InputError(
            f"{field}: expected the workdir of a run whose network is trained, {path} "
            "is missing; run its stages to the end"
        )
    trained = artifacts.load_retrained(path)
    expected = f"0 to {len(trained) - 1}, as {len(trained)} network(s) were retrained"
    require(0 <= rank < len(trained), "rank", f"{expected} (retrain.networks)", rank)
    return workdir / trained[rank].get("retrained_in", artifacts.RETRAIN)


def write_network(
    folder: Path,
    model: Network,
    architecture: Architecture,
    preprocessing: Preprocessing,
    facts: dict[str, Any],
) -> None:
    """Write `network.json`, all that `TrainedNetwork.read` reads beside a checkpoint.

    Args:
      folder: of a training of this network.
      model: of a space with one op in each layer.
      architecture: of the network.
      preprocessing: of the images.
      facts: JSON values, among them `steps`, of the checkpoint.
    """
    value = {
        "space": stored(model.space),
        "architecture": list(architecture),
        **{name: getattr(model, name) for name in OPTIONS},
        "preprocessing": dataclasses.asdict(preprocessing),
        "facts": {**facts, "versions": versions()},
    }
    files.write_checked_json(folder / artifacts.NETWORK, value)


@functools.partial(jax.jit, static_argnums=0)
def _compiled(
    model: Network, variables: dict[str, Any], images: Array, path: Array
) -> Any:
    """Equal networks have one program."""
    return model.apply(variables, images, path, False)


def _read_variables(shapes: dict[str, Any], folder: Path, step: int) -> dict[str, Any]:
    """Those of a checkpoint of a training of all weights, on this process."""
    params = shapes["params"]
    trained = split(
        {"params": params, "batch_stats": shapes.get("batch_stats", {})},
        fates_of(params, "all", train_classifier=True),
    )
    sharding = replicated(data_mesh())
    targets = jax.tree.map(lambda leaf: leaf.update(sharding=sharding), trained)
    with Checkpoints(folder, read_only=True) as checkpoints:
        read = checkpoints.restore(step, variables=targets)["variables"]
    return jax.tree.map(np.asarray, {name: read[name] for name in shapes})
