"""The share of an update that its collectives take on many devices, by formula.

It takes the collectives of the compiled program (`collectives`), published bandwidths,
and the time of one path. Nothing overlaps in it, which is the worst case.
"""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Iterator

from benchmarks import markdown, result_files

# Seconds of one path of the supernet of `mbv2` at 224 px, batch 128, bfloat16, batch
# norms alone training, on one H200 (docs/speed.md).
PATH_SECONDS, PATH_BATCH, PATHS = 0.0304, 128, 6
FIXED_BATCH = 1024  # images of an update when the batch does not grow
IMAGES = 120 * 1_281_167  # through a path: the epochs of `configs/mbv2.py`, ImageNet
DECODED = 200  # images a second that a core decodes and augments (RESULTS.md)
MICROSECOND, GIGABYTES = 1e-6, 1e9


@dataclasses.dataclass(frozen=True)
class Devices:
    """Devices of one kind that all-reduce in rings.

    Attributes:
      name: of the machine or pod.
      count: n.
      bandwidth: bytes a second that each of them can send.
      latency: seconds of a collective of few bytes.
    """

    name: str
    count: int
    bandwidth: float
    latency: float

    def seconds(self, collectives: float, size: float) -> float:
        """So many all-reduces of so many bytes in all, one after another."""
        sent = 2 * (self.count - 1) / self.count * size
        return collectives * self.latency + sent / self.bandwidth


def _torus(name: str, sides: tuple[int, ...], gigabytes: int) -> Devices:
    """Chips in a torus; a sum travels along every side and back, a hop in 1 us."""
    hops = 2 * sum(side - 1 for side in sides)
    shape = " x ".join(map(str, sides))
    return Devices(
        f"{math.prod(sides)} chips TPU {name}, {shape}",
        count=math.prod(sides),
        bandwidth=gigabytes * GIGABYTES,
        latency=hops * MICROSECOND,
    )


PODS = (
    Devices("8 GPUs, NVLink", 8, 450 * GIGABYTES, 10 * MICROSECOND),
    Devices("32 GPUs, InfiniBand", 32, 50 * GIGABYTES, 30 * MICROSECOND),
    Devices("256 GPUs, InfiniBand", 256, 50 * GIGABYTES, 30 * MICROSECOND),
    _torus("v5e", (4, 8), 200),
    _torus("v5e", (16, 16), 200),
    _torus("v5p", (2, 4, 4), 600),
    _torus("v5p", (4, 8, 8), 600),
)

TEXT = f"""# Scale

Written by `python -m benchmarks.speed collectives`: the collectives are counted in the
program that XLA makes for eight virtual CPU devices; the shares follow by formula.
**None of it was run on several accelerators.**

## Collectives of one strictly fair update

`mbv2` with its six convolutional ops in 21 layers, {PATHS} paths, 1,000 classes. Their
number and size depend on channels and weights, not on pixels and batch. A loop counts
as often as it runs, a conditional as the mean of its branches. *Statistics* are mean
and variance of batch norm, forward. *Gradients* are those of what trains; of batch norm
they are also the sums that the gradient of its input needs. *Paths* distribute the op
indices. With placement `batch` every device has a part of the images, with `paths` all
images and some of the paths.

"""
FORMULA = f"""
## Share of the time

An all-reduce of S bytes over n devices takes latency + 2 (n - 1) / n S / bandwidth.
Collectives follow one after another and hide behind nothing. A path takes
{1e3 * PATH_SECONDS:.1f} ms for {PATH_BATCH} images (one H200, bfloat16, 224 px, batch
norms alone training). All weights take more, so their share is less than shown; so does
a TPU v5e or v5p, whose memory is slower, and of which no time was measured.

Bandwidth is what a device can send: NVLink 4 450 GB/s (NVIDIA H100 and H200 datasheets:
900 GB/s, both directions); InfiniBand 50 GB/s (NVIDIA DGX H100 user guide: a 400 Gb/s
ConnectX-7 for each GPU); TPU v5e 200 GB/s and v5p 600 GB/s (Google Cloud, "TPU v5e" and
"TPU v5p": ICI 400 and 1,200 GBps a chip, both directions). **Latencies are assumed:**
10 us over NVLink (some 6 us were seen between two H100, NVIDIA/nccl issue 1259), 30 us
over InfiniBand (NCCL itself expects 25 us, issue 1453), and 1 us for each of the
2 (side - 1) hops along each side of a torus.

Columns: the share of an update that collectives take, with placement `batch` and
{PATH_BATCH} images on each device, for batch norms alone and for all weights; the same
with {FIXED_BATCH} images on all devices together; with placement `paths` and
{PATH_BATCH} images the share, and how many devices have a path to run.

"""
COLUMNS = (
    "devices",
    "`batch`, BN-only",
    "`batch`, all weights",
    f"`batch` of {FIXED_BATCH}, BN-only",
    "`paths`, BN-only",
    "devices that work",
)


