"""What commands say of files and folders takes one line each, whatever these are called."""

from PIL import Image
from test_cli import TINY, run

ODD = "two\nlines\x1b[2J"
SHOWN = r"two\nlines\x1b[2J"


def test_training_in_a_folder_with_a_line_break(capsys, tmp_path):
    out = tmp_path / ODD
    code, said, _ = run(capsys, "train", *TINY, "--epochs", "1", "--out", str(out))
    assert code == 0
    assert (out / "history.json").exists()
    for name in ("weights.safetensors", "history.json", "curves.png"):
        assert any(line.endswith(f"{SHOWN}/{name}") for line in said.splitlines())
    assert "\x1b" not in said


def test_pictures_with_a_line_break(capsys, tmp_path):
    """Endings and names of what is left out are shown, too."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("L", (9, 9)).save(tmp_path / name / "good.png")
    (tmp_path / "a" / f"{ODD}.png").write_bytes(b"no picture")
    (tmp_path / "b" / f"x.{ODD}").write_bytes(b"nothing")
    out = tmp_path / f"{ODD}.npz"
    weights = ["--model", "digit_cnn", "--weights", "imagenet"]
    code, said, err = run(capsys, "features", str(tmp_path), "--corrupt", "skip", "-o", str(out), "--quiet", *weights)
    assert (code, out.exists()) == (0, True)
    assert said.endswith(f"features of each of 2 pictures: {tmp_path / SHOWN}.npz\n")
    assert said.count("\n") == 1
    passed_over, left_out = err.splitlines()
    assert f"1 .{SHOWN} (pictures end in" in passed_over
    assert left_out.startswith(f"left out: {tmp_path / 'a' / SHOWN}.png: not a picture")
