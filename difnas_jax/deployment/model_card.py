"""`model_card.md`: what an exported network does, how good it is, how it was found."""

from collections.abc import Iterator, Sequence
from typing import Any

from difnas_jax.config import default
from difnas_jax.config.build import flat
from difnas_jax.data.decoding import MODES
from difnas_jax.deployment.network import TrainedNetwork
from difnas_jax.deployment.preprocessing import Preprocessing
from difnas_jax.spaces.costs import LATENCY, MACS, PARAMS, in_words

FILE = "model_card.md"
# What of an image becomes the square that the network reads, by
# `data.images.EVALUATION_CROPS`: in words, and for Pillow.
PARTS = {
    "whole": "the whole image",
    "centre": "the central square whose side is 224/256 of the short side",
}
BOXES = {
    "whole": ("min(image.size)", "box = 0, 0, image.width, image.height"),
    "centre": (
        "224 / 256 * min(image.size)",
        "side = 224 / 256 * min(image.size)\n"
        "left, upper = ((length - side) / 2 for length in image.size)\n"
        "box = left, upper, left + side, upper + side",
    ),
}
# Channels -> what has them, and what they are.
KINDS = {1: ("grey images", "one grey level"), 3: ("colour images", "red, green, blue")}
PIXELS = """\
Pillow makes these pixels of a file of 8 bits a channel, as the run did, which decoded
large JPEG files at a smaller scale (of these, a central square may be off by rounding):

```python
import numpy as np
from PIL import Image, ImageOps

image = Image.open("image.png")
shrink = {part} / {side}
image.draft(None, [int(length / shrink) for length in image.size])
image = ImageOps.exif_transpose(image).convert("{mode}")
{box}
image = image.resize(({side}, {side}), Image.Resampling.BILINEAR, box)
pixels = np.asarray(image).reshape(1, {side}, {side}, {channels})
```

These are the `images` below, by `.transpose(0, 3, 1, 2)` where channels come first."""
NUMBERS = {
    "test_accuracy": "accuracy on test",
    "test_top5_accuracy": "top-5 accuracy on test",
    "test_loss": "loss on test",
    "test_examples": "images of test",
    "test_chance": "accuracy of a constant answer on test",
    "validation_accuracy": "accuracy on validation",
    "steps": "updates of its training",
}
COSTS = {
    MACS: "multiply-adds",
    PARAMS: "parameters",
    LATENCY: "milliseconds for a batch, by the latency table of its search",
}
# Fields of the config that are shown also where they are the default, and those that
# are of the machine.
ALWAYS = ("data.source", "retrain.weights", "retrain.batch_size")
PRIVATE = ("data.path", "retrain.teacher")
Facts = dict[str, Any]


def text(network: TrainedNetwork, fold: bool, usages: Sequence[str]) -> str:
    """The card.

    Args:
      network: that is exported.
      fold: whether batch norms are folded.
      usages: of the files, with the shapes of images to be filled in.
    """
    side, channels = network.space.image_size, network.space.image_channels
    shapes = {
        "images_last": (1, side, side, channels),
        "images_first": (1, channels, side, side),
    }
    lines = [
        f"# A network of the space {network.space.name}",
        "",
        f"`{network.text}`",
        "",
        "## Task",
        "",
        *_task(network.preprocessing),
        "",
        *_pixels(network.preprocessing),
        "",
        "## Data",
        "",
        *_data(network.facts),
        "",
        "## Numbers",
        "",
        *_numbers(network),
        "",
        "## How it was found",
        "",
        *_origin(network),
        "",
        "## Files",
        "",
        "\n\n".join(usage.format(**shapes) for usage in usages),
        "",
        *_precision(network, fold),
        "",
        "## Classes",
        "",
        *(f"- {n}: {name}" for n, name in enumerate(network.preprocessing.classes)),
    ]
    return "\n".join(lines) + "\n"


