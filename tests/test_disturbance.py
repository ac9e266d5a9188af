"""The disturbance of paths: what it is, and that measuring it disturbs nothing."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_run

import difnas_jax
from difnas_jax import data, spaces
from difnas_jax.data import TrainBatches, spread_over
from difnas_jax.errors import InputError, Stopped
from difnas_jax.models.networks import network
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.mesh import data_mesh, replicate, shard_batch
from difnas_jax.training.disturbance import MOST_EXAMPLES, QUANTITIES, Disturbance
from difnas_jax.training.exchanges import parts_of, sums_of_exchanges
from difnas_jax.training.log import TrainingLog
from difnas_jax.training.optim import total_steps
from difnas_jax.training.recipe import (
    Recipe,
    build_sampler,
    build_supernet,
    initial_variables,
)
from difnas_jax.training.steps import TrainState
from difnas_jax.training.train import begin
from difnas_jax.training.updates import Updates

TIMES = ("seconds", "images_per_second", "data_wait")
PARTS = ["entry", "layer_00", "layer_01", "rest"]
# Of losses that devices sum in another order; an image may fall to another class.
LOSS, ONE_IMAGE = 2e-5, 0.01


def config_of(**supernet):
    """Seven updates of two paths, of which those up to the fourth can be measured."""
    config = tiny_run.get_config()
    config.method.trainable = "all"
    config.supernet.update(steps=7, checkpoint_every=3)
    config.supernet.update(disturbance_every=2, disturbance_after=5)
    config.supernet.update(supernet)
    config.stages = ("supernet",)
    return config


def timeless(path):
    """The rows of a file but for its times."""
    rows = files.read_json_lines(path)
    return [{n: v for n, v in row.items() if n not in TIMES} for row in rows]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The workdir of a training that was measured."""
    workdir = tmp_path_factory.mktemp("measured")
    difnas_jax.run(config_of(), workdir)
    return workdir


def test_there_is_a_row_for_each_measurement(measured):
    rows = timeless(measured / artifacts.DISTURBANCE)
    assert [row["step"] for row in rows] == [2, 4]  # 5 architectures: 3 updates follow
    for row in rows:
        assert row["architectures"] == 6 and row["split"] == "validation"
        assert 100 < row["images"] <= MOST_EXAMPLES
        for name, (_, sign) in QUANTITIES.items():
            values = row[name]
            change = np.subtract(values["right_after"], values["later"]) * sign
            assert change.shape == (2,) and values["spread"] > 0
            assert values["mean"] == pytest.approx(change.mean(), rel=1e-12)
            assert values["spread"] == pytest.approx(change.std(), rel=1e-12)
            assert list(values["parts"]) == PARTS


def test_measuring_changes_no_bit_of_the_training(measured, tmp_path):
    difnas_jax.run(config_of(disturbance_every=0), tmp_path)
    assert not (tmp_path / artifacts.DISTURBANCE).exists()
    metrics = artifacts.SUPERNET_METRICS
    assert timeless(tmp_path / metrics) == timeless(measured / metrics)
    here, there = (
        files.read_json(folder / artifacts.SUPERNET_RESULT)
        for folder in (tmp_path, measured)
    )
    assert here == there and here["step"] == 7  # with a checksum of the parameters


