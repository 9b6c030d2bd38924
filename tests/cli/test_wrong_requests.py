"""Whatever is asked of the commands: one line on standard error and exit code 1 or 2, never a traceback."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_cli import run

import convcore as cc
from convcore.cli import main
from convcore.data import CIFAR10_CLASSES
from convcore.errors import ShapeError
from convcore.models import get_model
from kernels.cache import cache_directory

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """By name: things that people give to commands by mistake."""
    folder = tmp_path_factory.mktemp("files")
    made = {
        name: folder / name for name in ("picture.png", "empty.png", "text.jpg", "thin.png", "huge.png", "plain.st")
    }
    Image.fromarray(np.arange(40 * 30 * 3, dtype=np.uint8).reshape(40, 30, 3)).save(made["picture.png"])
    made["empty.png"].write_bytes(b"")
    made["text.jpg"].write_text("no picture")
    Image.new("1", (1, 65_000)).save(made["thin.png"])
    Image.new("1", (12_000, 12_000)).save(made["huge.png"])
    cc.io.save_file(get_model("cnn").state_dict(), made["plain.st"])
    (folder / "folder").mkdir()
    (folder / "classes" / "a").mkdir(parents=True)
    (folder / "classes" / "a" / "1.png").write_bytes(made["picture.png"].read_bytes())
    (folder / "dangling").symlink_to(folder / "nothing")
    (folder / "loop").symlink_to(folder / "loop")
    return folder


HUGE = "9" * 400
LONG = "x" * 5000
NUMBERS = ("-1", "0", "x", "", "1.5", "nan", "inf", "²", HUGE, "9" * 5000, "--", "1e9")
PATHS = (
    "nowhere",
    "",
    LONG,
    "dangling",
    "loop",
    "folder",
    "empty.png",
    "text.jpg",
    "/dev/full/x",
    "~nobody_here/x",
    "a\nb",
)


def requests():
    """The wrong requests: tuples of arguments, names of files as they are in the folder."""
    train = ("train", "--limit", "150", "--batch-size", "32", "--epochs", "1", "--quiet")
    for option in ("--epochs", "--batch-size", "--limit", "--threads"):
        yield from ((*train, option, value) for value in NUMBERS)
    for value in NUMBERS:
        if value != "0":
            yield *train, "--seed", value
        if value not in ("1.5", "1e9"):  # these train, and diverge
            yield *train, "--lr", value
    for value in ("", "x", "mnist", "mnist:", "digits:x", ":", "cifar10:~nobody_here/x", "mnist:\n"):
        yield *train, "--data", value
    yield from ((*train, "--data", f"mnist:{path}") for path in PATHS)
    yield from ((*train, "--data", f"cifar10:{path}") for path in PATHS)
    for model in ("", "x", "simple_cnn", "resnet18", "googlenet", "vit_b_32", "../cnn", LONG, "\udce9"):
        yield *train, "--model", model
    yield from (
        (*train, "--out", path) for path in ("", "picture.png", "picture.png/x", "/proc/x", "/dev/null", LONG, "loop")
    )
    yield from (("train", "--resume", "--out", path) for path in PATHS)
    yield "train", "--resume", "--overwrite"
    yield "train", "extra"

    for path in (*PATHS, "folder", "classes", "picture.png"):
        yield "finetune", path, "--out", "o"
    yield from (("finetune", "classes", "--test", path, "--out", "o") for path in PATHS)
    yield from (
        ("finetune", "classes", "--weights", path, "--out", "o") for path in (*PATHS, "plain.st", "picture.png")
    )
    for option in ("--size", "--epochs", "--fine-epochs", "--unfreeze", "--batch-size", "--patience", "--lr", "--seed",
                   "--backbone-lr", "--validation"):  # fmt: skip
        yield from (("finetune", "classes", option, value, "--out", "o") for value in NUMBERS)
    yield "finetune", "classes", "--size", "100000", "--out", "o"
    yield "finetune", "--resume", "--out", "folder"

    for path in (*PATHS, "huge.png"):
        yield "classify", path
        yield "features", path, "-o", "f.npz"
        yield "augment", path
        yield "show", "maps", "digit_cnn", path, "-o", "o.png"
    for weights in (*PATHS, "plain.st", "picture.png", "IMAGENET9", "cnn"):
        yield "classify", "picture.png", "--weights", weights
        yield "features", "picture.png", "-o", "f.npz", "--weights", weights
        yield "show", "filters", "digit_cnn", "--weights", weights
        yield "explore", "--no-browser", "--weights", weights
    for value in NUMBERS:
        yield "classify", "picture.png", "--top", value
        yield "features", "picture.png", "-o", "f.npz", "--batch-size", value
        yield "augment", "picture.png", "--size", value
        yield "augment", "picture.png", "--columns", value
        yield "summary", "cnn", "--batch", value
        yield "summary", "cnn", "--input", f"{value}x28x28"
        if value not in ("0",):
            yield "augment", "picture.png", "--seed", value
            yield "explore", "--no-browser", "--port", value
        yield "show", "gradcam", "digit_cnn", "picture.png", "--class", value if value != "0" else "10"
    for size in ("1", "15", "1025", "100000"):
        yield "augment", "picture.png", "--size", size
    for out in (
        "folder",
        "sheet",
        "sheet.xyz",
        "nowhere/s.png",
        "/dev/full/s.png",
        "",
        LONG,
        "loop",
        "picture.png/s.png",
    ):
        yield "augment", "picture.png", "--out", out
        yield "show", "filters", "digit_cnn", "-o", out
        yield "features", "picture.png", "-o", out
    yield "features", "picture.png", "-o", "folder/"
    yield "features", "classes", "folder", "-o", "f.npz"
    for shape in ("", "x", "3x3", "0x1x1", "3x30000x30000", "1x1x1", "1x100000000x1", "3x28x28", "1x28x28x1"):
        yield "summary", "cnn", "--input", shape
    for model in ("", "x", "folder", "plain.st", "picture.png", "dangling", LONG, "a\nb", "\udce9"):
        yield "summary", model
        yield "warmup", model
        yield "show", "filters", model
        yield "weights", model
        yield "weights", "--download", model
    for what in ("", "x", "maps", "gradcam"):
        yield "show", what, "digit_cnn"
    for layer in ("", "x", "classifier.0", "$\\frac", "\udce9", "a\nb"):
        for what in ("maps", "gradcam"):
            yield "show", what, "digit_cnn", "picture.png", "--layer", layer or "y", "-o", "o.png"
    yield ()
    yield ("",)
    yield ("\udce9",)
    yield ("classify",)
    yield "classify", "picture.png", "--nonsense\nx"


COMMANDS = (
    "train", "finetune", "classify", "features", "augment", "show", "summary", "warmup", "weights", "explore", None,
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_wrong_request_is_one_line(capsys, files, monkeypatch, command):
    """And nothing is written: not even a folder is left."""
    monkeypatch.chdir(files)
    monkeypatch.setenv("CONVCORE_WEIGHTS", str(files / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(files / "torch"))
    given: list[Any] = list(requests())
    asked = [request for request in given if (request[0] if {*request[:1]} & {*COMMANDS} else None) == command]
    assert asked
    before = sorted(files.rglob("*"))
    wrong = []
    for request in asked:
        out = ["--out", "o"] if command in ("train", "finetune") and "--out" not in request else []
        code, _, err = run(capsys, *request, *out)
        is_one = code in (1, 2) and err.startswith("convcore") and err.endswith("\n") and err.count("\n") == 1
        if not is_one or "-X dev" in err or sorted(files.rglob("*")) != before:
            wrong.append(f"{request!r:.200}: {code} {err:.1000}")
    assert not wrong, "\n".join(wrong)


def convcore(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "convcore", *arguments],
        capture_output=True, timeout=900, cwd=ROOT, env={**os.environ, **environment},
    )  # fmt: skip


ENVIRONMENTS: tuple[dict[str, str], ...] = (
    {"PYTHONIOENCODING": "ascii"},
    {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"},
    {},
)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=range(3))
def test_names_in_any_encoding_are_printed_escaped(files, tmp_path, environment):
    """Latin-1 on the disk, ASCII on the screen."""
    path = os.fsencode(tmp_path) + b"/caf\xe9 \xc3\xa9.png"
    Path(os.fsdecode(path)).write_bytes((files / "picture.png").read_bytes())
    done = convcore("classify", os.fsdecode(path), "--model", "digit_cnn", "--top", "1", **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"/caf\\udce9 " in done.stdout
    done = convcore("classify", os.fsdecode(path) + "x", "--model", "digit_cnn", **environment)
    assert (done.returncode, done.stderr.count(b"\n"), done.stdout) == (2, 1, b"")
    assert b"/caf\\udce9 " in done.stderr
    if not environment:
        out = os.fsdecode(path).replace(".png", ".npz")
        done = convcore("features", os.fsdecode(path), "-o", out, "--model", "digit_cnn", "--quiet")
        assert (done.returncode, done.stderr) == (0, b"")
        with np.load(out) as archive:
            assert archive["paths"].tolist() == [os.fsdecode(path)]


@pytest.mark.parametrize("after", [0.0, 0.1, 0.3, 0.6, 1.2])
def test_ctrl_c_is_one_line_at_any_time(tmp_path, after):
    """From the middle of the imports on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "convcore", "train", "--out", str(tmp_path / "out")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while "_multiarray_umath" not in Path(f"/proc/{process.pid}/maps").read_text():
        time.sleep(0.002)
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    assert err.count("\n") == 1, err
    assert "interrupted" in err


