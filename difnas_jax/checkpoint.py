"""Checkpoints: the only place that knows Orbax.

A checkpoint has three parts, `variables` (collections of the network), `optimizer` and
`losses` (those of every path so far), so that a later stage reads the network without
rebuilding its optimizer. Saving is asynchronous and atomic.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from difnas_jax.errors import InputError

PARTS = ("variables", "optimizer", "losses")


class Checkpoints:
    """The checkpoints of one training in one folder."""

    def __init__(self, folder: Path, keep: int = 1) -> None:
        """Open a folder, which is made if needed, keeping the last `keep` saves."""
        self.folder = folder
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self._manager = ocp.CheckpointManager(
            folder.absolute(),
            options=options,
            item_handlers={part: ocp.StandardCheckpointHandler() for part in PARTS},
        )

    def latest(self) -> int | None:
        """The step of the newest complete checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, step: int, **parts: Any) -> None:
        """Start saving the trees of all `PARTS`; nothing if the step is saved."""
        if step == self.latest():
            return
        saved = {part: ocp.args.StandardSave(tree) for part, tree in parts.items()}
        self._manager.save(step, args=ocp.args.Composite(**saved))

    def restore(self, **targets: Any) -> dict[str, Any]:
        """Read parts of the newest checkpoint.

        Args:
          **targets: for each part, arrays or shapes of the tree that is expected.

        Returns:
          The parts by name.

        Raises:
          InputError: no checkpoint, or one that does not fit.
        """
        step = self.latest()
        if step is None:
            raise InputError(
                f"{self.folder}: expected a checkpoint, found none; run the stage that "
                "writes it first"
            )
        shapes = {
            part: ocp.args.StandardRestore(
                jax.tree.map(ocp.utils.to_shape_dtype_struct, target)
            )
            for part, target in targets.items()
        }
        try:
            restored = self._manager.restore(step, args=ocp.args.Composite(**shapes))
        except (ValueError, OSError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"{self.folder / str(step)}: expected a checkpoint of this network, "
                f"but it cannot be read ({reason}); delete it to go on from the one "
                "before"
            ) from error
        return {part: restored[part] for part in targets}

    def close(self) -> None:
        """Wait until everything is on disk."""
        self._manager.close()
