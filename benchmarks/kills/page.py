"""The page of the kill test."""

from __future__ import annotations

import collections
import os
import platform
from pathlib import Path

from benchmarks.kills.campaign import SIGNALS
from benchmarks.kills.interruption import Kill
from difnas_jax.config.stages import BY_DEFAULT
from difnas_jax.runtime.versions import versions

PAGE = Path(__file__).with_name("KILLS.md")


def page(kills: list[Kill], differ: list[list[str]], arguments: str) -> str:
    """The result in Markdown."""
    rows = collections.Counter((kill.stage, kill.signal) for kill in kills)
    codes = collections.Counter((kill.signal, kill.code) for kill in kills)
    names = [number.name for number in SIGNALS]
    machine = f"{platform.machine()}, {os.cpu_count()} CPU cores, Python "
    packages = (f"{name} {text}" for name, text in versions().items())
    writing = sum(kill.writing for kill in kills)
    lines = [
        "# Kill test",
        "",
        f"    python -m benchmarks.kills {arguments}",
        "",
        f"{len(kills)} kills in {len(differ) - 1} runs, "
        f"{writing} of them while a checkpoint was being written.",
        f"Runs that ended differently from the unbroken one: {sum(map(bool, differ))}.",
        "Compared, bit for bit: the arrays and bytes of `indicator.npz`, `best.json`,",
        "`candidates.csv`, the `result.json` of retraining and all rows of metrics,",
        "times left out.",
        "",
        "Number of kills, by the stage that ran (rows) and the signal (columns);",
        "`between` means that no stage had begun or all begun ones were complete.",
        "",
        f"| killed in | {' | '.join(names)} |",
        f"| --- |{' --: |' * len(names)}",
        *(
            f"| {stage} | {' | '.join(str(rows[stage, name]) for name in names)} |"
            for stage in (*BY_DEFAULT, "between")
        ),
        "",
        "Exit codes: "
        + ", ".join(f"{n} x {code} on {name}" for (name, code), n in codes.items())
        + " (negative: the signal itself, before the handler is set; 75: saved).",
        "",
        f"{machine}{platform.python_version()}, {', '.join(packages)}.",
    ]
    return "\n".join(lines) + "\n"
