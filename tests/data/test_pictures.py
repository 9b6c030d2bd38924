"""The pictures that come with the package."""

import numpy as np
import pytest

from convcore.data import PICTURES, picture
from convcore.data.pictures import FOLDER
from convcore.errors import UnsupportedError


def test_all_pictures_can_be_read_and_have_their_terms_stated():
    stated = (FOLDER.parent / "PICTURES.md").read_text(encoding="utf-8")
    for file in FOLDER.iterdir():
        assert f"`{file.name}`" in stated
        assert file.stem in PICTURES
    sizes = {name: picture(name).size for name in PICTURES}
    assert sizes == {**dict.fromkeys(sizes, (256, 256)), "shapes": (64, 64), "checkerboard": (5, 5)}
    assert {picture(name).mode for name in PICTURES} == {"RGB"}


def test_the_checkerboard_is_the_documents():
    assert (np.asarray(picture("checkerboard").convert("L"))[:2] / 255).tolist() == [[1, 0, 1, 0, 1], [0, 1, 0, 1, 0]]


def test_a_picture_that_there_is_not():
    with pytest.raises(UnsupportedError, match=r"name must be one of cat, .*, got '../secret'"):
        picture("../secret")
