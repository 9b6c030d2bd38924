"""`convcore train` and `finetune` in folders that hold a run already, and two of them at once."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_cli import TINY, interrupt_in, run

from convcore.training import run_lock

ROOT = Path(__file__).parents[2]
FILES = ("weights.safetensors", "checkpoint.safetensors", "history.json")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory):
    """The files of a run of three epochs that was stopped in the second."""
    out = tmp_path_factory.mktemp("runs") / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        interrupt_in(patch, epoch=2)
        from convcore.cli import main

        assert main(["train", *TINY, "--epochs", "3", "--quiet", "--out", str(out)]) == 130
    return contents(out)


@pytest.fixture
def out(tmp_path, stopped_run):
    for name, data in stopped_run.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize("command", [["train", *TINY], ["finetune", str(ROOT)]])
@pytest.mark.parametrize("left", FILES)
def test_the_same_command_again_is_refused(capsys, out, command, left):
    """By what any one of the files tells."""
    for name in FILES:
        if name != left:
            (out / name).unlink()
    before = contents(out)
    code, _, err = run(capsys, *command, "--out", out)
    assert code == 2
    assert f"{out} holds a run already ({left}): --resume goes on with it, --overwrite replaces it" in err
    assert err.count("\n") == 1
    assert contents(out) == before


def test_a_run_that_is_to_replace_another_keeps_it_until_its_first_epoch_is_whole(
    capsys, out, monkeypatch, stopped_run
):
    with monkeypatch.context() as patch:
        interrupt_in(patch, epoch=1)
        code, _, err = run(capsys, "train", *TINY, "--seed", "1", "--overwrite", "--out", out)
    assert code == 130
    assert err == (
        f"interrupted before the first epoch was complete: nothing to keep; the earlier run in {out} is as it was\n"
    )
    assert contents(out) == stopped_run
    code, said, _ = run(capsys, "train", "--resume", "--out", out)
    assert code == 0
    assert "resumed after epoch 1" in said
    code, said, _ = run(capsys, "train", *TINY, "--seed", "1", "--overwrite", "--out", out)
    assert code == 0
    assert "resumed" not in said
    code, _, err = run(capsys, "train", "--resume", "--seed", "0", "--out", out)
    assert (code, "was started with --seed 1" in err) == (2, True)


def test_resume_and_overwrite_exclude_each_other(capsys, out):
    code, _, err = run(capsys, "train", "--resume", "--overwrite", "--out", out)
    assert (code, err.count("\n")) == (2, 1)
    assert "--overwrite: not allowed with argument --resume" in err


@pytest.mark.parametrize(
    "arguments", [["train", *TINY], ["train", "--resume"], ["train", *TINY, "--overwrite"], ["finetune", "--resume"]]
)
def test_the_second_run_in_a_folder_is_refused(capsys, out, arguments):
    before = contents(out)
    holder = subprocess.Popen(
        [sys.executable, "-m", "convcore", "train", "--resume", "--out", str(out)],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        while not (out / run_lock.LOCK).exists() or not (out / run_lock.LOCK).read_bytes():
            assert holder.poll() is None, holder.communicate()
            time.sleep(0.01)
        holder.send_signal(signal.SIGSTOP)  # it is stopped where it is, and still holds the folder
        code, _, err = run(capsys, *arguments, "--out", out)
    finally:
        holder.kill()
        holder.communicate()
    assert code == 2
    assert re.search(rf"another run uses this folder \(process {holder.pid} on .* train --resume --out", err)
    assert err.count("\n") == 1
    (out / run_lock.LOCK).unlink()
    assert contents(out) == before


def test_what_a_killed_run_left_half_written_is_removed(capsys, out):
    """And nothing else: not what other programs write there."""
    (out / "checkpoint.safetensors.0a1b2c3d.tmp").write_bytes(b"half of it")
    (out / "notes.tmp").write_text("mine")
    assert run(capsys, "train", "--resume", "--quiet", "--out", out)[0] == 0
    assert sorted(contents(out)) == sorted([*FILES, "curves.png", "notes.tmp"])


def test_a_refused_run_leaves_no_folder(capsys, tmp_path):
    for arguments in (["--resume"], ["--limit", "20"], ["--data", f"mnist:{tmp_path}"], ["--lr", "-1"]):
        code, _, _ = run(capsys, "train", *arguments, "--out", tmp_path / "a" / "b")
        assert code == 2
        assert list(tmp_path.iterdir()) == []