def test_ctrl_c_in_text_that_is_executed(tmp_path):
    """As dataclasses do it: of a module (-m) Python takes the interrupt for unhandled, and would end by the signal."""
    (tmp_path / "command.py").write_text(
        "import sys\nfrom convcore import cli\n"
        "def command_line():\n    exec('raise KeyboardInterrupt')\n"
        "cli.command_line = command_line\nsys.exit(cli.main(['summary']))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-m", "command"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "convcore: interrupted\n")


def test_ctrl_c_during_the_imports_of_the_command_alone(run_python):
    """Not of a program that uses convcore: there it is KeyboardInterrupt as ever."""
    for arguments, handler in ((["-c"], "default_int_handler"), (["/usr/bin/convcore", "train"], "_end")):
        done = run_python(
            f"""
            import sys
            sys.argv = {arguments!r}
            import convcore, signal
            print(signal.getsignal(signal.SIGINT).__name__)
            """
        )
        assert done.stdout == f"{handler}\n"


def test_a_reader_that_goes_is_no_error(tmp_path):
    """`convcore weights | head -1`"""
    read, write = os.pipe()
    os.close(read)
    for arguments in (["weights"], ["summary", "resnet50"]):
        done = subprocess.run(
            [sys.executable, "-m", "convcore", *arguments], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, timeout=900
        )
        assert (done.returncode, done.stderr) == (1, b"")
    os.close(write)


