"""A network that teaches another one: its probabilities are a part of the target.

Knowledge distillation (Hinton, Vinyals and Dean, arXiv 1503.02531) at temperature 1, as
once-for-all networks are trained (arXiv 1908.09791, section 3.3). The teacher sees the
same augmented images.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax import Array
from ml_collections import ConfigDict

from difnas_jax.config.build import flat, teacher_workdir
from difnas_jax.data import Normalizer
from difnas_jax.deployment import saved
from difnas_jax.errors import first_of, require
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.mesh import data_mesh, replicate
from difnas_jax.training import programs
from difnas_jax.training.recipe import Teach

FIELD = "retrain.teacher"
# Which images are held out follows from these, and from the data.
SPLIT_BY = (
    "seed",
    "data.source",
    "data.test_split",
    "data.test_fraction",
    "data.validation_split",
    "data.validation_fraction",
)


def check_teacher(config: ConfigDict, classes: tuple[str, ...]) -> None:
    """Refuse a teacher of other images or classes.

    Args:
      config: of the run.
      classes: of its data, in the order of the labels.

    Raises:
      InputError: naming what differs, or that there is no trained network.
    """
    workdir = teacher_workdir(config)
    if workdir is None:
        return
    folder = saved.folder_of(FIELD, workdir)
    # What a complete run keeps of its teacher, see `keep_description`, has no weights.
    is_kept = workdir.match(artifacts.TEACHER)
    known = (saved.described if is_kept else saved.read)(folder).preprocessing
    own = config.space.image_size, config.space.image_channels
    got = known.image_size, known.channels
    of_images = "a network of images of {0} x {0} pixels and {1} channel(s)".format
    require(got == own, FIELD, of_images(*own), of_images(*got))
    expected = f"a network of the classes of the data, {first_of(classes)}"
    require(known.classes == classes, FIELD, expected, first_of(known.classes))


def teacher_folder(config: ConfigDict) -> Path | None:
    """Where the network is that the config names; None where it names none.

    Raises:
      InputError: it is not trained to its end.
    """
    workdir = teacher_workdir(config)
    return saved.folder_of(FIELD, workdir) if workdir else None


def teacher_facts(config: ConfigDict) -> dict[str, Any]:
    """Which network teaches, JSON values; {} where none does.

    `text`, `test_accuracy`, its `share` of the target, and `warnings`.
    """
    folder = teacher_folder(config)
    if folder is None:
        return {}
    known = saved.described(folder)
    said = {
        "text": known.text,
        "test_accuracy": known.facts["test_accuracy"],
        "share": config.retrain.teacher_share,
        "warnings": list(_doubts(config, known.facts)),
    }
    return {"teacher": said}


def _doubts(config: ConfigDict, facts: dict[str, Any]) -> Iterator[str]:
    """Whether the teacher may have trained on what judges its student."""
    theirs = {"seed": facts.get("seed"), **facts.get("config", {})}
    ours = flat(config, SPLIT_BY)
    differ = [
        f"{name} = {theirs.get(name)!r}"
        for name in ours
        if theirs.get(name) != ours[name]
    ]
    if differ:
        yield (
            f"the teacher was trained with {', '.join(differ)}, and may know images on "
            "which this network is validated or tested"
        )


def keep_description(config: ConfigDict, workdir: Path) -> None:
    """Keep in a workdir what says which network taught, should that run be gone.

    With it the run is complete without its teacher, and can be reported and exported.
    """
    source = teacher_workdir(config)
    if source is None:
        return
    folder = saved.folder_of(FIELD, source)
    kept = workdir / artifacts.TEACHER
    for path in (source / artifacts.RETRAIN_RESULT, folder / artifacts.NETWORK):
        with files.atomic_write(kept / path.relative_to(source), "wb") as file:
            file.write(path.read_bytes())


def teacher(config: ConfigDict, normalizer: Normalizer, folder: Path) -> Teach:
    """The target of each image: a share of the teacher's probabilities, and the label.

    The smoothing of labels does not touch the teacher's part.

    Args:
      config: of the training that is taught.
      normalizer: of its images; the teacher gets them in its own normalisation.
      folder: of the teacher's training.
    """
    settings, network = config.retrain, saved.read(folder)
    model, known = network.model, network.preprocessing
    path = np.array(network.architecture, np.int32)
    mean, std = (np.array(each, np.float32) for each in (known.mean, known.std))
    scale, shift = normalizer.std / std, (normalizer.mean - mean) / std

    def target(variables: dict[str, Any], images: Array, labels: Array) -> Array:
        logits: Any = model.apply(variables, images * scale + shift, path, False)
        one_hot = jax.nn.one_hot(labels, logits.shape[-1])  # [B] -> [B, C]
        smoothed = optax.smooth_labels(one_hot, settings.label_smoothing)
        share = settings.teacher_share
        return (1 - share) * smoothed + share * jax.nn.softmax(logits)

    program = programs.of_network(
        target,
        network.variables["params"],
        title="retrain",
        name="the teacher",
        model=model,
        batch_size=settings.batch_size,
    )
    variables = replicate(network.variables, data_mesh())
    return lambda batch: {
        **batch,
        "target": program(variables, batch["image"], batch["label"]),
    }
