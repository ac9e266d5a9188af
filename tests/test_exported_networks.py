"""The forms in which a network is exported compute what the network computes."""

import dataclasses
import functools
import re
from typing import Any

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from jax import export

from difnas_jax.deployment import stablehlo, torch_files
from difnas_jax.deployment.folding import folded
from difnas_jax.deployment.network import TrainedNetwork
from difnas_jax.deployment.preprocessing import Preprocessing
from difnas_jax.deployment.torch_form import structure, tensors
from difnas_jax.models.initializers import initialize, variable_shapes
from difnas_jax.models.networks import network
from difnas_jax.ops import depthwise_kernels
from difnas_jax.ops.layout import CHANNELS_LAST
from difnas_jax.spaces import SPACES, build
from difnas_jax.spaces.costs import cost_table

OPTIONS: dict[str, Any] = {"dropout": 0.2, "rematerialize": False, "dtype": "float32"}
COUNTED_APART = re.compile(r"running_|num_batches")  # statistics, no parameters


def first_layers(name, count, size, channels, classes):
    """A chain that ends early, so that it compiles in a second."""
    space = build(name, image_size=size, image_channels=channels, num_classes=classes)
    return dataclasses.replace(space, layers=space.layers[:count])


def cells():
    """One cell in each stage, with all ops on its edges."""
    space = build("nas_bench_201", image_size=8, image_channels=3, num_classes=4)
    return dataclasses.replace(space, cells=1)


def dense():
    return build("dense", image_size=6, image_channels=3, num_classes=2)


# Space, and an architecture with all kinds of blocks that it has.
NETWORKS = {
    "digits": (lambda: first_layers("digits", 4, 8, 1, 5), (0, 6, 3, 5)),
    "nas_bench_macro": (lambda: first_layers("nas_bench_macro", 3, 8, 3, 1), (0, 2, 0)),
    "shufflenetv2": (
        lambda: first_layers("shufflenetv2", 6, 16, 3, 3),
        (0, 3, 2, 4, 3, 1),
    ),
    "nas_bench_201": (cells, (3, 0, 1, 4, 2, 3)),
    "dense": (dense, (2, 7, 3, 10, 12, 5)),
}


def trained(space, architecture):
    """A network as a training might leave it, with statistics of all sizes."""
    rng = np.random.default_rng(0)
    model = network(space.cut(architecture), **OPTIONS)
    variables = initialize(model, 0, kernels="he_fan_out", depthwise="qr")

    def leaf(path, value):
        if path[-1].key == "kernel":
            return value
        spread = path[-1].key in ("scale", "var")
        drawn = (
            rng.uniform(0.5, 2, value.shape)
            if spread
            else rng.normal(0, 0.5, value.shape)
        )
        return drawn.astype(np.float32)

    channels = space.image_channels
    preprocessing = Preprocessing(
        mean=(0.4, 0.5, 0.6)[:channels],
        std=(0.2, 0.25, 0.3)[:channels],
        image_size=space.image_size,
        channels=channels,
        crop="whole",
        classes=tuple(f"class {n}" for n in range(space.num_classes)),
    )
    variables = jax.tree_util.tree_map_with_path(leaf, variables)
    return TrainedNetwork(model, variables, architecture, preprocessing, facts={})


def pixels_for(net):
    shape = net.space.image_size, net.space.image_size, net.space.image_channels
    return np.random.default_rng(1).integers(0, 256, (3, *shape), np.uint8)


def assert_same_logits(found, expected):
    largest = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * largest)


@functools.cache
def case(name):
    """A network, pixels, and variables -> what it says of the pixels with them."""
    make, architecture = NETWORKS[name]
    net = trained(make(), architecture)
    pixels = pixels_for(net)
    images = net.preprocessing.normalized(pixels)
    path = np.array(architecture, np.int32)
    run = jax.jit(lambda variables: net.model.apply(variables, images, path, False))
    return net, pixels, run


