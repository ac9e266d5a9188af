"""Accuracy of supernet paths: recalibrated, exact, and that of the cut network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_networks import initial, plain_network

from difnas_jax.data import Arrays, Normalizer, TrainBatches
from difnas_jax.models.modules import MOMENTUM
from difnas_jax.runtime.mesh import data_mesh, replicate
from difnas_jax.scoring.accuracy import PATHS_PER_CALL, PathAccuracy
from difnas_jax.training.evaluate import (
    means,
    sums_of_batch,
    sums_of_examples,
    sums_of_logits,
)

RECALIBRATION_BATCHES = 2


@pytest.fixture(scope="module")
def space(tiny):
    return tiny.without_identity()


@pytest.fixture(scope="module")
def accuracy(space):
    """Of random images whose brightness tells the class, by an untrained network."""
    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=60).astype(np.int32)
    noise = rng.integers(100, size=(60, 8, 8, 1))
    images = (noise + 15 * labels[:, None, None, None]).astype(np.uint8)
    split, normalizer = Arrays(images, labels), Normalizer(np.zeros(1), np.ones(1))
    model, mesh = plain_network(space), data_mesh()
    batches = TrainBatches(split[:40], 8, 0, normalizer, 1, True, 0.0)
    variables = replicate(initial(model), mesh)
    return PathAccuracy(
        model,
        variables,
        recalibration=batches,
        recalibration_batches=RECALIBRATION_BATCHES,
        split=split[20:],
        mesh=mesh,
    )


def of_cut_network(accuracy, path):
    """The same by the found network, its statistics averaged by hand."""
    space = accuracy.model.space
    model = plain_network(space.cut(path))
    variables = initial(model)
    found = []
    for step in range(RECALIBRATION_BATCHES):
        images = jnp.asarray(accuracy.recalibration[step]["image"])
        _, changed = model.apply(
            variables, images, jnp.asarray(path), True, mutable=["batch_stats"]
        )
        found.append(
            jax.tree.map(
                lambda new, old: (new - MOMENTUM * old) / (1 - MOMENTUM),
                changed["batch_stats"],
                variables["batch_stats"],
            )
        )
    mean = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *found)
    sums = sums_of_examples(
        jax.jit(functools.partial(sums_of_batch, model)),
        {**variables, "batch_stats": mean},
        accuracy.split,
        jnp.asarray(path),
        batch_size=8,
        normalizer=accuracy.recalibration.normalizer,
        mesh=accuracy.mesh,
    )
    return means(sums)["accuracy"]


def test_accuracy_is_that_of_the_recalibrated_cut_network(accuracy):
    paths = np.array([(0, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)])
    found = accuracy(paths)
    assert found.dtype == np.float64 and len(set(found)) > 1
    assert found.tolist() == [of_cut_network(accuracy, path) for path in paths]


def test_accuracy_does_not_depend_on_the_others_in_the_call(accuracy):
    paths = np.array([(0, 0, 0), (1, 0, 1)] * PATHS_PER_CALL)
    found = accuracy(paths)
    assert len(found) == len(paths)
    assert found.tolist() == accuracy(paths[:2]).tolist() * PATHS_PER_CALL
    assert accuracy(paths[:0]).shape == (0,)


def test_images_of_one_accuracy(accuracy):
    assert accuracy.images == RECALIBRATION_BATCHES * 8 + len(accuracy.split)


def ranks(logits, labels):
    """By numpy: how many classes come before the label; of equal ones the first."""
    order = np.argsort(-logits, axis=1, kind="stable")
    return np.argmax(order == labels[:, None], axis=1)


@pytest.mark.parametrize("levels", [2, 8, 10**6], ids=["ties", "some ties", "no ties"])
@pytest.mark.parametrize("classes", [10, 37, 1000])
def test_top_1_and_top_5_are_those_of_numpy(rng, classes, levels):
    logits = rng.integers(levels, size=(400, classes)).astype(np.float32) - levels / 2
    labels = rng.integers(classes, size=400)
    labels[:200] = np.argsort(-logits[:200], kind="stable")[:, :8][
        np.arange(200), rng.integers(8, size=200)
    ]  # near the top
    mask = (rng.random(400) < 0.7).astype(np.float32)
    sums = jax.jit(sums_of_logits)(logits, labels, mask)
    before = ranks(logits, labels)[mask > 0]
    assert float(sums["examples"]) == len(before)
    assert float(sums["correct"]) == (before < 1).sum()
    assert float(sums["correct_top5"]) == (before < 5).sum()
    assert 0 < sums["correct"] < sums["correct_top5"] < sums["examples"]


def test_top_5_of_few_classes_is_left_out(rng):
    logits, labels = jnp.asarray(rng.random((3, 9), np.float32)), jnp.arange(3)
    assert "correct_top5" not in sums_of_logits(logits, labels, jnp.ones(3))


def test_a_network_without_finite_logits_is_not_right():
    """Five of all classes at the most, as by any guess."""
    logits, labels = jnp.full((20, 20), jnp.nan), jnp.arange(20)
    sums = sums_of_logits(logits, labels, jnp.ones(20))
    assert float(sums["correct_top5"]) <= 5
