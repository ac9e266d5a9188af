"""What is shown while something lasts: progress by time, and no long silence."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from tqdm import tqdm

from difnas_jax.runtime import metrics
from difnas_jax.runtime.processes import is_main_process

# Seconds between two lines of progress, and between two looks of a bar in a terminal.
BETWEEN_LINES, BETWEEN_LOOKS = 8.0, 1.0
# Seconds without a line after which one says what is being done.
SILENCE = 9.5

Values = Callable[[], Mapping[str, str]]


class _Work:
    """Something that is being done, since it began."""

    def __init__(self, what: str) -> None:
        self.what, self.start = what, time.monotonic()


_under_way: list[_Work] = []  # the innermost last


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Say what is being done, and for how long, whenever nothing else is shown.

    The outermost call starts the thread that watches the silence, and ends it.

    Args:
      what: is done inside, such as `reading the data`.
    """
    work = _Work(what)
    _under_way.append(work)
    with _watched() if len(_under_way) == 1 else contextlib.nullcontext():
        try:
            yield
        finally:
            _under_way.remove(work)


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    metrics.shown()  # the silence before does not count
    over = threading.Event()
    watch = threading.Thread(target=_break_silence, args=(over,), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _break_silence(over: threading.Event) -> None:
    while not over.wait(max(SILENCE - metrics.seconds_of_silence(), 0.01)):
        for work in _under_way[-1:]:
            if metrics.seconds_of_silence() >= SILENCE:
                metrics.say(f"{work.what} for {time.monotonic() - work.start:.0f} s")


class _Bar(tqdm):
    """A bar that needs no thread to be looked after; others of the process keep it."""

    monitor_interval = 0


class Progress:
    """A bar in a terminal, plain lines elsewhere, with rate and remaining time."""

    def __init__(self, title: str, total: int, done: int, unit: str) -> None:
        """Start.

        Args:
          title: of the work.
          total: number of units of work.
          done: units that an earlier process did.
          unit: the name of several of them.
        """
        self._title, self._total, self._unit = title, total, unit
        self.done = self._first = done
        self._start: float | None = None
        self._looked = time.monotonic()
        hidden = not (sys.stderr.isatty() and is_main_process())
        self._bar = _Bar(
            total=total, initial=done, desc=title, disable=hidden, dynamic_ncols=True
        )

    def step(self, units: int = 1, values: Values = dict) -> None:
        """Count, and show the progress where that was not done for some seconds.

        The clock of the rate starts after the first call, which compiles.

        Args:
          units: that were done.
          values: what to show of them, by name; called only where it is shown.
        """
        self.done += units
        now = time.monotonic()
        if self._start is None:
            self._start, self._first = now, self.done
        self._bar.update(units)
        between = BETWEEN_LINES if self._bar.disable else BETWEEN_LOOKS
        if now - self._looked >= between:
            self._show(values())

    def finish(self, values: Values = dict) -> None:
        """Show the progress a last time, and leave the bar on the screen."""
        self._show(values())
        self._bar.close()

    def _show(self, values: Mapping[str, str]) -> None:
        self._looked = time.monotonic()
        fields = [f"{name} {text}" for name, text in values.items()]
        if self._bar.disable:
            line = f"{self._title} {self.done}/{self._total}"
            metrics.say("  ".join([line, *fields, *self._pace()]))
        else:  # a bar shows its pace by itself
            self._bar.set_postfix_str("  ".join(fields))
            metrics.shown()

    def _pace(self) -> list[str]:
        """The rate and, unless all is done, the remaining time; once they are known."""
        since = self.done - self._first
        if self._start is None or not since:
            return []
        rate = since / max(time.monotonic() - self._start, 1e-9)
        left = self._total - self.done
        eta = [f"eta {tqdm.format_interval(left / rate)}"] if left else []
        return [f"{rate:.3g} {self._unit}/s", *eta]