def page(results: result_files.Results) -> str:
    """The text of the page, from the measurement `collectives`."""
    found = results["collectives"]
    values = found["values"]
    shares = [markdown.row(_cells(pod, values)) for pod in PODS]
    lines = [*markdown.head(COLUMNS), *shares, "", _conclusion(values), ""]
    sources = markdown.sources({"collectives": found})
    table = "\n".join(_counts(values))
    return TEXT + table + "\n" + FORMULA + "\n".join([*lines, *sources]) + "\n"


def _counts(values: dict[str, dict[str, float]]) -> Iterator[str]:
    names = "placement and what trains", "purpose", "kind", "count", "bytes"
    yield from markdown.head(names)
    for case, counted in values.items():
        for key, count in counted.items():
            purpose, kind, unit = key.split()
            if unit == "count":
                size = counted[f"{purpose} {kind} bytes"]
                yield markdown.row((case, purpose, kind, f"{count:g}", f"{size:,.0f}"))


def _collectives(pod: Devices, counted: dict[str, float]) -> float:
    """Seconds of all of them."""
    count, size = (
        sum(value for key, value in counted.items() if key.endswith(unit))
        for unit in ("count", "bytes")
    )
    return pod.seconds(count, size)


def _share(pod: Devices, counted: dict[str, float], work: float) -> float:
    waiting = _collectives(pod, counted)
    return waiting / (waiting + work)


def _cells(pod: Devices, values: dict[str, dict[str, float]]) -> Iterator[str]:
    yield pod.name
    work = PATHS * PATH_SECONDS
    yield from (
        f"{_share(pod, values[f'batch {trained}'], work):.1%}"
        for trained in ("all_bn", "all")
    )
    seconds = work * FIXED_BATCH / PATH_BATCH / pod.count
    bn_only = values["batch all_bn"]
    yield f"{_share(pod, bn_only, seconds):.1%}"
    rounds = math.ceil(PATHS / pod.count)
    yield f"{_share(pod, values['paths all_bn'], rounds * PATH_SECONDS):.1%}"
    yield f"{min(PATHS, pod.count)} of {pod.count}"


def _conclusion(values: dict[str, dict[str, float]]) -> str:
    """Where one machine stops being enough."""
    bn_only, work, machine = values["batch all_bn"], PATHS * PATH_SECONDS, PODS[0]
    seconds = work + _collectives(machine, bn_only)
    images = machine.count * PATH_BATCH
    hours = IMAGES / (PATHS * images) * seconds / 3600
    read = images / seconds
    half = work * FIXED_BATCH / PATH_BATCH / _collectives(PODS[1], bn_only)
    text = (
        f"The 120 epochs of ImageNet take {hours:.1f} hours on one machine of "
        f"{machine.count} GPUs, if the data arrive: {read:,.0f} images a second, what "
        f"{read / DECODED:.0f} cores decode. So one machine is enough for the search; "
        f"with {FIXED_BATCH} images an update, more of them over InfiniBand spend half "
        f"of their time in collectives from {half:.0f} GPUs on. What limits is the "
        "number of collectives, not their bytes, as each batch norm waits for one in "
        "each pass: beyond one machine the batch has to grow with the devices. "
        f"Placement `paths` sums once an update, but has no work for more than {PATHS} "
        "devices, and each of them reads all images."
    )
    return textwrap.fill(text, 88)
