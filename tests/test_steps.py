"""The update: what moves, what must not, and what is not even computed."""

import dataclasses
import functools
import math
import re
from collections.abc import Callable
from typing import Any

import flax.traverse_util
import jax
import jax.export
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest
from plain_networks import initial, plain_network

from difnas_jax.config import default
from difnas_jax.models.blocks import INDICATOR_BATCH_NORMS
from difnas_jax.ops.layout import BATCH_LAST, CHANNELS_LAST
from difnas_jax.runtime.mesh import data_mesh, replicate, shard_batch
from difnas_jax.training import optim
from difnas_jax.training.evaluate import sums_of_batch
from difnas_jax.training.fates import HELD, TRAINABLE, fates_of
from difnas_jax.training.gradients import BATCH_SHARING
from difnas_jax.training.paths import stream, strict_fair
from difnas_jax.training.placements import PLACEMENTS
from difnas_jax.training.recipe import Recipe
from difnas_jax.training.steps import (
    TrainState,
    TrainStep,
    create_state,
    make_train_step,
)

flatten: Callable[..., dict[tuple[str, ...], Any]] = flax.traverse_util.flatten_dict


def settings(**changes):
    config = ml_collections.ConfigDict(default().supernet)
    config.update(batch_size=8, reference_batch=8, learning_rate=0.1, optimizer="sgd")
    config.update(changes)
    return config


def training(
    space, trainable, *, model=None, mesh=None, columns=None, **changes: Any
) -> tuple[TrainState, TrainStep]:
    """(state, step) of a small supernet; `columns` are those of the recipe."""
    model = model or plain_network(space)
    recipe = Recipe(
        settings=settings(**changes),
        seed=0,
        trainable=trainable,
        train_classifier=False,
        batch_sharing="same",
        placement="batch",
        paths_at_once=1,
        fair=True,
        memory="path_losses",
        update="plain",
        method=default().method,
    )
    recipe = dataclasses.replace(recipe, **(columns or {}))
    train_classifier = recipe.train_classifier
    variables = initial(model, trainable=trainable, train_classifier=train_classifier)
    variables["batch_stats"] = {}
    packing = optim.Packing.of(recipe.fates(variables["params"]))
    optimizer = optim.optimizer(recipe.settings, 100)
    projection = recipe.projection(packing, 100)
    step = make_train_step(model, optimizer, projection, recipe, mesh)
    variables = jax.tree.map(jnp.asarray, variables)
    memory = recipe.remembers.begin(100, 7)
    return create_state(variables, optimizer, packing, memory), step


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((14, 8, 8, 1)).astype(np.float32)
    return {"image": images, "label": rng.integers(0, 10, 14).astype(np.int32)}


def moved(before, after):
    """The leaves that differ in at least one bit."""
    old, new = flatten(before), flatten(after)
    return {
        leaf
        for leaf in old
        if np.asarray(old[leaf]).tobytes() != np.asarray(new[leaf]).tobytes()
    }


def is_on(leaf, paths, space):
    """Whether a leaf lies on one of the paths."""
    if not leaf[0].startswith("layer_"):
        return True
    names = {space.ops[int(path[int(leaf[0][-2:])])].name for path in paths}
    return leaf[1] in names


RULES = {
    "indicator": lambda leaf: (
        leaf[0].startswith("layer_") and leaf[2] in INDICATOR_BATCH_NORMS
    ),
    "all_bn": lambda leaf: leaf[-2].startswith("bn_"),
    "spatial": lambda leaf: leaf[0] != "classifier",  # other kernels are in `frozen`
    "kernels": lambda leaf: leaf[-1] == "kernel" and leaf[0] != "classifier",
    "all": lambda leaf: True,
}


@pytest.mark.parametrize("trainable", TRAINABLE)
def test_only_the_chosen_leaves_on_the_paths_move(tiny, batch, trainable):
    """With momentum and weight decay, over two updates on different paths."""
    state, step = training(tiny, trainable, momentum=0.9, weight_decay=0.1)
    step = jax.jit(step)
    frozen = jax.tree.map(
        lambda leaf: np.asarray(leaf).tobytes(), state.variables["frozen"]
    )
    for paths in (np.array([[0, 0, 1]]), np.array([[1, 1, 2]])):
        before = state
        state, _ = step(state, batch, jnp.asarray(paths, jnp.int32))
        changed = moved(before.variables["params"], state.variables["params"])
        expected = {
            leaf
            for leaf in flatten(before.variables["params"])
            if RULES[trainable](leaf) and is_on(leaf, paths, tiny)
        }
        # A scale that the next batch norm cancels has a gradient of zero and may stand
        # still; nothing beyond the expected may move.
        assert changed <= expected
        assert len(changed) >= 0.9 * len(expected)
    after = jax.tree.map(
        lambda leaf: np.asarray(leaf).tobytes(), state.variables["frozen"]
    )
    assert after == frozen
    assert bool(frozen) == (trainable not in ("kernels", "all"))