def test_a_full_disk_behind_the_output_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "convcore", "weights"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, timeout=900
        )
    assert (done.returncode, done.stderr) == (2, b"convcore weights: error: No space left on device\n")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError("Unable to allocate 7.8 GiB"), 2, "the memory does not suffice: Unable to allocate 7.8 GiB"),
        (MemoryError(), 2, "the memory does not suffice: MemoryError"),
        (ValueError("odd\nsecond"), 1, r"ValueError: odd\nsecond (`python -X dev -m convcore` shows where)"),
        (RecursionError(), 1, "RecursionError: RecursionError (`python -X dev"),
        (ShapeError("rule\n  x  (1,)  float32"), 2, "error: rule\n"),
        (OSError(2, "No such file or directory", "a\nb"), 2, r"error: a\nb: No such file or directory"),
    ],
)
def test_errors_that_nobody_has_thought_of(capsys, monkeypatch, error, code, message):
    def fail(*_):
        raise error

    monkeypatch.setattr("convcore.cli.commands.summary.summary", fail)
    got, _, err = run(capsys, "summary", "cnn")
    assert (got, err.count("\n")) == (code, 1)
    assert message in err


def test_paths_are_expanded_and_made_whole_everywhere(capsys, files, tmp_path, monkeypatch):
    """ "~" where the shell leaves it as it is, and relative paths in a checkpoint that is resumed elsewhere."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(cache_directory()))  # kernels stay where they are
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(home)
    picture = home / "p.png"
    picture.write_bytes((files / "picture.png").read_bytes())
    records = np.random.default_rng(0).integers(0, 10, (40, 3073), dtype=np.uint8)
    (home / "cifar").mkdir()
    for name in [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]:
        (home / "cifar" / name).write_bytes(records.tobytes())
    quick = ["--model", "simple_cnn", "--limit", "100", "--batch-size", "32", "--epochs", "1", "--quiet"]
    assert main(["train", "--data", "cifar10:cifar", *quick, "--out=~/run"]) == 0
    assert main(["train", "--data", "cifar10:~/cifar", *quick, "--out", "~/second"]) == 0
    assert not (home / "~").exists()
    for path in ("~/run", "~/run/weights.safetensors", "run", "run/weights.safetensors"):
        assert main(["classify", "~/p.png", f"--weights={path}"]) == 0
        assert main(["summary", path]) == 0
    assert main(["augment", "~/p.png", "--out=~/sheet.png", "--size", "32"]) == 0
    assert main(["show", "filters", "~/run", "-o", "~/filters.png"]) == 0
    assert main(["features", "~/p.png", "-o~/f.npz", "--weights", "~/run"]) == 0
    assert all((home / name).is_file() for name in ("sheet.png", "filters.png", "f.npz"))
    for name in CIFAR10_CLASSES[:2]:
        (home / "in" / name).mkdir(parents=True)
        for i in range(4):
            (home / "in" / name / f"{i}.png").write_bytes(picture.read_bytes())
    tune = ["--epochs", "1", "--fine-epochs", "0", "--batch-size", "6", "--quiet"]
    assert main(["finetune", "in", "--weights", "run/weights.safetensors", *tune, "--out", "tuned"]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["train", "--resume", "--quiet", "--out", str(home / "run")]) == 0
    assert main(["finetune", "--resume", "--quiet", "--out", str(home / "tuned")]) == 0
    assert list((tmp_path / "elsewhere").iterdir()) == []
    capsys.readouterr()
