"""Measure training on one GPU: `python -m benchmarks.gpu [--parts NAME,NAME ...]`.

    python -m benchmarks.gpu --wheels=wheels --out=results
    python -m benchmarks.gpu --small --out=results

It needs a Python with JAX for CUDA, PyTorch, Flax, Optax and Orbax, and starts with no
compiled programs. Each part has a process and a limit of its own, the most telling ones
come first, and `results.json` and `RESULTS.md` are written after each; what does not
fit into the time reads "not run", with the reason. Parts that are not measured now keep
their earlier result. --small tries everything out on any device, in a minute or two.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import result_files
from benchmarks.gpu import page
from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.processes import Campaign, Result
from benchmarks.provenance import PACKAGES, provenance
from difnas_jax.errors import InputError, require
from difnas_jax.runtime.shutdown import Parser, exit_code

VERSIONS = (*PACKAGES, "optax", "jax-cuda13-plugin", "jax-cuda12-plugin", "torch")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write; returns the exit code."""
    return exit_code(lambda: _measure(_flags(argv)))


def _flags(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser("python -m benchmarks.gpu", __doc__)
    add = parser.add_argument
    add("--parts", default=",".join(PARTS), help="some of: %(default)s")
    add("--out", type=Path, default=page.FOLDER, help="folder of the results")
    add("--wheels", type=Path, help="folder of wheels that this Python lacks")
    add("--minutes", type=float, default=8.0, help="of all parts; %(default)s")
    add("--limit", type=float, help="seconds of each part; its own by default")
    add("--at-once", type=int, default=4, help="processes at a time; %(default)s")
    add("--small", action="store_true", help="tiny networks, on any device")
    return parser.parse_args(argv)


def _measure(flags: argparse.Namespace) -> None:
    names = flags.parts.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise InputError(
            f"--parts: expected some of {', '.join(PARTS)}; got {', '.join(unknown)}"
        )
    require(flags.minutes > 0, "--minutes", "minutes above 0", flags.minutes)
    require(flags.at_once > 0, "--at-once", "1 or more", flags.at_once)
    require(
        flags.limit is None or flags.limit > 0,
        "--limit",
        "seconds above 0",
        flags.limit,
    )
    results = result_files.load(flags.out / page.RESULTS)
    command = f"python -m benchmarks.gpu {' '.join(sys.argv[1:])}"
    source = {**provenance(command, 0, VERSIONS), "card": _card()}

    def ended(name: str, result: Result) -> None:
        results[name] = {**source, **result}
        page.write(flags.out, results)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        Campaign(
            folder=folder,
            small=flags.small,
            minutes=flags.minutes,
            limit=flags.limit,
            at_once=flags.at_once,
            site=_installed(flags.wheels, folder / "site") if flags.wheels else None,
        ).run(names, ended)
    print((flags.out / page.PAGE).read_text())


def _installed(wheels: Path, site: Path) -> Path:
    """Install all wheels of a folder, and nothing else, into another folder."""
    found = [str(path) for path in sorted(wheels.glob("*.whl"))]
    require(bool(found), "--wheels", "a folder of *.whl files", wheels)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, f"--target={site}", *found], check=True)
    return site


def _card() -> str:
    """Name, driver and memory of the first GPU; empty without one."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total"]
    try:
        shown = subprocess.run(
            [*query, "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return shown.stdout.splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
