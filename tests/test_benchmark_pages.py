"""The pages of the benchmarks are those that their kept numbers make."""

from pathlib import Path

import numpy as np

from benchmarks import result_files
from benchmarks.disturbance import costs
from benchmarks.disturbance import page as disturbance
from benchmarks.eigennas import page as eigennas
from benchmarks.evidence import page as evidence
from benchmarks.evidence import results, search_page
from benchmarks.evidence.judge import BENCHMARK
from benchmarks.gpu import page as gpu
from benchmarks.isometry import outputs
from benchmarks.isometry.tables import tables
from benchmarks.speed import page as speed
from benchmarks.speed import scale
from benchmarks.training_free import cost, search_time
from benchmarks.training_free import page as training_free

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_speed():
    assert speed.page(result_files.load(speed.RESULTS)) == speed.PAGE.read_text()


def test_gpu():
    results = result_files.load(gpu.FOLDER / gpu.RESULTS)
    assert gpu.page(results) == (gpu.FOLDER / gpu.PAGE).read_text()


def test_scale():
    assert scale.page(result_files.load(speed.RESULTS)) == speed.SCALE.read_text()


def test_evidence():
    kept = results.load(BENCHMARK)
    assert evidence.page(kept) == evidence.PAGE.read_text()


def test_searches():
    assert search_page.page() == search_page.PAGE.read_text()


def test_eigennas():
    results = result_files.load(eigennas.FOLDER / eigennas.RESULTS)
    assert eigennas.page(results) == (eigennas.FOLDER / eigennas.PAGE).read_text()


def test_disturbance():
    results = result_files.load(disturbance.RESULTS), result_files.load(costs.RESULTS)
    assert disturbance.page(*results) == disturbance.PAGE.read_text()


def test_isometry():
    lines = tables(outputs.load(BENCHMARKS / "isometry"))
    page = (BENCHMARKS / "isometry" / outputs.PAGE).read_text()
    assert "".join(f"{line}\n" for line in lines) == page


def test_training_free():
    results = result_files.load(training_free.RESULTS)
    assert training_free.page(results) == training_free.PAGE.read_text()


def test_cost():
    assert cost.page(result_files.load(cost.RESULTS)) == cost.PAGE.read_text()


def test_search_time():
    results = result_files.load(search_time.RESULTS)
    assert search_time.page(results) == search_time.PAGE.read_text()


def test_kept_files_are_small():
    """But for the columns of 1,000 cells, which nobody else publishes."""
    kept = [p for end in ("json", "csv") for p in BENCHMARKS.rglob(f"*.{end}")]
    sizes = {path.name: path.stat().st_size for path in kept}
    assert len(kept) == 17
    assert sizes.pop("columns.csv") < 200_000
    assert max(sizes.values()) < 50_000


def test_results_survive_writing_and_reading(tmp_path, rng):
    rows = [{"a": float(x), "b": "x", "c": None} for x in rng.normal(size=20)]
    table = result_files.as_columns(rows)
    result_files.write(tmp_path / "r.json", {"part": {"rows": table, "n": 40609248.0}})
    read = result_files.load(tmp_path / "r.json")["part"]
    assert read["n"] == 40609248.0
    found = result_files.as_rows(read["rows"])
    assert [row["b"] for row in found] == [row["b"] for row in rows]
    np.testing.assert_allclose(
        [row["a"] for row in found], [row["a"] for row in rows], rtol=1e-7
    )
