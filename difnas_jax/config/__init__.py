"""Configuration: the default, config files, and what a config describes.

A config file needs these four: `default` and `experiment` to start from, `parse_arg`
for its arguments, `load_config` to read another file.
"""

from difnas_jax.config.fields import default
from difnas_jax.config.files import experiment, load_config, parse_arg

__all__ = ["default", "experiment", "load_config", "parse_arg"]