def test_the_state_keeps_the_cross_entropy_of_every_path(tiny, batch):
    """Without smoothing; in the row of its update and the column of its path."""
    state, step = training(tiny, "all_bn")
    paths = jnp.array([[0, 0, 1], [1, 1, 2]], jnp.int32)
    rows = []
    for _ in range(2):
        model, variables = plain_network(tiny), state.variables
        for path in paths:
            logits: Any = model.apply(variables, batch["image"], path, True)
            found = optax.softmax_cross_entropy_with_integer_labels(
                logits, batch["label"]
            )
            rows.append(float(found.mean()))
        state, _ = jax.jit(step)(state, batch, paths)
    losses = state.memory["path_losses"]
    np.testing.assert_allclose(losses[:2, :2].ravel(), rows, rtol=1e-5)
    assert not losses[2:].any() and not losses[:, 2:].any()


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_a_classifier_trains_beside_frozen_kernels(tiny, batch, name):
    state, step = training(
        tiny, "all_bn", columns={"train_classifier": True}, optimizer=name
    )
    before = state.variables
    state, _ = jax.jit(step)(state, batch, jnp.array([[0, 0, 1]], jnp.int32))
    changed = moved(before["params"], state.variables["params"])
    assert {("classifier", "kernel"), ("classifier", "bias")} <= changed
    assert not moved(before["frozen"], state.variables["frozen"])


def test_plain_momentum_would_move_unsampled_leaves(tiny, batch):
    """The trap that `only_moving` is there for does exist."""
    state, step = training(tiny, "indicator", momentum=0.9)
    state, _ = step(state, batch, jnp.array([[0, 0, 0]], jnp.int32))
    params = state.variables["params"]
    inner = optax.trace(0.9)
    memory = inner.init(params)
    ones = jax.tree.map(jnp.ones_like, params)
    _, memory = inner.update(ones, memory, params)
    updates, _ = inner.update(jax.tree.map(jnp.zeros_like, params), memory, params)
    assert float(optax.tree.norm(updates)) > 0
    wrapped = optim.only_moving(inner)
    memory = wrapped.init(params)
    everything = jax.tree.map(lambda _: jnp.asarray(True), params)
    nothing = jax.tree.map(lambda _: jnp.asarray(False), params)
    _, memory = wrapped.update(ones, memory, params, moves=everything)
    updates, later = wrapped.update(ones, memory, params, moves=nothing)
    assert float(optax.tree.norm(updates)) == 0
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), memory, later))


