"""Projected updates, in small arrays: what is stored, and how much of it leaks.

The laws of every row of `UPDATES` go through one kernel [d, 1], whose inputs and whose
gradients are vectors of the same d numbers.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from difnas_jax.config.ranges import LEAST_ALPHA
from difnas_jax.models.kernel_inputs import VECTORS
from difnas_jax.training.fates import Leaf
from difnas_jax.training.gradient_projection import principal
from difnas_jax.training.input_projection import (
    matrix_shape,
    to_kernel,
    to_matrices,
    woodbury,
)
from difnas_jax.training.projection import UPDATES

KERNEL: Leaf = ("layer_00", "op", "conv", "kernel")
D, DIRECTIONS = 12, 8
PROJECTED = [name for name, row in UPDATES.items() if row.records or row.room_name]
ALPHAS = (LEAST_ALPHA, 0.1, 1.0, 100.0)


def unit(vectors):
    """Vectors of length 1, in float64."""
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def closed_form(rows, alpha):
    """P = (I + A' A / alpha)^-1, in float64; alpha may differ between rows."""
    rows = rows / np.sqrt(np.broadcast_to(alpha, len(rows)))[:, None]
    return np.linalg.inv(np.eye(rows.shape[1]) + rows.T @ rows)


def relative_error(found, expected):
    found = np.asarray(found, np.float64)
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def told(name, vectors, alpha=1.0, forgetting=1.0):
    """The memory of a row after some updates, each with one vector float[d]."""
    row = UPDATES[name]
    memory = row.init({KERNEL: jnp.zeros((D, 1))}, DIRECTIONS)
    learn = jax.jit(row.learn, static_argnums=4)
    for vector in np.asarray(vectors, np.float32):
        inputs = np.zeros((1, VECTORS, D), np.float32)
        inputs[0, 0] = vector
        told_of = {KERNEL: jnp.asarray(vector[:, None])}, {KERNEL: jnp.asarray(inputs)}
        memory = learn(memory, *told_of, jnp.float32(alpha), forgetting)
    return memory


def matrix(name, memory, alpha):
    """float[d, d]: what the row makes of the update e_i, in row i."""
    project = jax.vmap(
        lambda update: UPDATES[name].project(
            {KERNEL: update[:, None]}, memory, jnp.float32(alpha)
        )[KERNEL][:, 0]
    )
    return np.asarray(project(jnp.eye(D)), np.float64)


@pytest.fixture
def vectors(rng):
    """Fewer than there are directions, with a common part, of any length."""
    common = rng.uniform(1, 2, D)
    return (common + rng.standard_normal((5, D))) * rng.uniform(0.1, 10, (5, 1))


def test_plain_stores_nothing_and_changes_nothing():
    row, update = UPDATES["plain"], {KERNEL: jnp.ones((D, 1))}
    assert row.init(update, DIRECTIONS) == {} == row.room({}, update)
    assert row.project(update, {}, jnp.float32(1)) is update
    assert not row.records and set(UPDATES) == {"plain", *PROJECTED}


@pytest.mark.parametrize("name", PROJECTED)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_an_update_keeps_what_the_closed_form_says(name, alpha, vectors):
    """So alpha / (alpha + s^2) of each direction of eigenvalue s^2 leaks."""
    rows = unit(vectors)
    found = matrix(name, told(name, vectors, alpha), alpha)
    assert relative_error(found, closed_form(rows, alpha)) < 1e-4
    squares, directions = np.linalg.eigh(rows.T @ rows)
    squares = squares.clip(0)
    leakage = np.linalg.norm(directions.T @ found, axis=1)
    np.testing.assert_allclose(leakage, alpha / (alpha + squares), rtol=1e-2)
    np.testing.assert_allclose(found, found.T, atol=1e-6)


@pytest.mark.parametrize("name", PROJECTED)
def test_what_is_stored_changes_less_the_smaller_alpha_is(name, vectors):
    """And a direction that is not stored stays free."""
    shares, free = [], np.linalg.svd(vectors)[2][-1]
    for alpha in sorted(ALPHAS):
        found = matrix(name, told(name, vectors, alpha), alpha)
        shares.append(np.linalg.norm(unit(vectors) @ found, axis=1).max())
        np.testing.assert_allclose(free @ found, free, atol=1e-5)
    assert shares == sorted(shares)
    assert shares[0] < 100 * LEAST_ALPHA and shares[-1] > 0.9


@pytest.mark.parametrize("name", PROJECTED)
def test_an_infinite_alpha_is_plain_bit_for_bit(name, vectors, rng):
    memory = told(name, vectors, np.inf)
    update = jnp.asarray(rng.standard_normal((D, 1)), jnp.float32)
    found = UPDATES[name].project({KERNEL: update}, memory, jnp.float32(np.inf))
    assert np.asarray(found[KERNEL]).tobytes() == np.asarray(update).tobytes()


@pytest.mark.parametrize("name", PROJECTED)
def test_the_length_of_a_vector_does_not_count_and_zeros_change_no_bit(name, vectors):
    memory, longer = told(name, vectors), told(name, 64 * vectors)
    off = told(name, [*vectors, np.zeros(D)])
    for size, stored in memory.items():
        np.testing.assert_array_equal(stored, longer[size])
        np.testing.assert_array_equal(stored, off[size])


@pytest.mark.parametrize("name", PROJECTED)
def test_forgetting(name, vectors):
    """0 keeps the newest alone; whatever it is, no update grows."""
    alpha, newest = 0.1, unit(vectors[-1:])
    found = matrix(name, told(name, vectors, alpha, 0.0), alpha)
    assert relative_error(found, closed_form(newest, alpha)) < 1e-5
    leaks = []
    for forgetting in (0.0, 0.5, 0.9, 1.0):
        found = matrix(name, told(name, vectors, alpha, forgetting), alpha)
        np.testing.assert_allclose(found, found.T, atol=1e-6)
        shares = np.linalg.eigvalsh(found)
        assert shares.min() > -1e-6 and shares.max() < 1 + 1e-6
        leaks.append(np.linalg.norm(unit(vectors[0]) @ found))
    assert leaks == sorted(leaks, reverse=True) and leaks[0] > 2 * leaks[-1]


@pytest.mark.parametrize("name", PROJECTED)
def test_the_room_shrinks_with_every_new_direction(name, vectors):
    leaves, rooms = {KERNEL: jnp.zeros((D, 1))}, []
    for count in range(len(vectors) + 1):
        memory = told(name, vectors[:count], LEAST_ALPHA)
        (room,) = UPDATES[name].room(memory, leaves).items()
        assert room[0] == "layer_00/op"
        rooms.append(float(room[1]))
    assert rooms[0] == 1
    steps = -np.diff(rooms)
    assert round(1 / steps[0]) in (D, DIRECTIONS)
    np.testing.assert_allclose(steps, steps[0], rtol=0.05)


def test_the_same_gradient_takes_one_direction(vectors):
    """However often it comes: rounding takes no room."""
    leaves, again = {KERNEL: jnp.zeros((D, 1))}, np.repeat(vectors[:1], 12, 0)
    row = UPDATES["orthogonal_gradients"]
    (left,) = row.room(told("orthogonal_gradients", again), leaves).values()
    assert left == 1 - 1 / DIRECTIONS


# The recursion.


@functools.partial(jax.jit, static_argnums=2)
def recursion(vectors, alphas, forgetting=1.0):
    """P after vectors [T, n, V, d], with an alpha for each update."""
    identity = jnp.broadcast_to(
        jnp.eye(vectors.shape[-1], dtype=vectors.dtype),
        (vectors.shape[1], *[vectors.shape[-1]] * 2),
    )

    def step(projectors, told_of):
        vectors, alpha = told_of
        return woodbury(projectors, vectors, alpha, forgetting), None

    return jax.lax.scan(step, identity, (vectors, alphas))[0]


def of_all(vectors, alphas):
    """The closed form of `recursion`."""
    updates, count, several, width = vectors.shape
    vectors = np.asarray(vectors, np.float64)
    vectors = vectors / np.linalg.norm(vectors, axis=(2, 3), keepdims=True)
    rows = vectors.transpose(1, 0, 2, 3).reshape(count, -1, width)
    alphas = np.repeat(np.asarray(alphas, np.float64), several)
    return np.stack([closed_form(own, alphas) for own in rows])


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("decay", [1.0, 0.01])
def test_the_recursion_is_the_closed_form(alpha, decay, rng):
    """Over updates of several correlated vectors; in float64 to 1e-10."""
    vectors = np.maximum(rng.standard_normal((40, 3, VECTORS, 9)) + 0.5, 0)
    alphas = alpha * decay ** (np.arange(40) / 40)
    with jax.enable_x64(True):
        found = np.asarray(recursion(jnp.asarray(vectors), jnp.asarray(alphas)))
    assert found.dtype == np.float64
    assert relative_error(found, of_all(vectors, alphas)) < 1e-10
    single = jnp.float32(vectors), jnp.float32(alphas)
    found = recursion(*single)
    assert found.dtype == jnp.float32
    assert relative_error(found, of_all(*single)) < 1e-3
    np.testing.assert_array_equal(found, found.mT)


def test_float32_holds_down_to_the_least_alpha(rng):
    """In a long training of nearly equal vectors, the worst that was found."""
    shape = 3000, 1, VECTORS, 25
    vectors = np.abs(rng.standard_normal(25)) + 1e-3 * rng.standard_normal(shape)
    errors = {}
    for alpha in (LEAST_ALPHA, LEAST_ALPHA / 100):
        single = jnp.float32(vectors), jnp.full(len(vectors), alpha)
        errors[alpha] = relative_error(recursion(*single), of_all(*single))
    least, below = errors.values()
    assert least < 1e-3
    assert not below < 1e-3  # a pivot below 0: NaN


def test_woodbury_forgets_only_where_there_is_a_vector(rng):
    vectors = jnp.float32(rng.standard_normal((2, 2, VECTORS, 5)))
    vectors = vectors.at[1, 1].set(0)  # the second kernel was off the second path
    ones = jnp.ones(2)
    before, after = (recursion(vectors[:count], ones[:count], 0.5) for count in (1, 2))
    np.testing.assert_array_equal(before[1], after[1])
    assert np.abs(before[0] - after[0]).max() > 0.1


# Kernels as matrices.

SHAPES = {
    ("expand", "kernel"): (6, 4),
    ("conv", "kernel"): (3, 3, 6, 4),
    ("depthwise", "kernel"): (3, 3, 1, 6),
    ("spatial", "kernel"): (5, 5, 1, 6),
}


@pytest.mark.parametrize(("leaf", "shape"), SHAPES.items())
def test_a_kernel_is_its_matrices(leaf, shape, rng):
    kernel = jnp.float32(rng.standard_normal(shape))
    matrices = to_matrices(leaf, kernel)
    assert matrices.shape == matrix_shape(leaf, shape)
    np.testing.assert_array_equal(to_kernel(leaf, matrices, shape), kernel)


# Principal directions.


def kept(vectors, directions):
    """A' A of what is kept of vectors [T, d], told one after another."""
    stored = {"d": jnp.zeros((1, directions, vectors.shape[1]))}
    learn = jax.jit(functools.partial(principal, forgetting=1.0))
    for vector in jnp.float32(vectors):
        stored = learn(stored, {"d": vector[None, None]})
    rows = np.asarray(stored["d"][0], np.float64)
    products = rows @ rows.T
    np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-5)
    return rows.T @ rows


