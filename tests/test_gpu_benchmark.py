"""The measurement on one GPU, as a user runs it, in its small form on the CPU."""

import re
import subprocess
import sys
import zipfile

import jobs
import pytest

from benchmarks import result_files
from benchmarks.gpu import goals, page, profile
from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.processes import last_error

TORCH = [name for name, part in PARTS.items() if part.module == "torch_updates"]
SOURCE = {"command": "", "date": "", "seed": 0, "machine": "", "versions": {}}
BROKEN = "ImportError: this PyTorch is a test"


def measure(out, *flags):
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.gpu",
            "--small",
            "--at-once=2",
            f"--out={out}",
            *flags,
        ],
        cwd=jobs.ROOT,
        env=jobs.environment(),
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """A folder with a wheel of a PyTorch that cannot be imported."""
    folder = tmp_path_factory.mktemp("wheels")
    contents = {
        "torch/__init__.py": "raise ImportError('this PyTorch is a test')",
        "torch-0.dist-info/METADATA": "Metadata-Version: 2.1\nName: torch\nVersion: 0",
        "torch-0.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any",
        "torch-0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(folder / "torch-0-py3-none-any.whl", "w") as wheel:
        for name, text in contents.items():
            wheel.writestr(name, text)
    return folder


@pytest.fixture(scope="module")
def measured(tmp_path_factory, wheels):
    """The results of all parts, and their folder."""
    out = tmp_path_factory.mktemp("out")
    ended = measure(out, f"--wheels={wheels}")
    assert ended.returncode == 0, ended.stderr
    return result_files.load(out / page.RESULTS), out


def test_every_part_is_measured_and_a_failing_one_stops_no_other(measured):
    results, out = measured
    assert list(results) == list(PARTS)
    reasons = {name: part.get("not_run") for name, part in results.items()}
    reasons = {name: reason for name, reason in reasons.items() if reason}
    assert reasons == dict.fromkeys(TORCH, BROKEN)
    assert (out / page.PAGE).read_text() == page.page(results)


def test_device_and_reference_agree_in_full_precision(measured):
    results, _ = measured
    for name in ("correct_scan", "correct_side_by_side"):
        errors = results[name]["values"]["errors"]
        assert errors["float32, highest"] < 1e-4 < errors["bfloat16"]


def test_part_over_its_limit_is_not_run_and_the_others_keep_their_results(measured):
    before, out = measured
    ended = measure(out, "--parts=fair_scan", "--limit=0.01")
    assert ended.returncode == 0, ended.stderr
    after = result_files.load(out / page.RESULTS)
    assert after["fair_scan"]["not_run"] == "over its limit of 0.01 s"
    assert "waited" not in after["fair_scan"]["values"]
    assert re.search(r"`fair_scan` \| over its limit", (out / page.PAGE).read_text())
    del before["fair_scan"], after["fair_scan"]
    assert before == after


def test_no_part_starts_when_the_time_is_over(tmp_path):
    ended = measure(tmp_path, "--parts=machine,fair_scan_warm", "--minutes=1e-9")
    assert ended.returncode == 0, ended.stderr
    results = result_files.load(tmp_path / page.RESULTS)
    assert results["machine"]["not_run"].endswith("minutes of all parts were over")
    assert results["fair_scan_warm"]["not_run"] == "needs fair_scan"


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--parts=machine,nothing", "--parts: expected some of machine"),
        ("--minutes=0", "--minutes: expected minutes above 0, got 0.0"),
        ("--limit=0", "--limit: expected seconds above 0, got 0.0"),
        ("--at-once=0", "--at-once: expected 1 or more, got 0"),
        ("--wheels=docs", "--wheels: expected a folder of *.whl files, got docs"),
    ],
)
def test_bad_flag_is_one_line(flag, expected, capsys):
    from benchmarks.gpu.__main__ import main

    assert main([flag]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {expected}")
    assert error.count("\n") == 1


def test_ratio_is_made_of_one_run():
    one = goals.COMPARISONS[0]
    ours, torch = ({"date": "a", "values": {"piped": x}} for x in (3.0, 6.0))
    assert goals.ratio(one, {one.ours: ours, one.torch: torch}) == 0.5
    assert goals.ratio(one, {one.ours: ours, one.torch: {**torch, "date": "b"}}) is None
    assert goals.ratio(one, {one.ours: ours}) is None


def test_reason_is_the_last_error():
    log = "Traceback:\n  File x\njax.errors.JaxRuntimeError: out of memory\n  more\n"
    assert last_error(log) == "jax.errors.JaxRuntimeError: out of memory"
    assert last_error("first\nlast\n\n") == "last"
    assert last_error("") == ""


def test_page_is_made_of_the_kept_numbers(tmp_path):
    """Of 46.75 ms, which is shown as 46.8, not of the 46.7 that was measured."""
    page.write(tmp_path, {"fair_scan": {**SOURCE, "values": {"waited": 0.0467499999}}})
    kept = result_files.load(tmp_path / page.RESULTS)
    assert kept["fair_scan"]["values"]["waited"] == 0.04675
    assert (tmp_path / page.PAGE).read_text() == page.page(kept)


def test_page_without_results_says_so():
    text = page.page({})
    assert all(f"| `{name}` | not asked for |" in text for name in PARTS)


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("sm90_xmma_dgrad_implicit_gemm_indexed_bf16bf16_bf16f32", "convolution"),
        ("void cudnn::ops::nchwToNhwcKernel<__half>", "copy"),
        ("nvjet_tst_128x128_64x5", "matrix product"),
        ("gemm_fusion_dot_12", "matrix product"),
        ("input_multiply_reduce_fusion_3", "reduction"),
        ("loop_convert_fusion", "loop fusion"),
        ("MemcpyD2D", "copy"),
        ("something", "other"),
    ],
)
def test_kind_of_a_kernel(kernel, kind):
    assert profile.kind(kernel) == kind


def test_page_shows_the_profile():
    kernels = {f"loop_fusion_{i}": float(i) for i in range(12)} | {"MemcpyD2D": 0.5}
    found = profile.summary(kernels)
    assert list(found["longest"].values()) == [float(i) for i in range(11, 1, -1)]
    assert sum(found["kinds"].values()) == sum(kernels.values())
    text = page.page({"fair_scan": {**SOURCE, "values": {"kernels": found}}})
    assert "| all | 66.50 |" in text
    assert "| copy | 0.50 |" in text