def test_gradients_of_the_paths_are_summed(tiny, batch):
    """One update of K paths is one optimizer step along the sum of K gradients."""
    paths = jnp.array([[0, 1, 2], [1, 0, 0], [0, 2, 1]], jnp.int32)
    state, step = training(tiny, "all_bn", momentum=0.0, clip_value=0.0)
    together, metrics = jax.jit(step)(state, batch, paths)
    total = jax.tree.map(jnp.zeros_like, state.variables["params"])
    losses = []
    for path in paths:
        alone, single = jax.jit(step)(state, batch, path[None])
        losses.append(single["loss"])
        total = jax.tree.map(
            lambda sum, new, old: sum + new - old,
            total,
            alone.variables["params"],
            state.variables["params"],
        )
    difference = jax.tree.map(
        lambda new, old, change: new - old - change,
        together.variables["params"],
        state.variables["params"],
        total,
    )
    # A global norm: single leaves may have a true gradient of zero.
    assert optax.tree.norm(difference) < 1e-5 * optax.tree.norm(total)
    assert metrics["loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_split_gives_each_path_its_own_images(tiny, batch):
    """Every second image, of what stem and fixed block make of the whole batch."""
    paths = jnp.array([[0, 1, 2], [1, 0, 0]], jnp.int32)
    model = plain_network(tiny)
    columns = {"batch_sharing": "split"}
    state, step = training(tiny, "indicator", model=model, columns=columns)
    _, metrics = jax.jit(step)(state, batch, paths)

    @jax.jit
    def entropy(variables):
        hidden: Any = model.apply(variables, batch["image"], True, method="enter")
        maps = hidden[0::2], hidden[1::2]
        logits: Any = model.apply(variables, maps, paths, True, method="follow")
        labels = jnp.stack([batch["label"][0::2], batch["label"][1::2]])
        picked = jax.nn.log_softmax(logits) * jax.nn.one_hot(labels, 10)
        return -picked.sum(-1).mean()

    after = jax.jit(step)(state, batch, paths)[0].memory["path_losses"]
    assert np.asarray(after[0, :2]).mean() == pytest.approx(
        float(entropy(state.variables)), rel=1e-5
    )
    assert {name: rule.passes(2) for name, rule in BATCH_SHARING.items()} == {
        "same": 2,
        "split": 1,
    }


@pytest.mark.parametrize("logit_gammas", [False, True])
def test_two_devices_equal_one(tiny, batch, logit_gammas):
    """Statistics are those of the whole batch, the deviation of logits, too."""
    paths = jax.jit(strict_fair(tiny))(stream(0, "paths", 0))
    model = plain_network(tiny, logit_gammas=logit_gammas)
    state, step = training(tiny, "all_bn", model=model)
    one, one_metrics = jax.jit(step)(state, batch, paths)
    mesh = data_mesh()
    assert mesh.size == 2
    two, two_metrics = jax.jit(step)(
        replicate(state, mesh), shard_batch(batch, mesh), replicate(paths, mesh)
    )
    before, after, other = (
        jax.tree.map(np.asarray, s.variables["params"]) for s in (state, one, two)
    )
    change = jax.tree.map(np.subtract, after, before)
    difference = jax.tree.map(np.subtract, after, other)
    assert optax.tree.norm(difference) < 1e-4 * optax.tree.norm(change)
    assert two_metrics["loss"] == pytest.approx(float(one_metrics["loss"]), rel=1e-5)


def test_one_trace_serves_every_path(tiny, batch):
    state, step = training(tiny, "indicator")
    traces = []

    def counted(*inputs):
        traces.append(1)
        return step(*inputs)

    compiled = jax.jit(counted)
    for paths in ([[0, 1, 2]], [[1, 0, 0]], [[1, 2, 1]]):
        state, _ = compiled(state, batch, jnp.array(paths, jnp.int32))
    assert len(traces) == 1
    assert int(state.step) == 3


def products(text):
    """Result shapes of all convolutions and matrix products in an HLO text."""
    found = re.findall(r"= f32\[([\d,]*)\]\S* (?:convolution|dot)\(", text)
    return [tuple(int(size) for size in shape.split(",")) for shape in found]


def test_no_weight_gradient_in_the_optimized_hlo(tiny, batch):
    """BN-only: no product is shaped like a kernel. All weights: each kernel has one."""
    paths = jax.jit(strict_fair(tiny))(stream(0, "paths", 0))
    texts, kernels = {}, set()
    for trainable in ("indicator", "all_bn", "all"):
        state, step = training(tiny, trainable)
        texts[trainable] = jax.jit(step).lower(state, batch, paths).compile().as_text()
        leaves = flatten({**state.variables["params"], **state.variables["frozen"]})
        kernels |= {
            (math.prod(leaf.shape[:-1]), leaf.shape[-1])
            for path, leaf in leaves.items()
            if path[-1] == "kernel" and path[-2] != "depthwise"
        }
    transposed = {shape[::-1] for shape in kernels}
    for trainable in ("indicator", "all_bn"):
        shapes = products(texts[trainable])
        assert len(shapes) > 20
        assert not set(shapes) & (kernels | transposed)
        assert "depthwise_kernel_gradient" not in texts[trainable]
    shapes = set(products(texts["all"]))
    assert all(kernel in shapes or kernel[::-1] in shapes for kernel in kernels)
    assert "depthwise_kernel_gradient" in texts["all"]


def test_indicator_only_needs_fewer_products_than_all_batch_norms(tiny, batch):
    """The backward pass of stem and fixed block is not computed for the indicator."""
    paths = jax.jit(strict_fair(tiny))(stream(0, "paths", 0))
    sizes = {}
    for trainable in ("indicator", "all_bn"):
        state, step = training(tiny, trainable)
        text = jax.jit(step).lower(state, batch, paths).compile().as_text()
        sizes[trainable] = len(products(text))
    assert sizes["indicator"] < sizes["all_bn"]


def test_evaluation_counts_only_unmasked_examples(tiny, batch):
    variables = initial(plain_network(tiny))
    step = jax.jit(functools.partial(sums_of_batch, plain_network(tiny)))
    path = jnp.array([0, 0, 0], jnp.int32)
    mask = np.array([1] * 7 + [0] * 7, np.float32)
    sums = step(variables, {**batch, "mask": mask}, path)
    part = {name: leaf[:7] for name, leaf in batch.items()}
    alone = step(variables, {**part, "mask": np.ones(7, np.float32)}, path)
    assert float(sums["examples"]) == 7
    assert float(sums["loss"]) == pytest.approx(float(alone["loss"]), rel=1e-5)
    assert float(sums["correct"]) == float(alone["correct"])


def test_learning_rate_scales_with_the_batch_and_warms_up():
    config = settings(schedule="linear", warmup_steps=10)
    config.batch_size = 16
    rate = optim.learning_rate(config, 110)
    assert float(np.asarray(rate(0))) == 0
    assert float(np.asarray(rate(5))) == pytest.approx(0.1)
    assert float(np.asarray(rate(10))) == pytest.approx(0.2)
    assert float(np.asarray(rate(60))) == pytest.approx(0.1)
    cosine = optim.learning_rate(settings(), 100)
    assert float(np.asarray(cosine(0))) == pytest.approx(0.1)
    assert float(np.asarray(cosine(50))) == pytest.approx(0.05)


def test_an_epoch_counts_images_through_a_path():
    config = settings(epochs=2.0)
    assert optim.total_steps(config, examples=800, passes=1) == 200
    assert optim.total_steps(config, examples=800, passes=5) == 40
    config.update(epochs=0.0, steps=7)
    assert optim.total_steps(config, examples=800, passes=5) == 7


def test_weight_decay_is_for_kernels_only(tiny):
    """With zero gradients only kernels shrink."""
    model = plain_network(tiny)
    params = initial(model)["params"]
    packing = optim.Packing.of(fates_of(params, "all", True))
    optimizer = optim.optimizer(settings(weight_decay=0.5), 10)
    packed = packing.pack(params)
    everything = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool), packed)
    zeros = jax.tree.map(jnp.zeros_like, packed)
    updates: Any
    updates, _ = optimizer.update(
        zeros, optimizer.init(packed), packed, moves=everything
    )
    for leaf, update in flatten(packing.unpack(updates, params)).items():
        assert bool(jnp.any(update != 0)) == (leaf[-1] == "kernel"), leaf


