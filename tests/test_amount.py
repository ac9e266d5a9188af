"""Trainings that cannot be carried out are refused before anything is compiled."""

import jax
import jax.numpy as jnp
import pytest

from difnas_jax.config.files import load_config
from difnas_jax.errors import InputError
from difnas_jax.runtime.memory import available_memory
from difnas_jax.training import amount
from difnas_jax.training.paths import fixed
from difnas_jax.training.recipe import Recipe

GIB = 2**30


@pytest.fixture
def config(monkeypatch):
    """Of a supernet that remembers the losses of 7 paths, 16 x 16 x 1."""
    monkeypatch.setattr(amount, "available_memory", lambda: GIB)
    config = load_config("main_effect:digits")
    config.method.memory = "path_losses"
    return config


def test_what_a_training_remembers_must_fit(config):
    config.supernet.update(epochs=0.0, steps=GIB // (4 * 7))
    amount.check_amount(config, "supernet", examples=10)
    config.supernet.steps += 1
    with pytest.raises(InputError, match="^supernet.steps: .* 1.0 GiB of memory, got"):
        amount.check_amount(config, "supernet", examples=10)
    config.method.memory = "nothing"
    amount.check_amount(config, "supernet", examples=10)


def test_two_batches_must_fit(config):
    config.retrain.batch_size = GIB // (2 * 4 * 16 * 16)
    amount.check_amount(config, "retrain", examples=10)
    config.retrain.batch_size += 1
    with pytest.raises(InputError, match="^retrain.batch_size: .*, got two batches"):
        amount.check_amount(config, "retrain", examples=10)


def test_updates_are_counted_in_32_bits(config):
    config.retrain.update(epochs=1e6, steps=0, batch_size=1)
    with pytest.raises(InputError, match="^retrain.epochs: .* most 2147483647"):
        amount.check_amount(config, "retrain", examples=10_000)


def test_a_warm_up_ends(config):
    config.retrain.update(epochs=1.0, steps=0, batch_size=2, warmup_steps=4)
    amount.check_amount(config, "retrain", examples=10)
    with pytest.raises(InputError, match="^retrain.warmup_steps: .* the 4 updates"):
        amount.check_amount(config, "retrain", examples=8)


def test_memory_is_asked_for_where_the_system_tells():
    found = available_memory()
    assert found is None or 2**20 < found < 2**50


def test_what_a_retraining_carries_along_does_not_grow_with_its_updates(config):
    recipe = Recipe.of_retraining(config)
    params = {"classifier": {"kernel": jnp.zeros((2, 2))}}
    memory = recipe.memory_before(params, amount.MOST_UPDATES, fixed((0,)))
    assert not jax.tree.leaves(memory)