def _task(known: Preprocessing) -> Iterator[str]:
    side, several = known.image_size, f"{known.channels} channels"
    images, levels = KINDS.get(known.channels, (f"images of {several}", several))
    yield (
        f"Classifies {images} into {len(known.classes):,} classes, listed below. It "
        f"reads {side} x {side} pixels, {levels} from 0 to 255: {PARTS[known.crop]}, "
        "upright, resized to that by Pillow's bilinear filter. The files below "
        "normalise them, (pixel / 255 - mean) / std, with mean "
        f"{_listed(known.mean)} and std {_listed(known.std)}, and return logits."
    )


def _pixels(known: Preprocessing) -> Iterator[str]:
    """How a file becomes what the network reads; Pillow opens grey and colour ones."""
    if mode := MODES.get(known.channels):
        part, box = BOXES[known.crop]
        side, channels = known.image_size, known.channels
        names = {"part": part, "box": box, "side": side, "channels": channels}
        yield PIXELS.format(mode=mode, **names)


def _data(facts: Facts) -> Iterator[str]:
    """What it learnt from, and how; nothing of a run of an older version."""
    counts = [f"{n:,} images of {role}" for role, n in facts.get("images", {}).items()]
    yield f"{', '.join(counts) or 'Not known'}."
    if "config" in facts:
        usual = flat(default(), ("data", "retrain"))
        fields = {n: v for n, v in facts["config"].items() if n not in PRIVATE}
        shown = {n: v for n, v in fields.items() if n in ALWAYS}
        shown |= _changed(fields, usual)
        yield ""
        yield f"Trained with {', '.join(f'`{n} = {v!r}`' for n, v in shown.items())}."
    if taught := facts.get("teacher"):
        yield ""
        yield (
            f"Taught by the network `{taught['text']}` (accuracy on test "
            f"{taught['test_accuracy']:.2%}), whose probabilities make up "
            f"{taught['share']:.0%} of the target."
        )


def _numbers(network: TrainedNetwork) -> Iterator[str]:
    facts = network.facts
    yield "| | |"
    yield "| --- | --: |"
    for name, words in NUMBERS.items():
        if name in facts:
            yield f"| {words} | {in_words(facts[name])} |"
    for name, value in (facts.get("found", {}).get("costs") or network.costs).items():
        yield f"| {COSTS.get(name, name)} | {in_words(value)} |"
    for warning in facts.get("warnings", ()):
        yield ""
        yield f"Warning: {warning}."


def _origin(network: TrainedNetwork) -> Iterator[str]:
    found: Facts = network.facts.get("found", {})
    origin: Facts = found.get("provenance", {})
    if "algorithm" not in origin:
        yield "The architecture was given, not searched."
    else:
        usual = flat(default(), ("method",))
        method = {f"method.{n}": value for n, value in origin["method"].items()}
        changed = _changed(method, usual)
        bounds = [f"{n} = {v:,}" for n, v in found.get("budget", {}).items() if v]
        yield (
            f"By the search `{origin['algorithm']}`, within "
            f"{', '.join(bounds) or 'no bound'}; its score `{origin['score']}` is "
            f"{found['score']:.6g}. Method: DI-NAS"
            + "".join(f", `{n} = {v!r}`" for n, v in changed.items())
            + "."
        )
    yield ""
    versions = [f"{n} {v}" for n, v in network.facts.get("versions", {}).items()]
    yield f"Seed {network.facts.get('seed')}; {', '.join(versions)}."


def _changed(fields: Facts, usual: Facts) -> Facts:
    """The fields of a config that differ from the default."""
    return {n: v for n, v in fields.items() if n not in usual or usual[n] != v}


def _precision(network: TrainedNetwork, fold: bool) -> Iterator[str]:
    yield (
        "All files compute in float32"
        + f", the training in {network.model.dtype}"
        * (network.model.dtype != "float32")
        + ". Batch norms are "
        + ("folded into the convolutions before them." if fold else "as they trained.")
    )


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)