def test_kernels_have_a_rate_of_their_own(tiny):
    params = initial(plain_network(tiny))["params"]
    packing = optim.Packing.of(fates_of(params, "all", True))
    packed = packing.pack(params)
    gradients = jax.tree.map(jnp.ones_like, packed)
    moves = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool), packed)
    updates = {}
    for share in (1.0, 0.25):
        optimizer = optim.optimizer(settings(kernel_rate=share), 10)
        start = optimizer.init(packed)
        updates[share] = optimizer.update(gradients, start, packed, moves=moves)[0]
    np.testing.assert_array_equal(updates[0.25]["others"], updates[1.0]["others"])
    np.testing.assert_allclose(
        updates[0.25]["kernels"], 0.25 * updates[1.0]["kernels"], rtol=1e-6
    )
    assert (updates[1.0]["kernels"] != 0).all()


@pytest.mark.parametrize("trainable", TRAINABLE)
def test_packing_returns_what_it_was_given(tiny, trainable):
    params = initial(plain_network(tiny), trainable=trainable)["params"]
    packing = optim.Packing.of(fates_of(params, trainable, False))
    packed = packing.pack(params)
    chosen = {leaf for leaf in flatten(params) if RULES[trainable](leaf)}
    trained = {name for name in packed if name != HELD}
    sizes = sum(np.size(flatten(params)[leaf]) for leaf in chosen)
    assert sum(packed[name].size for name in trained) == sizes
    moved = {name: packed[name] + (name in trained) for name in packed}
    again = packing.unpack(moved, params)
    for leaf, value in flatten(params).items():
        change = 1 if leaf in chosen else 0
        np.testing.assert_array_equal(flatten(again)[leaf], value + np.float32(change))


