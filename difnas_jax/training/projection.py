"""Updates that spare what earlier paths need, by a projection of every update.

Training a path of a supernet changes weights that other paths share, and so disturbs
them. The remedy of disturbance-immune weight sharing (Niu et al., arXiv 2003.13089) is
to move shared weights only within a space orthogonal to what earlier paths need. Its
details are not public, so this is ours, on two mechanisms that are: the projector of
OWM (Zeng et al., Nature Machine Intelligence 2019), orthogonal to earlier *inputs* of a
kernel, and the base vectors of earlier *gradients* of an op in OGL (Ma et al., IEEE
Transactions on Computers 2025).

Both are one projector, P = I - A' (alpha I + A A')^-1 A = (I + A' A / alpha)^-1, where
the rows of A are what is stored. A direction of eigenvalue s^2 of A' A keeps the share
alpha / (alpha + s^2) of an update: none as alpha goes to 0, all of it as it grows. What
an update stores has Frobenius norm 1, so that alpha counts updates. The final update is
projected, behind the optimizer: momentum from before P changed would leak.

Differs from OWM: alpha is one number for all kernels, and what is stored is scaled. A
kernel learns once in an update, from the mean over all paths through it: with one path
an update, once a path.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import Array
from ml_collections import ConfigDict

from difnas_jax.errors import require
from difnas_jax.models.kernel_inputs import COLLECTION
from difnas_jax.training import gradient_projection, input_projection
from difnas_jax.training.fates import (
    HELD,
    KINDS_WITH_KERNELS,
    leaves_of,
    trained_kinds,
    tree_of,
)
from difnas_jax.training.input_projection import Leaves, Stacks
from difnas_jax.training.optim import Packed, Packing
from difnas_jax.training.paths import Memory

MEMORY = "projection"  # the name of what is stored in the memory of a training


class Projector(NamedTuple):
    """A row of `UPDATES`, in pure functions of what trains, by name.

    Attributes:
      init: (parameters, most directions of an op) -> the empty memory.
      project: (update, memory, alpha) -> the part of the update that is applied.
      learn: (memory, gradients, inputs of kernels by name, alpha, forgetting) -> the
        memory after an update.
      room: (memory, parameters) -> the share that is left of every op, by name.
      room_name: what that is a share of, in words; empty where nothing is stored.
      records: collections that the network records for `learn`.
    """

    init: Callable[[Leaves, int], Stacks]
    project: Callable[[Leaves, Stacks, Array], Leaves]
    learn: Callable[[Stacks, Leaves, Leaves, Array, float], Stacks]
    room: Callable[[Stacks, Leaves], dict[str, Array]]
    room_name: str = ""
    records: tuple[str, ...] = ()


UPDATES: dict[str, Projector] = {
    "plain": Projector(
        init=lambda leaves, directions: {},
        project=lambda update, memory, alpha: update,
        learn=lambda memory, gradients, inputs, alpha, forgetting: memory,
        room=lambda memory, leaves: {},
    ),
    "orthogonal_inputs": Projector(
        input_projection.init,
        input_projection.project,
        input_projection.learn,
        input_projection.room,
        room_name="the space in which a kernel still learns, trace(P) / d",
        records=(COLLECTION,),
    ),
    "orthogonal_gradients": Projector(
        gradient_projection.init,
        gradient_projection.project,
        gradient_projection.learn,
        gradient_projection.room,
        room_name="the directions that an op can store",
    ),
}


def check_projected_kernels(config: ConfigDict) -> None:
    """Refuse a projection by the inputs of kernels where no kernel trains.

    Raises:
      InputError: naming the field.
    """
    method, update = config.method, config.method["update"]
    trained = trained_kinds(method.trainable, method.train_classifier)
    needed = COLLECTION in UPDATES[update].records
    fits = not needed or not trained.isdisjoint(KINDS_WITH_KERNELS)
    expected = f"a method that trains kernels for method.update = {update!r}, as 'all'"
    require(fits, "method.trainable", expected, repr(method.trainable))


@dataclasses.dataclass(frozen=True)
class Projection:
    """The projection of the packed updates of one training.

    Attributes:
      projector: row of `UPDATES`.
      packing: of the parameters.
      method: its fields of the schedule: `alpha`, `alpha_decay`, `forgetting`,
        `project_from`, `project_until`, `directions`.
      total: updates of the training.
    """

    projector: Projector
    packing: Packing
    method: ConfigDict
    total: int

    def init(self, params: Any) -> Memory:
        """Its entry in the memory before the first update of nested parameters.

        Nothing where nothing is stored.
        """
        stored = self.projector.init(self._trained(params), self.method.directions)
        return {MEMORY: stored} if stored else {}

    def project(
        self, update: Packed, memory: Memory, params: Any, step: Array
    ) -> Packed:
        """The part of a final update that is applied.

        Args:
          update: packed.
          memory: of the training, before this update.
          params: nested parameters, for the shapes.
          step: int32[], updates done.
        """

        def projected(update: Packed) -> Packed:
            tree, alpha = self.packing.unpack(update, params), self._alpha(step)
            new = self.projector.project(self._trained(tree), memory[MEMORY], alpha)
            return self.packing.pack(tree_of({**leaves_of(tree), **new}))

        if MEMORY not in memory:
            return update
        return jax.lax.cond(self._is_on(step), projected, lambda same: same, update)

    def learn(
        self,
        memory: Memory,
        gradients: Packed,
        records: dict[str, Any],
        params: Any,
        step: Array,
    ) -> Memory:
        """The memory of the training after an update.

        Args:
          memory: before it.
          gradients: of the loss, packed.
          records: what the network recorded for it, by collection.
          params: nested parameters, for the shapes.
          step: int32[], updates done.
        """

        def learned(stored: Stacks) -> Stacks:
            return self.projector.learn(
                stored,
                self._trained(self.packing.unpack(gradients, params)),
                leaves_of(records.get(COLLECTION, {})),
                self._alpha(step),
                self.method.forgetting,
            )

        if MEMORY not in memory:
            return memory
        stored = jax.lax.cond(
            self._is_on(step), learned, lambda same: same, memory[MEMORY]
        )
        return {**memory, MEMORY: stored}

    def room(self, memory: Memory, params: Any) -> dict[str, Array]:
        """The share that is left of every op, by name; see `Projector.room_name`."""
        return self.projector.room(memory.get(MEMORY, {}), self._trained(params))

    def _alpha(self, step: Array) -> Array:
        return self.method.alpha * self.method.alpha_decay ** (step / self.total)

    def _is_on(self, step: Array) -> Array:
        """Whether this update lies within the window."""
        first, last = self.method.project_from, self.method.project_until
        return (first * self.total <= step) & (step < last * self.total)

    def _trained(self, tree: Any) -> Leaves:
        held = frozenset(self.packing.groups.get(HELD, ()))
        return {leaf: x for leaf, x in leaves_of(tree).items() if leaf not in held}
