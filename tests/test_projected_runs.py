"""Runs with projected updates: nothing is lost, and the room that is left is logged."""

import itertools

import pytest
from test_projected_training import SIDE, bits, small
from test_projection import PROJECTED

import difnas_jax
from difnas_jax import spaces
from difnas_jax.config import default
from difnas_jax.errors import Stopped
from difnas_jax.runtime import artifacts, files
from difnas_jax.scoring.trained_supernet import trained_supernet
from difnas_jax.training.projection import MEMORY


def config_of(update):
    config = default()
    config.space.update(name="small", image_size=SIDE, image_channels=1)
    config.space.num_classes = 10
    config.data.source, config.stages = "digits", ("supernet",)
    config.method["update"] = update
    config.method.update(trainable="all", sampling="uniform", layer_indicator="plain")
    config.method.update(indicator="main_effect", memory="path_losses", score="sum")
    config.supernet.update(optimizer="sgd", learning_rate=0.1, epochs=0.0, steps=8)
    config.supernet.update(batch_size=24, log_every=2, checkpoint_every=4)
    return config


@pytest.mark.parametrize("name", PROJECTED)
def test_interrupted_a_run_ends_with_the_same_bits(name, tmp_path, stop_before):
    spaces.SPACES["small"] = small
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    difnas_jax.run(config_of(name), whole)
    stop_before(2)
    with pytest.raises(Stopped, match="saved at step 3"):
        difnas_jax.run(config_of(name), resumed)
    difnas_jax.run(config_of(name), resumed)
    here, there = (trained_supernet(config_of(name), run) for run in (resumed, whole))
    assert here.memory.keys() == {"path_losses", MEMORY}
    assert bits((here.variables, here.memory)) == bits((there.variables, there.memory))
    rows, others = (
        files.read_json_lines(run / artifacts.ROOM) for run in (resumed, whole)
    )
    assert rows == others and [row["step"] for row in rows] == [2, 4, 6, 8]
    ops = {f"layer_00/{op}" for op in ("relu", "tanh")} | {"dense"}
    ops |= {f"layer_01/{op}" for op in ("relu", "tanh", "relu+skip")}
    assert all(row["ops"].keys() == ops for row in rows)
    for before, after in itertools.pairwise(row["ops"] for row in rows):
        assert after["dense"] < before["dense"]  # on every path
        assert all(after[op] <= left for op, left in before.items())


def test_a_plain_run_logs_no_room(tmp_path):
    spaces.SPACES["small"] = small
    difnas_jax.run(config_of("plain"), tmp_path)
    assert not (tmp_path / artifacts.ROOM).exists()
