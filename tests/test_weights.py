"""With which weights retraining begins."""

import shutil

import numpy as np
import pytest

import difnas_jax
from difnas_jax.config import load_config
from difnas_jax.config.build import build_space
from difnas_jax.errors import InputError
from difnas_jax.main import main
from difnas_jax.models.networks import network
from difnas_jax.runtime import artifacts, files
from difnas_jax.scoring.trained_supernet import trained_supernet
from difnas_jax.scoring.weights import WEIGHTS
from difnas_jax.training.fates import leaves_of

SMALL = "--config=benchmarks/kills/small_run.py"
FROM_SUPERNET = "--config.retrain.weights=supernet"
pytestmark = pytest.mark.usefixtures("at_the_root")


def test_a_network_begins_with_what_it_shared_and_no_other_batch_norm(small_run):
    """The default: frozen kernels, an identity with batch norm beside each block."""
    config = load_config(SMALL.removeprefix("--config="))
    model = network(
        build_space(config).cut((1, 0)),
        dropout=0.2,
        dtype="float32",
        rematerialize=False,
    )
    begun = WEIGHTS["supernet"].begin(config, small_run, model)
    new = WEIGHTS["new"].begin(config, small_run, model)
    own, fresh = leaves_of(begun["params"]), leaves_of(new["params"])
    trained = trained_supernet(config, small_run).variables
    kept = {**leaves_of(trained["params"]), **leaves_of(trained["frozen"])}
    assert own.keys() == fresh.keys() < kept.keys()
    for leaf, value in own.items():
        np.testing.assert_array_equal(value, kept[leaf])
    kernels = [leaf for leaf in own if leaf[-1] == "kernel"]
    assert kernels and all((own[leaf] != fresh[leaf]).any() for leaf in kernels)


def test_a_run_may_begin_so_and_then_depends_on_its_supernet(
    small_run, tmp_path, capsys
):
    workdir = shutil.copytree(small_run, tmp_path / "run")
    flags = [SMALL, f"--workdir={workdir}", FROM_SUPERNET]
    assert main(flags) == 2  # its network was trained from new weights
    assert "retrain.weights" in capsys.readouterr().err
    named = "--config.search.name=begun"
    assert main([*flags, named, "--config.retrain.steps=1"]) == 0
    folder = workdir / "searches" / "begun"
    marker = files.read_json(folder / "stages" / "retrain.json")
    assert artifacts.SUPERNET_RESULT in marker["inputs"]
    assert marker["config"]["method.trainable"] == "all_bn"
    before = files.read_json(small_run / "stages" / "retrain.json")
    assert artifacts.SUPERNET_RESULT not in before["inputs"]
    with pytest.raises(InputError, match="supernet/trained.json, which is missing"):
        config = load_config(SMALL.removeprefix("--config="))
        config.retrain.update(weights="supernet", architecture="1,0")
        config.stages = ("retrain",)
        difnas_jax.run(config, tmp_path / "other")
