"""Nothing is lost: checkpoints, signals, a full disk, and what must not be loaded.

Training is faked where only what surrounds it matters.
"""

import contextlib
import errno
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import types
from importlib.util import find_spec
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from event_files import events
from jobs import fill

from difnas_jax.config import default
from difnas_jax.errors import InputError, Stopped, TrainingError
from difnas_jax.runtime import files, locks, shutdown
from difnas_jax.runtime.checkpoint import Checkpoints
from difnas_jax.runtime.shutdown import exit_code
from difnas_jax.training.log import Health, TrainingLog
from difnas_jax.training.measurements import Measurements
from difnas_jax.training.steps import TrainState
from difnas_jax.training.train import fit, restored
from difnas_jax.training.updates import Updates

ROOT = Path(__file__).parents[1]
TIMES = ("images_per_second", "data_wait")


class Batches:
    """Numbers for batches."""

    batch_size = 1
    split = types.SimpleNamespace(workers=0)

    def __getitem__(self, step):
        return {"number": step}


def counting(losses):
    """An update that adds the batch to its state, and has the given losses."""

    def train_step(state, batch, paths):
        total = state.variables["params"]["total"] + batch
        loss = losses[batch]
        metrics = {"loss": jnp.asarray(loss), "accuracy": jnp.asarray(batch / 7)}
        variables = {"params": {"total": total}, "frozen": {}, "batch_stats": {}}
        optimizer = {"last": jnp.asarray(batch)}
        seen = {"losses": state.memory["losses"].at[state.step].set(loss)}
        return TrainState(state.step + 1, variables, optimizer, seen), metrics

    return train_step


def views(params, draws):
    """What TensorBoard shows of the state."""
    return {"scalars": {"total": float(params["total"]), "draws": float(draws)}}


MEASUREMENTS = Measurements(views=views)


def trained(folder, losses, **changes):
    """Train in a folder from its newest checkpoint on, with a checkpoint every 4."""
    settings = default().retrain
    settings.update(log_every=2, checkpoint_every=4, spike_factor=5.0, **changes)
    zero = {"params": {"total": jnp.asarray(0)}, "frozen": {}, "batch_stats": {}}
    memory = {"losses": jnp.zeros((len(losses), 1))}
    start = TrainState(jnp.asarray(0), zero, {"last": jnp.asarray(0)}, memory)
    updates = Updates(
        total=len(losses),
        train_step=counting(losses),
        paths=lambda step, memory: jnp.asarray(0),
        batches=Batches(),  # type: ignore
        to_devices=lambda batch: batch["number"],
    )
    with Checkpoints(folder / "checkpoints", 2) as checkpoints:
        state, unwritten = restored(start, checkpoints)
        steps = range(int(state.step), len(losses))
        log = TrainingLog(folder, settings, steps, images=1, unwritten=unwritten)
        return fit(state, updates, log, checkpoints, settings, MEASUREMENTS)


def rows(folder):
    """The rows of metrics without times."""
    return [
        {name: value for name, value in row.items() if name not in TIMES}
        for row in files.read_json_lines(folder / "metrics.jsonl")
    ]


def shown(folder):
    """The events without times, where they are written."""
    if not find_spec("tensorboardX"):
        return []
    found = [event for event in events(folder) if event[1] not in TIMES]
    assert len(found) > len(rows(folder))
    return found


def saved(folder):
    """The steps that are saved."""
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir())


def damage(checkpoint, change):
    """Change the largest file of the arrays of a checkpoint."""
    paths = filter(Path.is_file, checkpoint.rglob("variables/**/d/*"))
    path = max(paths, key=lambda path: path.stat().st_size)
    path.write_bytes(change(path.read_bytes()))


def flipped(content):
    """One bit in the middle."""
    half = len(content) // 2
    return content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]


DAMAGES = {"truncated": lambda c: c[:10], "flipped": flipped, "empty": lambda c: b""}


