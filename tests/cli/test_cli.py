"""The command line: results, exit codes, and errors of one line."""

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from convcore import plot
from convcore.cli import main
from convcore.io import load_file
from convcore.models import get_model
from convcore.training import Trainer
from kernels import threads

ROOT = Path(__file__).parents[2]
TINY = ["--limit", "150", "--batch-size", "32", "--epochs", "2"]


def convcore(*arguments):
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "convcore", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=900,
    )  # fmt: skip


def run(capsys, *arguments):
    """The command in this process: exit code, standard output, standard error."""
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as stop:  # argparse's way
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Batches this small only lose by a second thread."""
    before = threads.get_num_threads()
    threads.set_num_threads(1)
    yield
    threads.set_num_threads(before)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert main(["train", *TINY, "--out", str(out)]) == 0
    return out


def test_help_shows_examples():
    result = convcore("--help")
    assert result.returncode == 0
    assert "convcore train --resume" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    "command", ["train", "finetune", "classify", "features", "weights", "summary", "augment", "warmup"]
)
def test_help_of_every_command(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert f"usage: convcore {command}" in out


def test_version(capsys):
    code, out, _ = run(capsys, "--version")
    assert code == 0
    assert re.fullmatch(r"convcore (\d+\.\d+.*|\(not installed\))\n", out)


def test_errors_are_one_line_without_traceback():
    for arguments in (["summary", "resnet1000"], ["train", "--data", "mnist:/nowhere"], ["frobnicate"]):
        result = convcore(*arguments)
        assert result.returncode == 2
        assert result.stdout == ""
        assert result.stderr.count("\n") == 1
        assert result.stderr.startswith("convcore")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "arguments are required: COMMAND; see convcore --help"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["summary"], "required: MODEL"),
        (["summary", "resnet1000"], "there is no model 'resnet1000'"),
        (["summary", "cnn", "--input", "28x28"], "a shape is written CxHxW, such as 1x28x28, got '28x28'"),
        (["summary", "cnn", "--input", "3x28x28"], "conv2d: input has 3 channels but weight expects 1"),
        (["summary", "cnn", "--batch", "0"], "must be a whole number of at least 1, got '0'"),
        (["train", "--model", "cnm"], "train: error: get_model: there is no model 'cnm'"),
        (["train", "--model", "simple_cnn"], "the model simple_cnn does not fit images of 1x28x28"),
        (["train", "--epochs", "-1"], "argument --epochs"),
        (["train", "--epochs", "many"], "argument --epochs"),
        (["train", "--lr", "0"], "lr must be a positive number"),
        (["train", "--threads", "9999"], "set_num_threads: n must be an integer from 1 to"),
        (["train", "--limit", "20"], "20 training images are too few"),
        (["train", "--data", "letters"], "data must be digits, mnist:FOLDER"),
        (["train", "--data", "mnist:/nowhere"], "/nowhere is not a folder"),
        (["train", "--resume"], "holds no checkpoint.safetensors to resume from"),
    ],
)
def test_wrong_requests(capsys, tmp_path, arguments, message):
    extra = ["--out", tmp_path / "out"] if arguments[:1] == ["train"] else []
    code, out, err = run(capsys, *arguments, *extra)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert "epoch" not in out


def test_damaged_data(capsys, tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(struct.pack(">HBB3I", 0, 8, 3, 5, 28, 28) + b"x")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"")
    code, _, err = run(capsys, "train", "--data", f"mnist:{tmp_path}", "--out", tmp_path / "out")
    assert code == 2
    assert "3,936 bytes; the file has 17" in err
    assert err.count("\n") == 1


def test_folder_that_cannot_be_made(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        code, _, err = run(capsys, "train", "--out", out)
        assert code == 2
        assert str(tmp_path / "file") in err
        assert err.count("\n") == 1


def test_full_disk(capsys, tmp_path, monkeypatch):
    def fail(_descriptor):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", fail)
    code, _, err = run(capsys, "train", *TINY, "--out", tmp_path)
    assert code == 2
    assert "checkpoint.safetensors: cannot be written" in err
    assert "No space left on device" in err
    assert err.count("\n") == 1


def test_train_writes_weights_history_and_curves(capsys, tmp_path, whole_run):
    code, out, err = run(capsys, "train", *TINY, "--out", tmp_path)
    assert code == 0
    assert err == ""
    assert "1,630,282 parameters" in out
    assert re.search(r"epoch  2/2   loss \d\.\d{4}  accuracy .*validation loss", out)
    history = json.loads((tmp_path / "history.json").read_text(encoding="utf-8"))
    assert f"test accuracy {history['test']['accuracy']:.2%} " in out
    assert [entry["epoch"] for entry in history["epochs"]] == [1, 2]
    get_model("cnn").load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    # The same settings write the same bytes.
    for name in ("weights.safetensors", "checkpoint.safetensors", "history.json"):
        assert (tmp_path / name).read_bytes() == (whole_run / name).read_bytes()


def test_without_matplotlib_it_says_how_to_get_curves(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, out, _ = run(capsys, "train", *TINY, "--quiet", "--out", tmp_path)
    assert code == 0
    assert "matplotlib is missing (python -m pip install" in out
    assert "epoch" not in out
    assert not (tmp_path / "curves.png").exists()


def interrupt_in(monkeypatch, epoch):
    """Ctrl-C in the middle of an epoch: after its first weights changed."""
    original = Trainer.train_epoch

    def train_epoch(self, title):
        if len(self.history) + 1 < epoch:
            return original(self, title)
        self.optimizer.step = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
        return original(self, title)

    monkeypatch.setattr(Trainer, "train_epoch", train_epoch)


def test_interrupt_and_resume(capsys, tmp_path, monkeypatch, whole_run):
    with monkeypatch.context() as patch:
        interrupt_in(patch, epoch=2)
        code, _, err = run(capsys, "train", *TINY, "--out", tmp_path)
    assert code == 130
    assert "interrupted in epoch 2\n" in err
    assert f"{tmp_path / 'weights.safetensors'}" in err
    assert f"convcore train --resume --out {tmp_path}" in err
    get_model("cnn").load_state_dict(load_file(tmp_path / "weights.safetensors"))

    code, out, err = run(capsys, "train", "--resume", "--out", tmp_path, "--lr", "0.5")
    assert code == 2
    assert "was started with --lr 0.002, which a resume cannot change to 0.5" in err

    code, out, _ = run(capsys, "train", "--resume", "--out", tmp_path, "--epochs", "2")
    assert code == 0
    assert "resumed after epoch 1" in out
    for name in ("weights.safetensors", "checkpoint.safetensors", "history.json"):
        assert (tmp_path / name).read_bytes() == (whole_run / name).read_bytes()


def test_training_compiles_nothing_after_the_warm_up(tmp_path):
    program = f"""
