"""DI-NAS on CIFAR-10 in the space of NAS-Bench-201 (cells of 6 edges x 5 ops).

    difnas-jax --config=nas_bench_201

It reads `cifar10` of TensorFlow Datasets, prepared as array_record, see
docs/own_data.md. An .npz file, which is read at once and is therefore faster, goes by
`--config.data.source=arrays --config.data.path=cifar10.npz`.

The supernet trains as that of `nas_bench_macro`; the paper of DI-NAS has no cells, and
there is no budget, as in the benchmark. The found network is retrained as those of the
benchmark were: 200 epochs at batch 256, rate 0.1 falling as a cosine, weight decay 5e-4
(here on kernels only), mirrored images and crops padded by 4 pixels, no label
smoothing, no dropout; on the 45,000 images that are not held out. Differs from the
benchmark: momentum is not Nesterov's.

`:size=16` makes all images 16 pixels wide. `:smoke` goes through every stage in a few
updates, on the shipped digits.
"""

from difnas_jax.config import experiment


def get_config(arg=None):
    """Arguments: those of `nas_bench_macro`: `size` in pixels, `seed`, `smoke`."""
    config = experiment(f"nas_bench_macro,{arg or ''}")
    config.space.name = "nas_bench_201"
    config.search.max_macs = 0
    if config.retrain.epochs:
        config.retrain.epochs = 200.0
    return config
