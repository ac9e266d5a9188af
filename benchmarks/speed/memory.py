"""Memory of the supernet step at ImageNet size, by the compiler's own analysis.

As a program, `python -m benchmarks.speed.memory FORM` compiles the step for one device,
without running it, and prints JSON. The network is laid out as on a GPU, with native
convolutions and channels last; the analysis is that of XLA's CPU backend.
"""

from __future__ import annotations

import json
import sys

from benchmarks.speed.fresh_process import run_in_fresh_process

BATCH_SIZE, IMAGE_SIZE, CLASSES = 128, 224, 1000
FORMS = ("kept", "rematerialized")


def memory() -> dict[str, dict[str, int]]:
    """Bytes by form, each in a fresh process."""
    return {form: run_in_fresh_process("memory", form) for form in FORMS}


def measure(form: str) -> dict[str, int]:
    """Compile the strict-fair step of `mbv2` with the batch norms of the indicator."""
    import jax
    import jax.numpy as jnp

    from benchmarks.speed import difnas_update
    from difnas_jax import spaces
    from difnas_jax.ops.layout import CHANNELS_LAST

    difnas_update.use_native_convolutions()
    sizes = {"image_size": IMAGE_SIZE, "image_channels": 3, "num_classes": CLASSES}
    space = spaces.build("mbv2", **sizes)
    step, state, batch = difnas_update.training(
        space,
        section="supernet",
        trainable="indicator",
        batch_size=BATCH_SIZE,
        layout=CHANNELS_LAST,
        fields={"rematerialize": form == "rematerialized"},
    )
    paths = jnp.zeros((space.num_ops, space.num_layers), jnp.int32)
    compiled = jax.jit(step, donate_argnums=0).lower(state, batch, paths).compile()
    analysis = compiled.memory_analysis()
    assert analysis is not None
    return {
        "arguments": analysis.argument_size_in_bytes,
        "temporaries": analysis.temp_size_in_bytes,
        "outputs_beyond_arguments": analysis.output_size_in_bytes
        - analysis.alias_size_in_bytes,
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
