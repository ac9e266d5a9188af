"""The config of `tiny_run`, with a pause before each update: tests act meanwhile."""

import time

import tiny_run

from difnas_jax.training.log import TrainingLog


def get_config(arg=None):
    wait_for = TrainingLog.wait_for

    def slowly(self, batches):
        time.sleep(0.05)
        return wait_for(self, batches)

    TrainingLog.wait_for = slowly
    return tiny_run.get_config(arg)