def best(vectors, directions):
    """A' A of the closest matrix of so small a rank (Eckart and Young)."""
    _, values, right = np.linalg.svd(unit(vectors))
    values = values[:directions]
    return (right[: len(values)].T * values**2) @ right[: len(values)]


@pytest.mark.parametrize("directions", [5, 6, 9])
def test_directions_are_those_of_the_singular_value_decomposition(directions, rng):
    """Exactly, of up to one vector more than there are directions."""
    vectors = rng.standard_normal((6, 20)) + 1
    found, expected = kept(vectors, directions), best(vectors, directions)
    assert relative_error(found, expected) < 1e-5


def test_of_more_vectors_the_directions_are_nearly_the_principal_ones(rng):
    """Nothing is made up, less than the best is kept, and little is lost of few."""
    vectors = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 20))
    vectors += 0.05 * rng.standard_normal((40, 20))
    rows, directions = unit(vectors), 4
    whole, found, ideal = rows.T @ rows, kept(vectors, 4), best(vectors, 4)
    assert np.linalg.eigvalsh(whole - found).min() > -1e-4
    assert np.linalg.matrix_rank(found, tol=1e-4) <= directions
    assert np.trace(found) < np.trace(ideal) < np.trace(whole)
    assert np.trace(whole - found) < 2 * np.trace(whole - ideal)