class ByHand:
    """The same training, by its step, and evaluations one after another."""

    def __init__(self):
        self.config = config = config_of()
        dataset, self.model = data.load(config), build_supernet(config)
        sampler = build_sampler(config)
        self.batches = TrainBatches.of(config, dataset.train, 32)
        variables, recipe = initial_variables(config, self.model), Recipe.of_supernet
        self.state, self.step, self.paths = begin(
            self.model, variables, sampler, recipe(config), data_mesh(), total=7
        )
        self.apply = jax.jit(lambda *inputs: self.model.apply(*inputs, True))
        examples: Any = spread_over(dataset.validation_for("a test"), MOST_EXAMPLES)
        self.images = self.batches.normalizer(examples.images)
        self.labels = examples.labels

    def train(self, updates):
        """The variables after so many updates."""
        for step in range(int(self.state.step), updates):
            batch = shard_batch(self.batches[step], data_mesh())
            paths = self.paths(step, self.state.memory)
            self.state, _ = self.step(self.state, batch, paths)
            jax.block_until_ready(self.state)
        return jax.tree.map(np.array, self.state.variables)

    def evaluate(self, variables, path):
        """Accuracy and loss, with the statistics of batches that start over."""
        right, losses, count = 0, 0.0, len(self.labels)
        for start in range(0, count, 32):
            index = np.arange(start, start + 32) % count
            logits = np.asarray(self.apply(variables, self.images[index], path))
            logits = logits[: count - start].astype(np.float64)
            labels = self.labels[index][: count - start]
            own = logits[np.arange(len(labels)), labels]
            right += (logits.argmax(1) == labels).sum()
            losses += (np.log(np.exp(logits).sum(1)) - own).sum()
        return {"accuracy": right / count, "loss": losses / count}


def part_by_name(module):
    if module.startswith("layer_"):
        return module
    return "entry" if module in ("stem", "bn_stem", "fixed_0") else "rest"


def test_a_row_is_what_training_on_by_hand_gives(measured):
    """Evaluated on one device, where the run had two."""
    by_hand = ByHand()
    row, *_ = files.read_json_lines(measured / artifacts.DISTURBANCE)
    earlier, later = by_hand.train(row["step"]), by_hand.train(row["step"] + 3)
    paths = np.asarray(by_hand.paths(row["step"] - 1, {}))
    before = [by_hand.evaluate(earlier, path) for path in paths]
    after = [by_hand.evaluate(later, path) for path in paths]
    mixed = {}
    for part in PARTS:
        params = dict(earlier["params"])
        exchanged = [module for module in params if part_by_name(module) == part]
        params |= {module: later["params"][module] for module in exchanged}
        mixed[part] = by_hand.evaluate({**earlier, "params": params}, paths[0])
    for name, (_, sign) in QUANTITIES.items():
        near = functools.partial(
            pytest.approx, abs=LOSS if name == "loss" else ONE_IMAGE, rel=0
        )
        found = row[name]
        assert found["right_after"] == near([value[name] for value in before])
        assert found["later"] == near([value[name] for value in after])
        changes = {part: sign * (before[0][name] - mixed[part][name]) for part in PARTS}
        assert found["parts"] == near(changes)
    disturbances = row["loss"]["parts"]
    idle = [part for part in PARTS if disturbances[part] == 0]
    on_path = paths[0, 1] == 0  # else an identity, which has no parameters
    assert idle == ([] if on_path else ["layer_01"])
    assert np.ptp(list(disturbances.values())) > 100 * LOSS


def test_nothing_is_disturbed_where_nothing_moves(tmp_path):
    """And where nothing is held out, on images that train, which the row says."""
    config, path = config_of(), tmp_path / "rows.jsonl"
    config.data.validation_fraction = 0.0
    dataset, model = data.load(config), build_supernet(config)
    batches = TrainBatches.of(config, dataset.train, 32)
    variables = initial_variables(config, model)
    disturbance = Disturbance.of_supernet(
        config, model, variables["params"], dataset, batches.normalizer, path
    )
    paths = jnp.array([[0, 1], [0, 0]])
    updates = Updates(
        total=7,
        train_step=lambda state, batch, paths: (state, {}),  # a learning rate of 0
        paths=lambda step, memory: paths,
        batches=batches,
        to_devices=lambda batch: batch,
    )
    state = TrainState(jnp.asarray(4), variables, {}, {})
    disturbance.measure(updates, replicate(state, data_mesh()), paths)
    (row,) = timeless(path)
    assert row["split"] == "train" and 400 < row["images"] <= MOST_EXAMPLES
    for name in QUANTITIES:
        values = row[name]
        assert values["right_after"] == values["later"]
        assert values["mean"] == values["spread"] == 0
        assert set(values["parts"].values()) == {0.0}


