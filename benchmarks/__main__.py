"""Run measurements by name, or all, and write the results."""

from __future__ import annotations

import sys

from benchmarks import report
from benchmarks.measurements import MEASUREMENTS
from benchmarks.network import SEED
from benchmarks.provenance import PACKAGES, provenance


def main(names: list[str]) -> None:
    """Measure, keeping the earlier results of what is not measured now."""
    if unknown := set(names) - set(MEASUREMENTS):
        known = ", ".join(MEASUREMENTS)
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; expected some of {known}")
    for name in names or MEASUREMENTS:
        print(name, file=sys.stderr, flush=True)
        source = provenance(f"python -m benchmarks {name}", SEED, (*PACKAGES, "torch"))
        result = {**source, "raw": MEASUREMENTS[name]()}
        known = {**report.load(), name: result}
        report.write({key: known[key] for key in MEASUREMENTS if key in known})
    print(report.TABLE.read_text())


if __name__ == "__main__":
    main(sys.argv[1:])