@pytest.mark.parametrize("number", shutdown.SIGNALS)
@pytest.mark.parametrize("after", [0, 3, 4, 9])
def test_a_signal_saves_after_the_update_and_nothing_differs(
    tmp_path, monkeypatch, number, after
):
    losses = np.linspace(2.0, 1.0, 10).tolist()
    whole = trained(tmp_path / "whole", losses)
    wait_for = TrainingLog.wait_for

    def signalled(self, batches):
        batch = wait_for(self, batches)
        if batch == after:
            os.kill(os.getpid(), number)
        return batch

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLog, "wait_for", signalled)
        with shutdown.handle_signals(), pytest.raises(Stopped, match=str(after + 1)):
            trained(tmp_path / "cut", losses)
    assert saved(tmp_path / "cut")[-1] == after + 1
    again = trained(tmp_path / "cut", losses)
    assert again.variables == whole.variables and again.optimizer == whole.optimizer
    assert again.step == whole.step
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    assert shown(tmp_path / "cut") == shown(tmp_path / "whole")


@pytest.mark.parametrize("change", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    tmp_path, capsys, change
):
    losses = [1.0] * 12
    whole = trained(tmp_path, losses)
    assert saved(tmp_path) == [8, 12]
    damage(tmp_path / "checkpoints" / "12", change)
    capsys.readouterr()
    again = trained(tmp_path, losses)
    first, second = capsys.readouterr().out.splitlines()[:2]
    # Before Orbax reads, as what it leaves behind would be heard of later.
    assert "checkpoints/12: expected a checkpoint" in first and "skipped" in first
    assert "variables are not what was saved" in first
    assert second == f"continuing from step 8 in {tmp_path / 'checkpoints'}"
    assert again.variables == whole.variables and saved(tmp_path) == [8, 12]


def test_no_readable_checkpoint_is_an_error_and_never_a_new_start(tmp_path):
    trained(tmp_path, [1.0] * 8)
    for step in (4, 8):
        damage(tmp_path / "checkpoints" / str(step), flipped)
    before = rows(tmp_path)
    with pytest.raises(InputError, match="none of 8, 4 can; delete this folder"):
        trained(tmp_path, [1.0] * 8)
    assert saved(tmp_path) == [4, 8] and rows(tmp_path) == before


def test_an_error_of_the_disk_may_pass_and_removes_nothing(tmp_path, monkeypatch):
    trained(tmp_path, [1.0] * 8)

    def failing(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(files, "checksum", failing)
        with pytest.raises(OSError, match="Input/output error"):
            trained(tmp_path, [1.0] * 8)
    assert saved(tmp_path) == [4, 8]


@pytest.mark.parametrize(("bad", "says"), [(np.nan, "not finite"), (9.0, "jumps from")])
@pytest.mark.parametrize("step", [4, 5, 6])
def test_a_bad_loss_stops_before_it_is_saved(tmp_path, bad, says, step):
    losses = [1.5] * 12
    losses[step] = bad
    window = {4: "5 to 6", 5: "5 to 6", 6: "7 to 8"}[step]
    message = f"{says}.* in steps {window}; .*checkpoints: the last good one is 4"
    with pytest.raises(TrainingError, match=message):
        trained(tmp_path, losses)
    assert saved(tmp_path) == [4] and rows(tmp_path)[-1]["step"] == int(window[0]) - 1


def test_a_bad_loss_is_not_saved_for_a_signal_either(tmp_path):
    with (
        shutdown.handle_signals(),
        pytest.raises(TrainingError, match="steps 1 to 1; .*no"),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        trained(tmp_path, [np.inf] * 4)
    assert saved(tmp_path) == []


def test_what_is_a_jump():
    def bad(losses, factor=5.0):
        try:
            Health(factor).check([{"loss": loss} for loss in losses], 1, "")
        except TrainingError:
            return True
        return False

    assert bad([2.0] * 9 + [10.1]) and not bad([2.0] * 9 + [9.9])
    assert not bad([100.0, 2.0, 2.0])  # a high start is none
    assert bad([2.0, 2.0, 100.0, 100.0]) and not bad([2.0, 100.0], factor=0)
    assert not bad([0.01] * 9 + [4.9]) and bad([0.01] * 9 + [5.1])
    assert bad([*[9.0] * 100, *[1.0] * 51, 6.0])  # only the last 100 count


def test_signals_are_left_as_they_were():
    before = [signal.getsignal(number) for number in shutdown.SIGNALS]
    with shutdown.handle_signals():
        assert not shutdown.stop_requested()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert shutdown.stop_requested()
        with pytest.raises(Stopped):
            shutdown.raise_if_stop_requested()
    assert [signal.getsignal(number) for number in shutdown.SIGNALS] == before
    with shutdown.handle_signals():
        assert not shutdown.stop_requested()  # the next run was not asked


def test_outside_of_the_main_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGTERM)

    def work():
        with shutdown.handle_signals():
            found.append(signal.getsignal(signal.SIGTERM))

    found = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]