def test_all_parts_together_are_the_whole(rng):
    """As later parameters, those of another drawing."""
    config = config_of()
    model = build_supernet(config)
    earlier = initial_variables(config, model)
    config.seed = 1
    later = initial_variables(config, model)["params"]
    batch = {
        "image": jnp.asarray(rng.random((16, 8, 8, 1), np.float32)),
        "label": jnp.arange(16) % 10,
        "mask": jnp.ones(16),
    }
    paths = jnp.array([[0, 1], [0, 0]])
    whole = dict.fromkeys(earlier["params"], "all")
    program = functools.partial(sums_of_exchanges, model, whole)
    losses = np.asarray(jax.jit(program)((earlier, later), batch, paths)["loss"])
    before, other, after, last, exchanged = losses
    assert exchanged == after and len({before, other, after, last}) == 4


def test_a_signal_changes_no_row(measured, tmp_path, stop_before):
    """During an update that is measured."""
    stop_before(3)
    with pytest.raises(Stopped, match="saved at step 4"):
        difnas_jax.run(config_of(), tmp_path)
    difnas_jax.run(config_of(), tmp_path)
    for name in (artifacts.DISTURBANCE, artifacts.SUPERNET_METRICS):
        assert timeless(tmp_path / name) == timeless(measured / name)


def test_a_row_after_the_last_checkpoint_is_measured_again(
    measured, tmp_path, monkeypatch
):
    """Killed before update 6: the checkpoint is of update 3, the last row of 4."""
    wait_for, calls = TrainingLog.wait_for, itertools.count(1)

    def killed(self, batches):
        if next(calls) == 6:
            raise KeyboardInterrupt
        return wait_for(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLog, "wait_for", killed)
        with pytest.raises(KeyboardInterrupt):
            difnas_jax.run(config_of(), tmp_path)
    path = tmp_path / artifacts.DISTURBANCE
    assert len(timeless(path)) == 2
    difnas_jax.run(config_of(), tmp_path)
    assert timeless(path) == timeless(measured / artifacts.DISTURBANCE)


def test_a_training_that_was_not_measured_is_refused(measured, tmp_path):
    with pytest.raises(InputError, match="supernet.disturbance_every is 2 there"):
        difnas_jax.run(config_of(disturbance_every=0), measured)


def test_a_deleted_file_cannot_be_measured_again(measured, tmp_path, monkeypatch):
    path = measured / artifacts.DISTURBANCE
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(InputError, match=f"{path}.*delete {path.parent}"):
        difnas_jax.run(config_of(), measured)
    path.write_bytes(content)
    difnas_jax.run(config_of(), measured)


def test_a_training_too_short_to_be_measured_is_refused(tmp_path):
    """By its steps at once, by its epochs once the data are read."""
    for fields in ({"steps": 4}, {"steps": 0, "epochs": 0.2}):
        config = config_of(**fields)
        examples = len(data.load(config).train)
        total = total_steps(config.supernet, examples, passes=2)
        with pytest.raises(InputError, match=f"disturbance_every.*{total - 3}.*got 2"):
            difnas_jax.run(config, tmp_path)
        assert not (tmp_path / "supernet").exists()


@pytest.mark.parametrize(
    ("name", "entry", "rest"),
    [
        ("digits", {"stem", "bn_stem", "fixed_0"}, {"head", "bn_head", "classifier"}),
        (
            "nas_bench_201",
            {"entry", "bn_entry"},
            {"reduction_1", "reduction_2", "bn_last", "classifier"},
        ),
        ("dense", set(), {"dense"}),
    ],
)
def test_parts_follow_the_order_of_the_network(name, entry, rest):
    space = spaces.build(name, image_size=16, image_channels=1, num_classes=10)
    model = network(space, dropout=0.0, dtype="float32", rematerialize=False)
    layers = [f"layer_{layer:02d}" for layer in range(space.num_layers)]
    part_of = parts_of(model, dict.fromkeys([*rest, *layers[::-1], *entry]))
    expected = ["entry"] * bool(entry) + layers + ["rest"]
    assert list(dict.fromkeys(part_of.values())) == expected
    for part, modules in (("entry", entry), ("rest", rest)):
        assert {module for module, own in part_of.items() if own == part} == modules
