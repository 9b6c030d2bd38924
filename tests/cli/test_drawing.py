"""Pictures of matplotlib: drawn whatever a notebook wants, with names as text, and never at the cost of a run."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image
from test_cli import TINY, run

import convcore as cc
from convcore import nn, plot
from convcore.cli.drawing import drawn
from convcore.errors import CheckpointError

ROOT = Path(__file__).parents[2]
INLINE = "module://matplotlib_inline.nowhere_installed"
ODD = ("Ba$$in", "$5-$10", "a_b^c", r"\frac", "$\\nonsense{$", "two\nlines", "猫", "\udce9", "{%")


@pytest.mark.parametrize("backend", [INLINE, "no such backend", ""])
def test_a_notebooks_backend_is_no_obstacle(tmp_path, run_python, backend):
    done = run_python(
        """
        import os, sys
        from convcore.cli import main
        assert "matplotlib" not in sys.modules
        code = main(["show", "filters", "digit_cnn", "-o", "out.png"])
        print(code, repr(os.environ["MPLBACKEND"]))
        """,
        cwd=tmp_path, path=ROOT, MPLBACKEND=backend,
    )  # fmt: skip
    assert done.stdout == f"out.png\n0 {backend!r}\n"
    assert done.stderr == ""
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_the_callers_plots_get_the_backend_that_was_asked_for(run_python):
    done = run_python(
        """
        from convcore import plot
        plot.training_curves([])
        import matplotlib
        print(matplotlib.rcParams["backend"])
        """,
        MPLBACKEND="svg",
    )
    assert done.stdout == "svg\n"


def test_a_notebooks_backend_costs_no_run(tmp_path):
    command = [sys.executable, "-m", "convcore", "train", *TINY, "--epochs", "1", "--quiet", "--out", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=900,
        env={**os.environ, "MPLBACKEND": INLINE},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"curves   {tmp_path / 'curves.png'}\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ImportError("no module"), "not drawn: matplotlib is missing (python -m pip install matplotlib)"),
        (ValueError("Key backend: 'x' is\nno backend"), r"not drawn: ValueError: Key backend: 'x' is\nno backend"),
        (MemoryError(), "not drawn: MemoryError: MemoryError"),
        (OSError(28, "No space left on device", "curves.png"), "not drawn: OSError: curves.png: No space left on devi"),
    ],
)
def test_what_matplotlib_raises_is_said_in_one_line(capsys, tmp_path, monkeypatch, error, message):
    def fail(history, path):
        raise error

    monkeypatch.setattr("convcore.cli.commands.train.training_curves", fail)
    code, out, err = run(capsys, "train", *TINY, "--epochs", 1, "--quiet", "--out", tmp_path)
    assert (code, err) == (0, "")
    assert f"curves   {message}" in out.splitlines()[-1]


def names_of(figure):
    """All texts of a figure that are drawn as they stand."""
    return {text.get_text() for text in figure.findobj(Text) if not text.get_parse_math() and not text.get_usetex()}


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_names_are_drawn_as_text(tmp_path, name):
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
    layer = name.replace(".", "")
    model = nn.Sequential(nn.ModuleDict({layer: nn.Conv2d(1, 2, 3)})[layer], nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    model._modules = {layer: model[0], "r": model[1], "f": model[2], "l": model[3]}
    x = cc.rand(1, 1, 4, 4)
    figures = {
        "confusion": plot.confusion_matrix(np.eye(2, dtype=int), [name, "other"]),
        "filters": plot.filters(model, layer),
        "maps": plot.feature_maps(model, x, [layer]),
        "field": plot.receptive_field(model, x, layer, 0, 0),
        "cam": plot.grad_cam(model, x, layer, 0, [name, "other"]),
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph ")
        for kind, figure in figures.items():
            assert any(shown in text for text in names_of(figure)), (kind, names_of(figure))
        figures["confusion"].savefig(tmp_path / "confusion.png")
    assert {shown, "other"} <= names_of(figures["confusion"])
    assert shown in names_of(figures["cam"])


def test_numbers_of_scales_are_still_mathematics(tmp_path):
    names = ("loss", "accuracy", "validation_loss", "validation_accuracy")
    figure = plot.training_curves([{"epoch": e, **dict.fromkeys(names, 10.0**-e)} for e in (1, 2, 3)])
    figure.savefig(tmp_path / "c.png")
    labels = [label for label in figure.axes[0].get_yticklabels() if "10^" in label.get_text()]
    assert labels
    assert all(label.get_parse_math() for label in labels)


def test_letters_that_no_font_has_are_said(tmp_path, capsys):
    def draw(name):
        return drawn(tmp_path / "c.png", lambda path: plot.confusion_matrix(np.eye(2, dtype=int), [name, "b"], path))

    letters = "(some letters are drawn as boxes: no font of matplotlib has them)"
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as it is outside of these tests
        assert draw("a") == f"{tmp_path / 'c.png'}"
        assert draw("\N{CUNEIFORM SIGN A}") == f"{tmp_path / 'c.png'} {letters}"
    assert capsys.readouterr() == ("", "")


def test_finetune_draws_classes_of_any_name(capsys, tmp_path):
    rng = np.random.default_rng(0)
    for number, name in enumerate(("Ba$$in", "a_$b$", "two\nlines")):
        (tmp_path / "in" / name).mkdir(parents=True)
        for i in range(4):
            pixels = rng.integers(60, 120, (40, 40, 3), dtype=np.uint8)
            pixels[..., number] += 100
            Image.fromarray(pixels).save(tmp_path / "in" / name / f"{i}.png")
    options = ["--size", 64, "--epochs", 1, "--fine-epochs", 0, "--batch-size", 6, "--quiet", "--out", tmp_path / "out"]
    code, out, err = run(capsys, "finetune", tmp_path / "in", *options)
    assert (code, err) == (0, "")
    assert out.endswith(f"confusion  {tmp_path / 'out' / 'confusion.png'}\n")
    code, out, err = run(capsys, "classify", tmp_path / "in" / "Ba$$in" / "0.png", "--weights", tmp_path / "out")
    assert (code, err, len(out.splitlines())) == (0, "", 4)
    assert any(line.endswith(r"two\nlines") for line in out.splitlines())


def test_a_picture_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "c.png"
    path.write_bytes(b"an older one")
    figure = plot.confusion_matrix(np.eye(2, dtype=int), ["a", "b"])

    def half(file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(figure), "savefig", lambda self, file, **options: half(file))
    with pytest.raises(CheckpointError, match=r"c.png: cannot be written: .*No space left on device"):
        plot.confusion_matrix(np.eye(2, dtype=int), ["a", "b"], path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.png"]
    assert path.read_bytes() == b"an older one"
