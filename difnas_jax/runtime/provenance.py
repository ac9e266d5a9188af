"""Where a result comes from: the command, the commit, the device and the date."""

import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax

CHECKOUT = Path(__file__).parents[2]


def facts() -> dict[str, str]:
    """What is known of this process.

    Returns:
      `command`: as the process was started, quoted for a shell; in a notebook, that of
      its kernel. `commit`: of the checkout that runs or that the package was built of,
      with `-dirty` where files differed from it; empty where it is not known.
      `device`: see `device`. `date`: UTC now.
    """
    now = datetime.datetime.now(datetime.UTC)
    return {
        "command": shlex.join(sys.orig_argv),
        "commit": _commit(),
        "device": device(),
        "date": now.isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC"),
    }


def device() -> str:
    """The devices of all processes, such as `8 x NVIDIA H100 80GB HBM3`.

    Virtual devices of the CPU share its cores, which are counted beside them.
    """
    text = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    if jax.default_backend() == "cpu":
        text += f", {os.cpu_count()} cores"
    processes = jax.process_count()
    return f"{text}, {processes} processes" if processes > 1 else text


def processor() -> str:
    """The model of the CPU, as far as the system says."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        text = ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()


def _commit() -> str:
    # A package installed inside of another project's checkout is no part of it.
    if not (CHECKOUT / ".git").exists():
        built = CHECKOUT / "difnas_jax" / "COMMIT"  # by hatch_build.py
        return built.read_text().strip() if built.exists() else ""
    ask = "git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=40"
    try:
        answer = subprocess.run(
            [*ask, "--exclude=*"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):  # no git here
        return ""
    return answer.stdout.strip()
