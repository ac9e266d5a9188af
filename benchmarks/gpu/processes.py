"""The parts in processes: a few at once, each with its limit, all with a common one."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.session import say, values_file
from difnas_jax.runtime import files

# Several processes share the memory of the GPU.
ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
_ERROR = re.compile(r"^[\w.]*(Error|Exception|Exit|Interrupt)\b.*")
LONGEST_REASON = 200
POLL_SECONDS = 0.1

# `values`, what a part has recorded; `seconds` of its process; `not_run`, why it is not
# complete, where it is not.
Result = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Campaign:
    """How parts run.

    Attributes:
      folder: for their files.
      small: the small form.
      minutes: of all parts together.
      limit: seconds of each part; None takes its own.
      at_once: how many processes there are at a time; they compile beside each other,
        and are timed alone.
      site: folder of packages that this Python lacks; None without.
    """

    folder: Path
    small: bool
    minutes: float
    limit: float | None
    at_once: int
    site: Path | None

    def run(self, names: Sequence[str], ended: Callable[[str, Result], None]) -> None:
        """Run parts; `ended` is called with each result."""
        over, running = threading.Event(), {}
        clock = threading.Timer(60 * self.minutes, over.set)
        clock.start()
        with concurrent.futures.ThreadPoolExecutor(self.at_once) as pool:
            try:
                for name in names:
                    before = running.get(PARTS[name].compiled_by)
                    running[name] = pool.submit(self._result, name, before, over)
                by_future = {future: name for name, future in running.items()}
                for future in concurrent.futures.as_completed(by_future):
                    ended(by_future[future], future.result())
            finally:  # also where the user interrupts
                clock.cancel()
                over.set()

    def _result(
        self,
        name: str,
        before: concurrent.futures.Future[Result] | None,
        over: threading.Event,
    ) -> Result:
        if needed := PARTS[name].compiled_by:
            if before is None:
                return {"not_run": f"needs {needed}", "values": {}}
            if "compile" not in before.result()["values"]:
                return {"not_run": f"{needed} did not compile", "values": {}}
        start = time.monotonic()
        reason = self._reason(name, over)
        seconds = time.monotonic() - start
        say(f"{name}: {reason or 'done'} ({seconds:.0f} s)")
        path = values_file(self.folder, name)
        values = files.read_json(path) if path.exists() else {}
        result = {"values": values, "seconds": seconds}
        return {"not_run": reason, **result} if reason else result

    def _reason(self, name: str, over: threading.Event) -> str:
        """Run a process; why it did not complete, or nothing."""
        if over.is_set():
            return self._over()
        say(f"{name}: started")
        log = self.folder / f"{name}.log"
        limit = self.limit or PARTS[name].limit
        command = [sys.executable, "-m", "benchmarks.gpu.worker", name]
        command += [str(self.folder), f"--limit={limit}", *["--small"] * self.small]
        with open(log, "w") as file:
            process = subprocess.Popen(
                command,
                env=self._environment(),
                stdout=file,
                stderr=file,
                process_group=0,
            )
            while process.poll() is None and not over.wait(POLL_SECONDS):
                pass
            with contextlib.suppress(ProcessLookupError):  # also its own processes
                os.killpg(process.pid, signal.SIGKILL)
        if process.returncode is None:
            process.wait()
            return self._over()
        if process.returncode == -signal.SIGALRM:
            return f"over its limit of {limit:g} s"
        if process.returncode:
            say(log.read_text())
            return last_error(log.read_text()) or f"exit code {process.returncode}"
        return ""

    def _over(self) -> str:
        return f"the {self.minutes:g} minutes of all parts were over"

    def _environment(self) -> dict[str, str]:
        known = os.environ.get("PYTHONPATH", "")
        folders = [str(self.site)] * bool(self.site) + [known] * bool(known)
        return {**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(folders)}


def last_error(log: str) -> str:
    """The last line of a log that names an exception, or else its last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.match(line)]
    return (errors or lines or [""])[-1][:LONGEST_REASON]