@pytest.mark.parametrize("name", NETWORKS)
def test_folded_batch_norms_change_no_logit(name):
    net, _, run = case(name)
    variables = folded(net.variables)
    assert_same_logits(run(variables), run(net.variables))
    # All but the last of cells, which has no convolution before it, only add a bias.
    statistics: Any = flatten_dict(variables["batch_stats"]).items()
    left = {leaf[0] for leaf, value in statistics if leaf[-1] == "mean" and value.any()}
    assert left == {"bn_last"} & net.variables["batch_stats"].keys()


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_torch_module_says_the_same(name, fold, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is an extra")
    net, pixels, run = case(name)
    variables = folded(net.variables) if fold else net.variables
    torch_files.write(dataclasses.replace(net, variables=variables), fold, tmp_path)
    assert_same_logits(torch_files.run(tmp_path, pixels), run(net.variables))


@pytest.mark.parametrize("name", ["digits", "nas_bench_201", "dense"])
def test_one_program_says_the_same_on_every_platform(name, tmp_path):
    net, pixels, run = case(name)
    stablehlo.write(net, False, tmp_path)
    logits = np.asarray(run(net.variables))
    for count in (1, 3):
        assert_same_logits(stablehlo.run(tmp_path, pixels[:count]), logits[:count])
    program = export.deserialize(bytearray((tmp_path / stablehlo.FILE).read_bytes()))
    assert program.platforms == stablehlo.PLATFORMS and program.nr_devices == 1
    # Nothing of one platform alone; JAX itself resolves the check of the shape.
    calls = set(re.findall(r"custom_call @(\w+)", program.mlir_module()))
    assert calls <= {"shape_assertion"}
    # What the program has for GPUs, on this processor: it takes the place of the CPU.
    for_gpus = dataclasses.replace(program, platforms=("tpu", "cpu", "cuda"))
    assert_same_logits(for_gpus.call(pixels), logits)


def test_onnx_says_the_same(tmp_path):
    for package in ("onnx", "onnxruntime", "onnxscript", "torch"):
        pytest.importorskip(package, reason="ONNX is an extra")
    net, pixels, run = case("nas_bench_201")
    torch_files.write_onnx(net, False, tmp_path)
    assert_same_logits(torch_files.run_onnx(tmp_path, pixels), run(net.variables))
    assert {path.name for path in tmp_path.iterdir()} == {torch_files.ONNX}


def test_the_torch_module_trains(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    net, pixels, _ = case("shufflenetv2")
    torch_files.write(net, False, tmp_path)
    model = torch_files.loaded(tmp_path)[1].train()
    before = {name: value.clone() for name, value in model.named_buffers()}
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    torch.nn.functional.cross_entropy(model(images), torch.tensor([0, 1, 2])).backward()
    assert all(weights.grad is not None for weights in model.parameters())
    same = {n for n, value in model.named_buffers() if torch.equal(value, before[n])}
    assert same == {"mean", "std"}


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_the_torch_module_computes_in_the_dtype_of_its_weights(dtype, tmp_path):
    """Pixels of any dtype become that, and whole numbers to 255 are exact in each."""
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    net, pixels, run = case("digits")
    torch_files.write(net, False, tmp_path)
    model = torch_files.loaded(tmp_path)[1].to(getattr(torch, dtype))
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        logits = model(images)
        assert torch.equal(model(images.float()), logits)
    expected = np.asarray(run(net.variables))
    rounding = max(1e-5, 8 * torch.finfo(logits.dtype).eps)
    difference = np.abs(logits.double().numpy() - expected).max()
    assert logits.dtype == getattr(torch, dtype)
    assert difference < rounding * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("name", SPACES)
def test_every_weight_of_every_space_is_exported(name):
    """As many as the costs say, whatever is on the path."""
    space = build(name, image_size=32, image_channels=3, num_classes=10)
    rng = np.random.default_rng(0)
    architecture = tuple(int(rng.choice(layer.ops)) for layer in space.layers)
    model = network(space.cut(architecture), **OPTIONS)
    shapes = {"batch_stats": {}, **variable_shapes(model)}
    variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes)

    def weights(arrays):
        return {n: a.size for n, a in arrays.items() if not COUNTED_APART.search(n)}

    kept = weights(tensors(variables, folded=False))
    assert sum(kept.values()) == cost_table(space).of_one(architecture)["params"]
    # A batch norm that is folded leaves its bias, one vector of two.
    less = weights(tensors(folded(variables), folded=True))
    norms = {n: size for n, size in kept.items() if n.endswith("norm.bias")}
    norms.pop("features.last.norm.bias", None)
    assert sum(kept.values()) - sum(less.values()) == sum(norms.values())


def test_a_network_in_bfloat16_is_exported_in_float32(tmp_path):
    net, pixels, run = case("dense")
    rounded = net.model.clone(dtype="bfloat16")
    stablehlo.write(dataclasses.replace(net, model=rounded), False, tmp_path)
    assert_same_logits(stablehlo.run(tmp_path, pixels), run(net.variables))


def test_a_supernet_is_not_a_found_network():
    make, architecture = NETWORKS["digits"]
    net = trained(make(), architecture)
    model = network(make(), **OPTIONS)
    with pytest.raises(ValueError, match="one op in each layer"):
        structure(model, folded=False)
    assert structure(net.model, folded=False)["blocks"]


def test_a_program_for_any_batch_has_no_kernels_of_this_gpu():
    shape: Any = export.symbolic_shape("batch, 4, 4, 8")
    assert not depthwise_kernels.take(shape, CHANNELS_LAST)
    assert depthwise_kernels.take((2, 4, 4, 8), CHANNELS_LAST)
