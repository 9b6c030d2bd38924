"""Pictures in folders: classes, order, transforms, and files that are damaged."""

import re
import warnings

import numpy as np
import pytest
from PIL import Image

from convcore.data import DataLoader, ImageFolder, Subset, Transformed, read_image
from convcore.errors import CheckpointError, UnsupportedError
from convcore.transforms import Compose, RandomHorizontalFlip, RandomResizedCrop, Resize, ToTensor


def picture(seed, size=(20, 16)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "animals"
    for name in ("dog", "cat", "cat/deep", ".hidden"):
        (root / name).mkdir(parents=True)
    picture(0).save(root / "cat" / "b.png")
    picture(1).save(root / "cat" / "a.JPG", "JPEG")
    picture(2).save(root / "cat" / "deep" / "c.jpeg")
    picture(3).convert("L").save(root / "dog" / "grey.png")
    picture(4).save(root / "dog" / "d.webp")
    (root / "dog" / "notes.txt").write_text("no picture")
    (root / "dog" / "._d.png").write_bytes(b"of a Mac")
    (root / "README.png").write_text("not in a class")
    return root


def damage(root):
    """Three files that cannot be read."""
    whole = (root / "cat" / "a.JPG").read_bytes()
    (root / "cat" / "short.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "dog" / "empty.png").write_bytes(b"")
    (root / "dog" / "page.png").write_bytes(b"<html>not found</html>")


def names(dataset):
    return [path.removeprefix(dataset.root)[1:].replace("\\", "/") for path, _ in dataset.samples]


def test_classes_and_samples(folder):
    dataset = ImageFolder(folder)
    assert dataset.classes == ["cat", "dog"]
    assert dataset.class_to_idx == {"cat": 0, "dog": 1}
    assert names(dataset) == ["cat/a.JPG", "cat/b.png", "cat/deep/c.jpeg", "dog/d.webp", "dog/grey.png"]
    assert dataset.targets == [0, 0, 0, 1, 1]
    assert dataset.imgs == dataset.samples
    assert len(dataset) == 5
    image, label = dataset[1]
    np.testing.assert_array_equal(np.asarray(image), np.asarray(picture(0)))
    assert label == 0
    assert dataset[4][0].mode == "RGB"
    assert repr(dataset) == f"ImageFolder({str(folder)!r}, 5 pictures of 2 classes)"


def test_transforms_and_choices(folder):
    dataset = ImageFolder(folder, ToTensor(), lambda number: number * 10, loader=lambda path: read_image(path, "L"))
    image, label = dataset[4]
    assert image.shape == (1, 16, 20)
    assert label == 10
    only = ImageFolder(folder, is_valid_file=lambda path: path.endswith(("b.png", "d.webp")))
    assert names(only) == ["cat/b.png", "dog/d.webp"]


def test_batches_do_not_depend_on_workers(folder):
    steps = Compose([RandomResizedCrop(8), RandomHorizontalFlip(), ToTensor()])

    def epochs(**options):
        loader = DataLoader(ImageFolder(folder, steps), 2, shuffle=True, seed=3, **options)
        return [(image.numpy().tobytes(), label.tolist()) for _ in range(2) for image, label in loader]

    expected = epochs(prefetch=0)
    for options in ({}, {"num_workers": 1}, {"num_workers": 3}, {"num_workers": 2, "prefetch": 7}):
        assert epochs(**options) == expected
    assert len({content for content, _ in expected}) == 6
    loader = DataLoader(ImageFolder(folder, steps), 2, shuffle=True, num_workers=2)
    loader.load_state_dict({"seed": 3, "epoch": 1})
    assert [(image.numpy().tobytes(), label.tolist()) for image, label in loader] == expected[3:]


def test_training_and_validation_see_other_transforms(folder):
    dataset = ImageFolder(folder)
    training = Transformed(Subset(dataset, [0, 1]), Compose([Resize((8, 8)), ToTensor()]))
    image, label = next(iter(DataLoader(training, 2)))
    assert image.shape == (2, 3, 8, 8)
    assert label.tolist() == [0, 0]


def test_damaged_files_are_refused_by_name(folder):
    damage(folder)
    dataset = ImageFolder(folder, ToTensor())
    assert len(dataset) == 8
    for name, reason in (
        ("cat/short.jpg", "[Tt]runcated"),
        ("dog/empty.png", "cannot identify"),
        ("dog/page.png", "cannot"),
    ):
        with pytest.raises(CheckpointError, match=f"{re.escape(name)}: not a picture that can be read: .*{reason}"):
            dataset[names(dataset).index(name)]
    with pytest.raises(CheckpointError, match=r"short\.jpg: not a picture"):
        list(DataLoader(dataset, num_workers=2))


def test_damaged_files_are_skipped_and_named(folder):
    damage(folder)
    with pytest.warns(UserWarning, match=r"3 files are left out: .*short\.jpg: .*empty\.png: .*page\.png: "):
        dataset = ImageFolder(folder, ToTensor(), corrupt="skip")
    assert names(dataset) == ["cat/a.JPG", "cat/b.png", "cat/deep/c.jpeg", "dog/d.webp", "dog/grey.png"]
    assert [path.rpartition("/")[2] for path, _ in dataset.corrupt_files] == ["short.jpg", "empty.png", "page.png"]
    assert all(reason.startswith("not a picture that can be read") for _, reason in dataset.corrupt_files)
    assert len(list(DataLoader(dataset))) == 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path, _ in dataset.corrupt_files:
            (folder / path).unlink()
        assert ImageFolder(folder, corrupt="skip").corrupt_files == []


def test_every_truncation_of_a_picture_has_one_error(folder, tmp_path):
    for name in ("a.JPG", "b.png"):
        content = (folder / "cat" / name).read_bytes()
        for length in range(0, len(content) - 30, 7):
            (tmp_path / name).write_bytes(content[:length])
            with pytest.raises(CheckpointError, match="not a picture that can be read") as caught:
                read_image(tmp_path / name)
            assert "\n" not in str(caught.value)
        draw = np.random.default_rng(0)
        for _ in range(300):
            damaged = bytearray(content)
            for place in draw.integers(len(content), size=3):
                damaged[place] = draw.integers(256)
            (tmp_path / name).write_bytes(damaged)
            message = "not a picture"
            try:
                assert read_image(tmp_path / name).mode == "RGB"
            except CheckpointError as error:
                message = str(error)
            assert "not a picture" in message
            assert "\n" not in message


def test_a_picture_that_claims_to_be_huge(tmp_path, monkeypatch):
    picture(0).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.raises(CheckpointError, match=r"could be a decompression bomb"):
        read_image(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(CheckpointError, match=r"could be a decompression bomb"):
        read_image(tmp_path / "a.png")


def test_folders_that_hold_no_data_set(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"ImageFolder: .*nowhere is not a folder"):
        ImageFolder(tmp_path / "nowhere")
    (tmp_path / "flat").mkdir()
    picture(0).save(tmp_path / "flat" / "a.png")
    with pytest.raises(FileNotFoundError, match="has no sub-folders; each class needs one"):
        ImageFolder(tmp_path / "flat")
    (folder / "bird").mkdir()
    with pytest.raises(FileNotFoundError, match="the class 'bird' has no picture"):
        ImageFolder(folder)
    assert ImageFolder(folder, allow_empty=True).classes == ["bird", "cat", "dog"]
    with pytest.raises(FileNotFoundError, match="No such file"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(UnsupportedError, match="corrupt must be 'refuse' or 'skip', got 'ignore'"):
        ImageFolder(folder, corrupt="ignore")
