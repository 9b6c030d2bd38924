"""`convcore augment`: the sheet of all augmentations."""

import numpy as np
import pytest
from PIL import Image

from convcore import transforms
from convcore.cli import main
from convcore.cli.commands.augment import augmented


@pytest.fixture
def photograph(tmp_path):
    draw = np.random.default_rng(0)
    pixels = np.kron(draw.integers(0, 255, (9, 12, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_sheet_of_all_augmentations(photograph, capsys):
    out = photograph.with_name("photo-augmented.png")
    assert main(["augment", str(photograph), "--size", "48", "--columns", "5"]) == 0
    assert capsys.readouterr().out == f"17 transforms of {photograph}: {out}\n"
    with Image.open(out) as sheet:
        assert sheet.size == (5 * 54 + 6, 4 * 68 + 6)
        pixels = np.asarray(sheet)
    tiles = [pixels[6 + 68 * (i // 5) :, 6 + 54 * (i % 5) :][:48, :48] for i in range(18)]
    assert len({tile.tobytes() for tile in tiles}) == 18


def test_the_seed_fixes_the_sheet(photograph):
    with Image.open(photograph) as file:
        picture = file.convert("RGB")
    first, again, other = (augmented(picture, seed, 48) for seed in (3, 3, 4))
    same = [name for name in first if np.array_equal(np.asarray(first[name]), np.asarray(other[name]))]
    assert all(np.array_equal(np.asarray(first[name]), np.asarray(again[name])) for name in first)
    assert len(same) < 9


def test_nothing_is_left_out(photograph):
    with Image.open(photograph) as file:
        shown = {name.split()[0] for name in augmented(file.convert("RGB"), 0, 48)}
    others = {"AutoAugmentPolicy", "Compose", "Grayscale", "InterpolationMode", "Normalize", "Pad", "ToTensor"}
    kinds = {name for name in transforms.__all__ if name[0].isupper()}
    assert shown - {"the"} == kinds - others


def test_what_is_no_image(tmp_path, capsys):
    (tmp_path / "text.jpg").write_text("no image")
    assert main(["augment", str(tmp_path / "text.jpg")]) == 2
    assert "text.jpg: not a picture that can be read" in capsys.readouterr().err
    assert main(["augment", str(tmp_path / "nothing.jpg")]) == 2
    assert "nothing.jpg: No such file" in capsys.readouterr().err