def test_the_classifier_would_move_without_the_mask_of_optax(tiny, batch):
    """It lies in `params` and has a gradient; only the mask holds it."""
    state, step = training(tiny, "all_bn")
    paths = jnp.array([[0, 1, 2], [1, 0, 0]])
    recipe = Recipe.of_supernet(default())
    plain = optim.only_moving(optax.adam(0.1))
    before = state.variables["params"]
    packing = optim.Packing.of(recipe.fates(before))
    projection = recipe.projection(packing, 100)
    unmasked = make_train_step(plain_network(tiny), plain, projection, recipe)
    free = create_state(state.variables, plain, packing, {})
    after = jax.jit(unmasked)(free, batch, paths)[0].variables["params"]
    assert {("classifier", "kernel"), ("classifier", "bias")} <= moved(before, after)
    after = jax.jit(step)(state, batch, paths)[0].variables["params"]
    assert not {leaf for leaf in moved(before, after) if leaf[0] == "classifier"}


def updated(space, batch, *, trainable="all_bn", jit=jax.jit, **choices):
    """Parameters and metrics after one strictly fair update."""
    state, step = training(space, trainable, **choices)
    paths = jax.jit(strict_fair(space))(stream(0, "paths", 0))
    state, metrics = jit(step)(state, batch, paths)
    return state.variables["params"], metrics


def relative_difference(left, right, start):
    """By global norm: single leaves may have a true gradient of zero."""
    difference = jax.tree.map(lambda a, b: a - b, left, right)
    change = jax.tree.map(lambda a, b: a - b, right, start)
    return float(optax.tree.norm(difference) / optax.tree.norm(change))


@pytest.mark.parametrize("rematerialize", [False, True])
@pytest.mark.parametrize("sharing", BATCH_SHARING)
def test_paths_side_by_side_take_the_step_of_a_scan(
    tiny, batch, sharing, rematerialize
):
    """A layer with two ops chooses one of its three paths by a switch."""
    batch = jax.tree.map(lambda leaf: leaf[:12], batch)
    start = initial(plain_network(tiny), trainable="all")["params"]
    (scan, scan_metrics), (together, metrics) = (
        updated(
            tiny,
            batch,
            trainable="all",
            columns={"batch_sharing": sharing, "paths_at_once": at_once},
            model=plain_network(tiny, rematerialize=rematerialize),
        )
        for at_once in (1, 3)
    )
    assert relative_difference(together, scan, start) < 1e-5
    for name, value in scan_metrics.items():
        assert float(metrics[name]) == pytest.approx(float(value), rel=1e-5)


def test_strictly_fair_paths_side_by_side_need_no_switch(tiny, batch):
    def switches(space, at_once):
        state, step = training(space, "all_bn", columns={"paths_at_once": at_once})
        paths = jax.jit(strict_fair(space))(stream(0, "paths", 0))
        compiled = jax.jit(step).lower(state, batch, paths).compile()
        return str(compiled.as_text()).count(" conditional(")

    layers = [dataclasses.replace(layer, ops=(0, 1)) for layer in tiny.layers]
    even = dataclasses.replace(tiny, layers=tuple(layers))
    assert switches(even, 2) == 0
    assert switches(even, 1) == 2 * 3  # forward and backward
    assert switches(tiny, 3) == 2 * 1  # the layer with fewer ops than paths


def test_paths_that_are_not_fair_side_by_side_take_the_step_of_a_scan(tiny, batch):
    paths = jnp.array([[0, 0, 0], [0, 0, 0], [1, 1, 1]], jnp.int32)
    losses = []
    for at_once in (1, 3):
        columns = {"paths_at_once": at_once, "fair": False}
        state, step = training(tiny, "all_bn", columns=columns)
        losses.append(jax.jit(step)(state, batch, paths)[0].memory["path_losses"][0])
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_paths_side_by_side_on_two_devices_equal_one(tiny, batch):
    mesh, columns = data_mesh(), {"paths_at_once": 3}

    def on_devices(step):
        def run(state, batch, paths):
            whole = replicate(state, mesh), shard_batch(batch, mesh)
            return jax.jit(step)(*whole, replicate(paths, mesh))

        return run

    start = initial(plain_network(tiny), trainable="all_bn")["params"]
    one, _ = updated(tiny, batch, columns=columns)
    two, _ = updated(tiny, batch, columns=columns, mesh=mesh, jit=on_devices)
    assert relative_difference(two, one, start) < 1e-4