TWO_PROCESSES = """
import os, signal, sys, jax
from difnas_jax.runtime import shutdown
number = int(sys.argv[2])
jax.distributed.initialize(f"localhost:{sys.argv[1]}", 2, number)
with shutdown.handle_signals():
    for turn in range(1, 100):
        if number == 1 and turn == 3:
            os.kill(os.getpid(), getattr(signal, sys.argv[3]))
        if shutdown.stop_requested(turn):
            print(turn, flush=True)  # not lost if the libraries break at the exit
            break
"""


def test_two_processes_stop_at_the_same_step():
    """Only one of them gets the signal."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_PROCESSES, str(port), str(number), "SIGTERM"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    # Gloo has its say, too.
    turns = [[line for line in o.splitlines() if line.isdecimal()] for o in outputs]
    codes = [process.returncode for process in processes]
    assert turns == [[str(shutdown.AGREE_EVERY)]] * 2, (codes, outputs)


def test_exit_codes(capsys):
    def raising(error):
        def work():
            raise error

        code = exit_code(work)
        (line,) = capsys.readouterr().err.splitlines()
        return code, line

    assert raising(InputError("x")) == (2, "error: x")
    assert raising(TrainingError("x")) == (1, "error: x")
    assert raising(Stopped("x is saved")) == (
        75,
        "x is saved; the same command continues",
    )
    code, line = raising(OSError(28, "No space left on device", "a/b"))
    assert code == 1 and line.startswith("error: a/b: expected space")
    assert raising(KeyboardInterrupt())[0] == 130
    code, line = raising(PermissionError(13, "no", "a/b"))
    assert code == 1 and line.startswith("error: a/b: expected a file")
    with pytest.raises(FileNotFoundError):  # a defect of this program
        raising(FileNotFoundError(2, "none", "a/b"))


def test_training_goes_on_after_space_is_made(small_disk, monkeypatch, capsys):
    """The disk fills up between two checkpoints."""
    losses = [1.0] * 12
    whole = trained(small_disk.parent / "whole", losses)
    save, fillers = Checkpoints.save, []

    def filling(self, step, *window, **parts):
        if step == 8:
            self._manager.wait_until_finished()
            fillers.append(fill(small_disk))
        save(self, step, *window, **parts)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", filling)
        assert exit_code(lambda: trained(small_disk, losses) and None) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"error: {small_disk}") and "the disk is full" in last
    fillers[0].unlink()
    again = trained(small_disk, losses)
    assert "continuing from step 4" in capsys.readouterr().out
    assert again.variables == whole.variables
    assert rows(small_disk) == rows(small_disk.parent / "whole")


@contextlib.contextmanager
def files_of_at_most(size):
    """As after `ulimit -f`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# Orbax leaves other writes behind when one fails, and these find its loop closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("limit", [64, 500, 1500])
def test_a_limit_of_file_sizes_is_one_line(tmp_path, capsys, limit):
    """Whichever file is the first that it hits."""
    losses = [1.0] * 40
    with files_of_at_most(limit):
        assert exit_code(lambda: trained(tmp_path, losses) and None) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path}/") and "(File too large); mend" in line
    trained(tmp_path, losses)


def test_a_link_that_leads_nowhere_is_one_line(tmp_path, capsys):
    (tmp_path / "checkpoints").symlink_to(tmp_path / "moved")
    assert exit_code(lambda: trained(tmp_path, [1.0] * 4) and None) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path}/checkpoints: expected a file or folder")


def test_the_lock_goes_with_its_process(tmp_path):
    """Also with one that is killed."""
    code = "import sys, time, pathlib; from difnas_jax.runtime import locks\n"
    code += "with locks.locked(pathlib.Path(sys.argv[1])): print(flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None and holder.stdout.readline()
    with pytest.raises(InputError, match=f"in use by process {holder.pid} on "):
        with locks.locked(tmp_path):
            pass
    holder.kill()
    holder.communicate()
    with locks.locked(tmp_path):
        pass
