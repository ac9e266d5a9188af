"""The fields of the config that name a row of a table, and these tables."""

from collections.abc import Iterable

from difnas_jax import data
from difnas_jax.models.initializers import DEPTHWISE_RULES, KERNEL_RULES
from difnas_jax.models.modules import ACTIVATIONS
from difnas_jax.models.network import DTYPES
from difnas_jax.ranking.combiners import COMBINERS
from difnas_jax.scoring.indicators import INDICATORS
from difnas_jax.scoring.scorers import SCORERS
from difnas_jax.scoring.weights import WEIGHTS
from difnas_jax.search.additive import DROPPED_LAYERS
from difnas_jax.search.algorithms import ALGORITHMS
from difnas_jax.spaces import SPACES
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS
from difnas_jax.training.fates import TRAINABLE
from difnas_jax.training.gradients import BATCH_SHARING
from difnas_jax.training.optim import OPTIMIZERS, SCHEDULES
from difnas_jax.training.paths import SAMPLERS
from difnas_jax.training.placements import PLACEMENTS
from difnas_jax.training.projection import UPDATES
from difnas_jax.training.recipe import MEMORIES

CHOICES: dict[str, Iterable[str]] = {
    "space.name": SPACES,
    "data.source": data.SOURCES,
    "data.corrupt": ("error", "skip"),
    "data.augmentation": data.AUGMENTATIONS,
    "method.kernels": KERNEL_RULES,
    "method.depthwise": DEPTHWISE_RULES,
    "method.activation": ("", *ACTIVATIONS),
    "method.trainable": TRAINABLE,
    "method.sampling": SAMPLERS,
    "method.update": UPDATES,
    "method.batch_sharing": BATCH_SHARING,
    "method.memory": MEMORIES,
    "method.layer_indicator": LAYER_INDICATORS,
    "method.indicator": INDICATORS,
    "method.dropped_layer": DROPPED_LAYERS,
    "method.score": SCORERS,
    "method.combiner": COMBINERS,
    "method.proxy_kernels": ("", *KERNEL_RULES),
    "search.algorithm": ALGORITHMS,
    "supernet.placement": PLACEMENTS,
    "supernet.optimizer": OPTIMIZERS,
    "supernet.schedule": SCHEDULES,
    "supernet.dtype": DTYPES,
    "retrain.optimizer": OPTIMIZERS,
    "retrain.schedule": SCHEDULES,
    "retrain.dtype": DTYPES,
    "retrain.weights": WEIGHTS,
    "retrain.kernels": KERNEL_RULES,
    "retrain.depthwise": DEPTHWISE_RULES,
}
