"""An indicator that is noise says so; one that is not does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_networks import initial, plain_network

from difnas_jax.scoring.reliability import (
    doubts_about_accuracy,
    doubts_about_gammas,
    doubts_about_regions,
)
from difnas_jax.training.evaluate import sums_over_paths


def trained(accuracy, examples=1000, chance=0.1):
    return {
        "accuracy": accuracy,
        "examples": examples,
        "split": "validation",
        "chance": chance,
    }


@pytest.mark.parametrize(
    ("accuracy", "examples", "doubted"),
    [
        (0.10, 1000, True),
        (0.12, 1000, True),
        (0.13, 1000, False),
        (0.05, 1000, True),  # below chance is no learning either
        (0.12, 10_000, False),
        (0.13, 100, True),
        (1.0, 5, False),
    ],
)
def test_a_supernet_at_chance_is_doubted(accuracy, examples, doubted):
    found = doubts_about_accuracy(trained(accuracy, examples), "x", "y")
    assert bool(found) == doubted
    told = "the x cannot be told from chance: accuracy"
    assert all(told in sentence and "; y; " in sentence for sentence in found)


def test_the_interval_covers_99_in_100(rng):
    """Of supernets at chance, some one in 200 passes for better (one side of two)."""
    shares = rng.binomial(2000, 0.1, 20_000) / 2000
    believed = [
        not doubts_about_accuracy(trained(share, 2000), "x", "y") for share in shares
    ]
    assert 0.002 < np.mean(believed) < 0.008


def test_gammas_that_differ_like_channels_are_doubted(rng):
    same = [{"a": rng.normal(1, 0.1, 24), "b": rng.normal(1, 0.1, 24)}]
    assert doubts_about_gammas(same)
    assert doubts_about_gammas([{"only": rng.normal(1, 0.1, 24)}])
    one = {"a": rng.normal(1, 0.1, 24), "b": -rng.normal(1.5, 0.1, 24)}
    assert not doubts_about_gammas([*same, one])


def test_paths_are_evaluated_with_the_statistics_of_the_batch(tiny, rng):
    """The sums over paths are those of each path, and the labels are counted."""
    model = plain_network(tiny)
    variables = initial(model)
    images = rng.standard_normal((8, 8, 8, 1), np.float32)
    labels = rng.integers(0, 10, 8)
    mask = np.array([1, 1, 1, 1, 1, 1, 0, 1], np.float32)
    batch = {"image": images, "label": labels, "mask": mask}
    paths = jnp.array([[0, 0, 2], [1, 1, 0]])
    sums = jax.jit(lambda v: sums_over_paths(model, v, batch, paths))(variables)
    run = jax.jit(
        lambda path: model.apply(variables, images, path, True, mutable=[])[0]
    )
    right = [(np.asarray(run(path)).argmax(-1) == labels) @ mask for path in paths]
    assert float(sums["correct"]) == sum(right)
    assert float(sums["examples"]) == 2 * mask.sum()
    expected = np.bincount(labels, mask, minlength=10)
    np.testing.assert_array_equal(sums["labels"], expected)


def test_saturated_regions_are_doubted():
    assert not doubts_about_regions(np.linspace(0.1, 0.9, 50))
    assert not doubts_about_regions(np.array([0.5] * 95 + [1.0] * 5))
    (sentence,) = doubts_about_regions(np.array([0.5] * 80 + [0.99] * 20))
    assert "saturated" in sentence and "20%" in sentence
