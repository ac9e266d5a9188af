"""Trainings with projected updates: whom they spare, and what must not matter."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from plain_networks import initial, plain_network
from test_projection import PROJECTED

from difnas_jax import spaces
from difnas_jax.config import default
from difnas_jax.config.ranges import LEAST_ALPHA
from difnas_jax.runtime.mesh import data_mesh, replicate, shard_batch
from difnas_jax.spaces.dense import OPS
from difnas_jax.spaces.image import ImageLayer
from difnas_jax.training import optim
from difnas_jax.training.paths import SAMPLERS, stream, strict_fair
from difnas_jax.training.placements import PLACEMENTS
from difnas_jax.training.projection import MEMORY
from difnas_jax.training.recipe import Recipe
from difnas_jax.training.steps import create_state, make_train_step

TOTAL, SIDE = 100, 4


def small(**images):
    """Two fully connected layers, which compile in a second."""
    space = spaces.build("dense", image_size=SIDE, image_channels=1, num_classes=10)
    layers = (
        ImageLayer(SIDE**2, 12, stride=1, ops=(0, 1)),
        ImageLayer(12, 12, stride=1, ops=(0, 1, 2)),
    )
    ops = tuple(op for op in OPS if op.name in ("relu", "tanh", "relu+skip"))
    return dataclasses.replace(space, name="small", ops=ops, layers=layers)


@functools.cache
def built(update, *, space=None, mesh=None, columns=(), rematerialize=False, method=()):
    """Model, state before the training, projection, step, and an entry for each trace.

    All weights train, by SGD with momentum; `columns` are those of the recipe.
    """
    config = default()
    config.method["update"] = update
    config.method.update({"trainable": "all", "alpha": LEAST_ALPHA, **dict(method)})
    config.supernet.update(optimizer="sgd", learning_rate=0.02, clip_value=0.0)
    config.supernet.update(batch_size=12, reference_batch=12)
    space = space or small()
    recipe = dataclasses.replace(Recipe.of_supernet(config), **dict(columns))
    model = plain_network(space, rematerialize=rematerialize)
    variables = jax.tree.map(jnp.asarray, initial(model, trainable="all"))
    params = variables["params"]
    packing = optim.Packing.of(recipe.fates(params))
    optimizer = optim.optimizer(recipe.settings, TOTAL)
    projection = recipe.projection(packing, TOTAL)
    memory = recipe.memory_before(params, TOTAL, SAMPLERS["strict_fair"](space))
    variables = {**variables, "batch_stats": {}}
    state = create_state(variables, optimizer, packing, memory)
    step, traces = make_train_step(model, optimizer, projection, recipe, mesh), []

    def traced(*inputs):
        traces.append(1)
        return step(*inputs)

    return model, state, projection, jax.jit(traced), traces


class Training:
    """A training of a hundred updates, step by step; see `built`."""

    def __init__(self, update, **options):
        found = built(update, **options)
        self.model, self.state, self.projection, self.step, self.traces = found

    @property
    def params(self):
        return self.state.variables["params"]

    def update(self, batch, *paths):
        """Do an update."""
        self.state, _ = self.step(self.state, batch, jnp.asarray(paths, jnp.int32))

    def projected(self, tree, memory):
        """What a memory would make of an update, nested like the parameters."""
        packing, step = self.projection.packing, jnp.asarray(3)

        @jax.jit
        def project(tree, memory, params):
            found = self.projection.project(packing.pack(tree), memory, params, step)
            return packing.unpack(found, params)

        return project(tree, memory, self.params)

    def room(self):
        values = jax.jit(self.projection.room)(self.state.memory, self.params)
        return {op: float(left) for op, left in values.items()}


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def minus(one, other):
    return jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), one, other)


def norm(tree):
    return float(optax.tree.norm(tree))


def batch_of(rng, count=12, side=SIDE):
    images = rng.standard_normal((count, side, side, 1)).astype(np.float32)
    return {"image": images, "label": np.int32(rng.integers(0, 10, count))}


@pytest.fixture
def batch(rng):
    return batch_of(rng)


@pytest.fixture(scope="module")
def plain_bits(tiny):
    return after_updates(tiny, "plain")


def after_updates(tiny, update, **method):
    """Bits of all that an update changes, in a network with every kind of kernel."""
    layer = ImageLayer(8, 12, stride=2, ops=(0,))
    space = dataclasses.replace(tiny, layers=(layer,))
    training = Training(update, space=space, method=tuple(method.items()))
    batch = batch_of(np.random.default_rng(0), side=8)
    for _ in range(3):
        training.update(batch, (0,))
    return bits((training.params, training.state.optimizer))


@pytest.mark.parametrize("name", PROJECTED)
def test_an_infinite_alpha_is_plain_bit_for_bit(name, tiny, plain_bits):
    assert after_updates(tiny, name, alpha=np.inf) == plain_bits


WINDOW = (("project_from", 2 / TOTAL), ("project_until", 4 / TOTAL))


@pytest.mark.parametrize("name", PROJECTED)
def test_outside_of_its_window_a_projection_is_plain_and_learns_nothing(name, batch):
    """One compiled step serves all of it."""
    plain, training = Training("plain"), Training(name, method=WINDOW)
    assert MEMORY not in plain.state.memory
    memories, traces = [], len(training.traces)
    for step in range(6):
        memories.append(bits(training.state.memory[MEMORY]))
        path = step % 2, step % 3
        plain.update(batch, path)
        training.update(batch, path)
        # The first update within stores something, the second is a projected one.
        assert (bits(training.params) == bits(plain.params)) == (step < 3)
    memories.append(bits(training.state.memory[MEMORY]))
    changes = [one != other for one, other in itertools.pairwise(memories)]
    assert changes == [False, False, True, True, False, False]
    assert len(training.traces) - traces <= 1


@pytest.mark.parametrize("name", PROJECTED)
def test_momentum_does_not_leak(name, rng):
    """The final update is projected, of which momentum from before is the most."""
    plain, training, path = Training("plain"), Training(name, method=WINDOW), (0, 1)
    for _ in range(3):
        training.update(batch_of(rng), path)
    plain.state, batch = training.state.replace(memory={}), batch_of(rng)
    before, memory = training.params, training.state.memory
    plain.update(batch, path)
    training.update(batch, path)
    wanted, found = (minus(each.params, before) for each in (plain, training))
    expected = training.projected(wanted, memory)
    assert norm(minus(found, expected)) < 1e-3 * norm(expected)
    assert norm(minus(wanted, expected)) > 0.1 * norm(wanted)
    # What is left does not touch what is stored: to project it again takes nothing.
    again = minus(training.projected(found, memory), found)
    assert norm(again) < 0.01 * norm(minus(wanted, expected))


@pytest.mark.parametrize("name", PROJECTED)
def test_ops_off_the_path_keep_all_their_room(name, batch):
    training = Training(name)
    assert set(training.room().values()) == {1.0}
    training.update(batch, (0, 2))
    room = training.room()
    on = {"layer_00/relu", "layer_01/relu+skip", "dense"}
    assert {op for op, left in room.items() if left < 1} == on
    assert len(room) == 2 + 3 + 1


@pytest.mark.parametrize("name", PROJECTED)
def test_a_path_is_spared_by_the_training_of_another(name, rng):
    """Both share a layer and the classifier, each has a layer and images of its own.

    All images of a path are one, so that what its kernels see is their mean.
    """
    first, second = (0, 0), (0, 1)
    one = {path: batch_of(rng, count=1) for path in (first, second)}
    batches = {
        path: jax.tree.map(lambda leaf: np.repeat(leaf, 12, 0), own)
        for path, own in one.items()
    }

    apply = jax.jit(functools.partial(Training("plain").model.apply, train=False))

    def loss(training, path):
        variables, batch = {"params": training.params}, one[path]
        logits = apply(variables, batch["image"], jnp.array(path))
        found = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        return float(found.mean())

    disturbed, learned = {}, {}
    for update in ("plain", name):
        training = Training(update)
        training.update(batches[first], first)
        before = {path: loss(training, path) for path in one}
        for _ in range(5):
            training.update(batches[second], second)
        disturbed[update] = abs(loss(training, first) - before[first])
        learned[update] = before[second] - loss(training, second)
    assert disturbed[name] < 0.03 * disturbed["plain"]
    # And the other one still learns: once, since it repeats itself.
    assert learned[name] > 0.05 * learned["plain"] > 0


# How the paths of an update run.


def on_two_devices(training, batch, placement):
    """Lay out what an update is given."""
    mesh = data_mesh()
    assert mesh.size == 2
    training.state = replicate(training.state, mesh)
    return shard_batch(batch, mesh, PLACEMENTS[placement].batch)


@pytest.fixture(scope="module", params=PROJECTED)
def one_by_one(request):
    """What a projection learned of paths one after another, and how to say it."""
    batch = batch_of(np.random.default_rng(0))

    def learned(**options):
        columns = {"paths_at_once": 1, "placement": "batch", **options}
        training = Training(
            request.param,
            columns=tuple((n, columns[n]) for n in ("paths_at_once", "placement")),
            mesh=data_mesh(),
            rematerialize="rematerialize" in options,
        )
        own = batch
        if "devices" in options:
            own = on_two_devices(training, batch, columns["placement"])
        for step in range(2):
            key = stream(0, "paths", step)
            training.update(own, *strict_fair(small())(key))
        # Not the memory itself: directions have no sign.
        update = jax.tree.map(jnp.ones_like, training.params)
        return minus(training.projected(update, training.state.memory), update)

    return learned, learned()


VARIANTS = {
    "side by side": {"paths_at_once": 3, "rematerialize": True},
    "two devices": {"devices": 2},
    "paths on devices": {"devices": 2, "placement": "paths"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_however_paths_run_the_same_is_learned(variant, one_by_one):
    learned, expected = one_by_one
    found = learned(**VARIANTS[variant])
    assert norm(minus(found, expected)) < 1e-4 * norm(expected)