from convcore.cli import main
from convcore.cli.commands import train
from kernels.launch import kernels

def compiled():
    return sum(len(kernel.entry.signatures) for kernel in kernels)

counts = []
original = train.compile_kernels
def compile_kernels(*arguments):
    counts.append(compiled())
    original(*arguments)
    counts.append(compiled())

train.compile_kernels = compile_kernels
assert main(["train", "--quiet", "--threads", "1", *{TINY}, "--out", r"{tmp_path}"]) == 0
assert counts[0] == 0, counts
assert counts[1] == compiled() > 10, (counts, compiled())
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr


def test_colour_images(capsys, tmp_path):
    record = np.random.default_rng(0).integers(0, 10, (40, 3073), dtype=np.uint8)
    for name in [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]:
        (tmp_path / name).write_bytes(record.tobytes())
    options = ["--data", f"cifar10:{tmp_path}", "--model", "simple_cnn", *TINY, "--quiet", "--out", tmp_path / "out"]
    code, out, err = run(capsys, "train", *options)
    assert (code, err) == (0, "")
    assert "of 40 images" in out


def test_resume_of_a_complete_run_only_tests(capsys, tmp_path, whole_run):
    before = (whole_run / "history.json").read_bytes()
    code, out, _ = run(capsys, "train", "--resume", "--out", whole_run)
    assert code == 0
    assert "resumed after epoch 2" in out
    assert "test accuracy" in out
    assert (whole_run / "history.json").read_bytes() == before


def test_interrupt_in_the_first_epoch(capsys, tmp_path, monkeypatch):
    interrupt_in(monkeypatch, epoch=1)
    code, _, err = run(capsys, "train", *TINY, "--out", tmp_path)
    assert code == 130
    assert "nothing to keep" in err
    assert list(tmp_path.iterdir()) == []


def test_summary(capsys):
    code, out, _ = run(capsys, "summary", "simple_cnn", "--input", "3x32x32", "--batch", "4")
    assert code == 0
    assert "SimpleCNN, input 4x3x32x32" in out
    assert "129,290" in out


def test_interrupt_elsewhere(capsys, monkeypatch):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("convcore.cli.commands.summary.summary", interrupted)
    code, _, err = run(capsys, "summary", "cnn")
    assert (code, err) == (130, "convcore summary: interrupted\n")


def test_warmup_runs_the_models_that_are_asked_for(capsys, monkeypatch):
    warmed = []

    def note(model, shape, report):
        warmed.append((type(model).__name__, shape))

    monkeypatch.setattr("convcore.cli.commands.warmup.warm_up", note)
    code, out, _ = run(capsys, "warmup")
    assert code == 0
    assert warmed == [("CNN", (1, 28, 28)), ("SimpleCNN", (3, 224, 224))]
    assert run(capsys, "warmup", "mobilenet_v2")[0] == 0
    assert warmed[2:] == [("MobileNetV2", (3, 224, 224))]
    assert re.search(r"kernels are ready after .* s, kept in ", out)


def test_curves_draw_loss_and_accuracy(tmp_path):
    names = ("loss", "accuracy", "validation_loss", "validation_accuracy")
    plot.training_curves([{"epoch": e, **dict.fromkeys(names, 1 / e)} for e in (1, 2, 3)], tmp_path / "c.svg")
    text = (tmp_path / "c.svg").read_text(encoding="utf-8")
    assert "<svg" in text