VARIANTS = {
    "rematerialize": ({"rematerialize": True}, 1e-5),
    "batch last": ({"layout": BATCH_LAST}, 1e-4),
    "bfloat16": ({"dtype": "bfloat16"}, 0.5),
}


@pytest.mark.parametrize("trainable", ["all_bn", "all"])
@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_the_network_take_the_same_step(tiny, batch, name, trainable):
    """Rematerialisation, layout and compute type change speed and memory only."""
    changes, tolerance = VARIANTS[name]
    start = initial(plain_network(tiny), trainable=trainable)["params"]
    plain, metrics = updated(tiny, batch, trainable=trainable)
    model = plain_network(tiny, **changes)
    other, other_metrics = updated(tiny, batch, model=model, trainable=trainable)
    assert relative_difference(other, plain, start) < tolerance
    loss = float(metrics["loss"])
    assert float(other_metrics["loss"]) == pytest.approx(loss, rel=tolerance / 10)
    types = {leaf.dtype for leaf in jax.tree.leaves(other)}
    assert types == {jnp.dtype("float32")}


def test_rematerialization_needs_less_memory(tiny, rng):
    images = rng.standard_normal((64, 8, 8, 1)).astype(np.float32)
    batch = {"image": images, "label": np.zeros(64, np.int32)}
    paths, sizes = jnp.array([[0, 0, 1]], jnp.int32), {}
    for rematerialize in (False, True):
        model = plain_network(tiny, rematerialize=rematerialize)
        state, step = training(tiny, "all_bn", model=model)
        compiled = jax.jit(step).lower(state, batch, paths).compile()
        memory: Any = compiled.memory_analysis()
        sizes[rematerialize] = memory.temp_size_in_bytes
    assert sizes[True] < 0.8 * sizes[False]


@pytest.mark.parametrize("sharing", BATCH_SHARING)
def test_paths_on_devices_equal_one_device(tiny, batch, sharing):
    """Three paths on two devices: one device runs a path of weight 0."""
    mesh = data_mesh()
    batch = jax.tree.map(lambda leaf: leaf[:12], batch)
    columns = {"batch_sharing": sharing}
    start = initial(plain_network(tiny), trainable="all_bn")["params"]
    alone, metrics = updated(tiny, batch, columns=columns)
    spread = columns | {"placement": "paths"}

    def on_devices(step):
        def run(state, batch, paths):
            spec = PLACEMENTS["paths"].batch
            batch = shard_batch(batch, mesh, spec)
            return jax.jit(step)(replicate(state, mesh), batch, paths)

        return run

    apart, apart_metrics = updated(
        tiny, batch, columns=spread, mesh=mesh, jit=on_devices
    )
    assert relative_difference(apart, alone, start) < 1e-5
    for name, value in metrics.items():
        assert float(apart_metrics[name]) == pytest.approx(float(value), rel=1e-5)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("program", ["supernet", "retrain", "evaluation"])
def test_programs_lower_for_accelerators(tiny, batch, platform, program):
    """Without a device: native convolutions, no host callback, no dynamic shape."""
    paths = jax.jit(strict_fair(tiny))(stream(0, "paths", 0))
    if program == "supernet":
        model = plain_network(tiny, layout=CHANNELS_LAST)
        state, step = training(tiny, "indicator", model=model)
        inputs = state, batch, paths
    else:
        space = tiny.cut((0, 1, 2))
        model = plain_network(space, dropout=0.2, layout=CHANNELS_LAST)
        state, step = training(space, "all", model=model)
        variables = initial(model)
        state = state.replace(variables=variables)
        inputs = state, batch, jnp.array([[0, 1, 2]], jnp.int32)
        if program == "evaluation":
            step = functools.partial(sums_of_batch, model)
            mask = np.ones(len(batch["label"]), np.float32)
            inputs = variables, {**batch, "mask": mask}, inputs[-1][0]
    exported = jax.export.export(jax.jit(step), platforms=[platform])(*inputs)
    text = exported.mlir_module()
    assert "stablehlo.convolution" in text
    assert "feature_group_count = 1 " in text or "feature_group_count = 1 :" in text
    assert re.search(r"feature_group_count = (\d\d)", text)  # depthwise
    assert "callback" not in text
    assert re.search(r"tensor<[^>]*[?]", text) is None
