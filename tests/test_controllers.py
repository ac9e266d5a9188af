"""The controller of a supernet: what it learns, and that nothing of it is lost."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

import difnas_jax
from difnas_jax import data, spaces
from difnas_jax.config import default
from difnas_jax.errors import Stopped
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.mesh import DEVICES, data_mesh
from difnas_jax.scoring.trained_supernet import evidence_of, trained_supernet
from difnas_jax.training import policy_memory
from difnas_jax.training.controller import REWARDED, Controller
from difnas_jax.training.paths import LEARNED, SAMPLERS, from_policy, stream
from difnas_jax.training.recipe import (
    Recipe,
    build_sampler,
    build_supernet,
    initial_variables,
)
from difnas_jax.training.train import train


def controller(space, reward, every=1, rate=0.05):
    return Controller(
        space=space,
        seed=0,
        reward_every=every,
        learning_rate=rate,
        reward=lambda variables, paths: reward(paths),
        mesh=data_mesh(),
    )


def taught(space, reward, steps=150):
    """What a controller learns from rewards of paths, and its metrics."""
    learn, memory, rows = controller(space, reward), policy_memory.first(space), []
    for done in range(1, steps + 1):
        memory, metrics = learn(done, {}, memory)
        rows.append(metrics)
    return memory, rows


def test_the_policy_concentrates_on_what_is_rewarded(tiny):
    """On one op of one layer; the other layers stay undecided."""
    memory, rows = taught(tiny, lambda paths: 0.5 + 0.25 * (paths[:, 1] == 2))
    found = policy_memory.in_words(tiny, memory)["policy"]
    shares = np.array(found["probabilities"])
    assert shares[1, 2] > 0.95 and shares[[0, 2]].max() < 0.75
    assert found["architecture"][1] == 2 and found["updates"] == len(rows)
    rewards, entropies = ([row[key] for row in rows] for key in ("reward", "entropy"))
    assert np.mean(rewards[-20:]) > np.mean(rewards[:20]) + 0.1
    start = np.log(tiny.allowed.sum(1)).mean()
    assert entropies[0] == pytest.approx(start, rel=1e-2)
    assert entropies[-1] == found["entropy"] < start - 0.25
    # The updates that follow take these paths.
    keys = jax.vmap(lambda step: stream(0, "paths", step))(jnp.arange(4000))
    draw = jax.jit(jax.vmap(from_policy(tiny).draw, in_axes=(0, None)))
    paths = np.asarray(draw(keys, memory))
    assert paths.shape == (4000, 1, 3) and paths.dtype == np.int32
    drawn = np.stack([(paths[:, 0] == op).mean(0) for op in range(3)], axis=1)
    np.testing.assert_allclose(drawn, shares, atol=5 * np.sqrt(0.25 / 4000))


@pytest.mark.parametrize("reward", [0.5, 1 / 3, 97 / 144])
def test_equal_rewards_teach_nothing(tiny, reward):
    """Whatever they are, since the baseline has the same value; nor does rounding."""
    memory, rows = taught(tiny, lambda paths: np.full(len(paths), reward), steps=30)
    logits = policy_memory.joined(memory["policy"]["logits"])
    assert np.abs(logits).max() < 1e-6
    assert [row["reward"] for row in rows] == pytest.approx([reward] * 30)


def test_a_step_is_taken_when_it_is_due_and_moves_no_other_memory(tiny):
    asked = []

    def reward(paths):
        asked.append(paths)
        return paths[:, 0].astype(float)

    learn = controller(tiny, reward, every=3)
    memory = {"other": np.ones(2), **policy_memory.first(tiny)}
    for done in range(1, 8):
        after, metrics = learn(done, {}, memory)
        due = done % 3 == 0
        assert (after is not memory) == bool(metrics) == due
        assert after["other"] is memory["other"]
        memory = after
    assert int(memory["policy"]["updates"]) == 2
    assert [paths.shape for paths in asked] == [(REWARDED, 3)] * 2
    assert not np.array_equal(*asked)


def test_memory_holds_more_than_float32(rng):
    values = rng.normal(size=100) * 10.0 ** rng.integers(-20, 3, 100)
    there = policy_memory.joined(policy_memory.halves(values))
    assert (np.abs(there - values) <= 2.0**-47 * np.abs(values)).all()
    again = policy_memory.halves(there)
    np.testing.assert_array_equal(again, policy_memory.halves(values))


def test_only_learned_samplers_have_a_memory(tiny):
    assert {name for name in SAMPLERS if SAMPLERS[name](tiny).memory} == LEARNED


# Trainings.


def tiny_config():
    config = default()
    config.space.update(name="tiny", image_size=8, image_channels=1, num_classes=10)
    config.data.source = "digits"
    config.stages = ("supernet", "indicator", "report")
    config.method.update(sampling="reinforce", memory="path_losses")
    config.method.update(layer_indicator="plain", score="sum")
    # Adam would make as much of a rounding as of a gradient.
    config.supernet.update(optimizer="sgd", learning_rate=0.1)
    config.supernet.update(epochs=0.0, steps=8, batch_size=24)
    config.supernet.update(reward_every=3, policy_learning_rate=0.5)
    config.supernet.update(log_every=2, checkpoint_every=4)
    return config


def two_layers(tiny):
    """Less to compile."""
    return dataclasses.replace(tiny, layers=tiny.layers[:2])


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny):
    """The workdir of a run on two devices that nothing interrupts."""
    workdir = tmp_path_factory.mktemp("controller") / "whole"
    spaces.SPACES["tiny"] = lambda **_: two_layers(tiny)
    difnas_jax.run(tiny_config(), workdir)
    return workdir


def rows_of(folder):
    rows = files.read_json_lines(folder / "metrics.jsonl")
    timing = ("images_per_second", "data_wait")
    return [{n: v for n, v in row.items() if n not in timing} for row in rows]


def test_a_run_logs_and_keeps_what_its_controller_learned(whole, tiny):
    rows = rows_of(whole / "supernet")
    assert [row["step"] for row in rows] == [2, 4, 6, 8]
    assert ["reward" in row for row in rows] == [False, True, True, False]
    trained = trained_supernet(tiny_config(), whole)
    assert trained.memory.keys() == {"path_losses", "policy"}
    assert (trained.memory["path_losses"] > 0).all()
    found = policy_memory.in_words(two_layers(tiny), trained.memory)["policy"]
    result = files.read_json(whole / artifacts.SUPERNET_RESULT)
    assert result["policy"] == found and found["updates"] == 2
    assert found["entropy"] == rows[2]["entropy"] != rows[1]["entropy"]
    assert len(evidence_of(tiny_config(), trained).paths) == 0
    page = (whole / artifacts.REPORT).read_text()
    assert " ".join(found["ops"]) in page and 'class="policy"' in page


def test_interrupted_between_two_steps_it_ends_with_the_same_bits(
    whole, tmp_path, stop_before
):
    stop_before(3, 5)  # after a step of the policy, and as one is due
    for step in (4, 6):
        with pytest.raises(Stopped, match=f"saved at step {step}"):
            difnas_jax.run(tiny_config(), tmp_path)
    difnas_jax.run(tiny_config(), tmp_path)
    assert rows_of(tmp_path / "supernet") == rows_of(whole / "supernet")
    here, there = (trained_supernet(tiny_config(), run) for run in (tmp_path, whole))
    jax.tree.map(np.testing.assert_array_equal, here.variables, there.variables)
    jax.tree.map(np.testing.assert_array_equal, here.memory, there.memory)


def test_one_device_teaches_the_same_as_two(whole, tmp_path):
    """To the bit, as rewards are counts of images."""
    config = tiny_config()
    model, dataset = build_supernet(config), data.load(config)
    variables = initial_variables(config, model)
    batches = data.TrainBatches.of(config, dataset.train, 24)
    mesh = Mesh(np.array(jax.devices()[:1]), (DEVICES,))
    params, normalizer = variables["params"], batches.normalizer
    learn = Controller.of(config, model, params, dataset, normalizer, mesh)
    state = train(
        model=model,
        variables=variables,
        sampler=dataclasses.replace(build_sampler(config), learn=learn),
        batches=batches,
        recipe=Recipe.of_supernet(config),
        mesh=mesh,
        folder=tmp_path,
    )
    two = trained_supernet(config, whole).memory
    jax.tree.map(np.testing.assert_array_equal, state.memory["policy"], two["policy"])
    rewards = [row["reward"] for row in rows_of(tmp_path) if "reward" in row]
    images = len(dataset.validation_for("the test"))
    counts = np.array(rewards) * images * REWARDED
    np.testing.assert_allclose(counts, counts.round(), atol=1e-6)
    assert len(rewards) == 2
