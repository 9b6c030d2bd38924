"""The folder of a run: one run at a time, and what is in it belongs together whenever the run was stopped."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from test_trainer import EPOCHS, FILES, follow, interrupt_at, make_trainer

from convcore.errors import BusyError, CheckpointError
from convcore.io import files, load_file
from convcore.training import run_lock
from convcore.training import trainer as trainer_module
from convcore.training.run_lock import LOCK, only_run

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from convcore.training.run_lock import only_run
with only_run(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_second_run_is_refused_and_told_which_process_is_there(tmp_path, holder):
    trainer = make_trainer(tmp_path)
    with pytest.raises(BusyError, match=rf"another run uses this folder \(process {holder.pid} on .*: -c .*another fo"):
        trainer.fit(1)
    assert set(contents(tmp_path)) == {LOCK}


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_the_lock_dies_with_its_process(tmp_path, holder, name):
    os.kill(holder.pid, getattr(signal, name))
    holder.wait()
    assert (tmp_path / LOCK).exists(), "nobody has tidied up"
    make_trainer(tmp_path).fit(1)
    assert sorted(contents(tmp_path)) == sorted(FILES)


def test_threads_of_one_process_are_kept_apart_too(tmp_path):
    errors = []

    def second():
        try:
            make_trainer(tmp_path).fit(1)
        except BusyError as error:
            errors.append(str(error))

    with only_run(tmp_path), only_run(tmp_path / "."):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(errors) == 1
    assert f"process {os.getpid()} " in errors[0]
    with only_run(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_file_was_removed_keeps_nobody_out_and_is_not_kept(tmp_path, monkeypatch):
    """Between opening and locking, the last holder removed the file: the second try is at a new one."""
    lock, tries = run_lock._lock, []

    def removed_first(file):
        if not tries:
            os.remove(file.name if isinstance(file.name, str) else tmp_path / LOCK)
        tries.append(file)
        return lock(file)

    monkeypatch.setattr(run_lock, "_lock", removed_first)
    with only_run(tmp_path):
        assert (tmp_path / LOCK).exists()
        assert len(tries) == 2


def test_many_processes_at_once(tmp_path):
    """Each adds one to a number in a file: without the lock some additions are lost."""
    program = """
import sys, time
from pathlib import Path
from convcore.errors import BusyError
from convcore.training.run_lock import only_run
folder, done = Path(sys.argv[1]), 0
while done < 40:
    try:
        with only_run(folder):
            count = int((folder / "count").read_text())
            time.sleep(0.0005)
            (folder / "count").write_text(str(count + 1))
            done += 1
    except BusyError:
        time.sleep(0.0005)
"""
    (tmp_path / "count").write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT) for _ in range(3)]
    assert [process.wait(300) for process in processes] == [0, 0, 0]
    assert contents(tmp_path) == {"count": b"120"}


def test_a_drive_without_locks_is_said(tmp_path, monkeypatch):
    import fcntl

    def no_locks(file, operation):
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.warns(RuntimeWarning, match="nothing keeps a second run out of this folder"), only_run(tmp_path):
        pass


class Killed(BaseException):
    """What no program catches."""


def kill_at_write(monkeypatch, number):
    """Let the process die as it gives the `number`-th new file its name."""
    replace, writes = os.replace, iter(range(10**6))

    def dying(*paths):
        if next(writes) == number:
            raise Killed
        replace(*paths)

    monkeypatch.setattr(files.os, "replace", dying)


def start_over(folder):
    """A run with other settings in the same folder."""
    other = make_trainer(folder, lr=0.01)
    for parameter in other.model.parameters():
        parameter.data = parameter.detach() * 0.5
    return other


@pytest.mark.parametrize("write", range(6))
def test_a_run_killed_at_any_write_can_be_resumed_bit_for_bit(tmp_path, monkeypatch, write):
    whole = tmp_path / "whole"
    stopped = tmp_path / "stopped"
    for folder in (whole, stopped):
        folder.mkdir()
    make_trainer(whole).fit(EPOCHS)
    with monkeypatch.context() as patch:
        kill_at_write(patch, write)
        with pytest.raises(Killed):
            make_trainer(stopped).fit(EPOCHS)
    resumed = make_trainer(stopped)
    if write > 0:
        resumed.resume()
    resumed.fit(EPOCHS)
    assert contents(stopped) == contents(whole)


@pytest.mark.parametrize("write", [0, 1, 2])
def test_an_earlier_run_is_whole_until_the_new_one_is(tmp_path, monkeypatch, write):
    """A new run is killed at its first, second or third file: what can be resumed is all of one run."""
    make_trainer(tmp_path).fit(2)
    before = contents(tmp_path)
    first_weights = {name: tensor.numpy() for name, tensor in load_file(tmp_path / FILES[0]).items()}
    with monkeypatch.context() as patch:
        kill_at_write(patch, write)
        with pytest.raises(Killed):
            start_over(tmp_path).fit(2)
    if write == 0:
        assert contents(tmp_path) == before
        return
    alone = tmp_path / "alone"
    alone.mkdir()
    start_over(alone).fit(2)
    resumed = start_over(tmp_path)
    resumed.resume()
    assert [entry["epoch"] for entry in resumed.history] == [1]
    resumed.load_best()
    for name, tensor in resumed.model.state_dict().items():
        assert not np.array_equal(tensor.numpy(), first_weights[name])
    resumed.fit(2)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == contents(alone)


def test_an_interrupted_epoch_touches_nothing_of_an_earlier_run(tmp_path):
    make_trainer(tmp_path).fit(2)
    before = contents(tmp_path)
    other = start_over(tmp_path)
    interrupt_at(other, 2)
    with pytest.raises(KeyboardInterrupt):
        other.fit(2)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("change", ["gone", "another run's", "cut short"])
def test_weights_of_another_run_are_not_taken_for_the_best(tmp_path, monkeypatch, change):
    follow([0.3, 0.5], monkeypatch)
    make_trainer(tmp_path).fit(2)
    weights = tmp_path / "weights.safetensors"
    if change == "gone":
        weights.unlink()
    elif change == "cut short":
        weights.write_bytes(weights.read_bytes()[:-4])
    else:
        (tmp_path / "other").mkdir()
        follow([0.3], monkeypatch)
        start_over(tmp_path / "other").fit(1)
        weights.write_bytes((tmp_path / "other" / "weights.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"weights.safetensors does not hold the weights of epoch 1, the b"):
        make_trainer(tmp_path).resume()


def test_an_interrupt_between_the_files_waits_for_all_three(tmp_path, monkeypatch):
    save_weights, pressed = trainer_module.Trainer._save_weights, []

    def interrupted(self):
        if not pressed:
            pressed.append(time.monotonic())
            raise KeyboardInterrupt
        save_weights(self)

    monkeypatch.setattr(trainer_module.Trainer, "_save_weights", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path).fit(EPOCHS)
    (tmp_path / "alone").mkdir()
    make_trainer(tmp_path / "alone").fit(1)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == contents(tmp_path / "alone")
