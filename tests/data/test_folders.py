"""Folders of pictures: what belongs to a class, each picture once, and what is passed over."""

import os

import numpy as np
import pytest
from PIL import Image

from convcore.cli.pictures import open_folder
from convcore.data import ImageFolder
from convcore.errors import CheckpointError


def put(path, kind=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path, kind)


@pytest.fixture
def root(tmp_path):
    for name in ("cat/1.png", "cat/deep/er/2.png", "dog/3.png", "dog/4.png"):
        put(tmp_path / "animals" / name)
    return tmp_path / "animals"


def names(folder):
    return [path.removeprefix(folder.root)[1:] for path, _ in folder.samples]


EXPECTED = ["cat/1.png", "cat/deep/er/2.png", "dog/3.png", "dog/4.png"]


@pytest.mark.parametrize("hidden", ["cat/.ipynb_checkpoints", "cat/deep/.thumbnails", "cat/.a/b", ".cache", "dog/..x"])
def test_hidden_folders_are_passed_over_at_any_depth(root, hidden):
    put(root / hidden / "1-checkpoint.png")
    assert names(ImageFolder(root)) == EXPECTED


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("cat/self", "."), ("cat/up", ".."), ("cat/upper", "../.."), ("cat/deep/er/back", "../.."),
        ("cat/deep/again", "er"), ("all", "."), ("cat/top", "/"),
    ],
)  # fmt: skip
def test_links_to_folders_above_or_seen_add_nothing(root, link, target):
    (root / link).symlink_to(target)
    assert names(ImageFolder(root)) == EXPECTED


def test_links_that_would_multiply_end(root):
    for name in ("a", "b", "c", "deep/d"):
        (root / "cat" / name).symlink_to(root / "cat")
        (root / "dog" / name.replace("/", "")).symlink_to(root.parent)
    assert names(ImageFolder(root)) == EXPECTED


def test_links_to_other_folders_are_followed(root):
    put(root.parent / "store" / "5.png")
    put(root.parent / "store" / "inner" / "6.png")
    (root / "cat" / "a-link").symlink_to("../../store")
    (root / "cat" / "z-link").symlink_to("../../store/inner")  # reached by the first already
    (root / "bird").symlink_to("../store")
    (root / "cat" / "deeper").symlink_to("deep")  # the folder's own path counts
    folder = ImageFolder(root)
    assert folder.classes == ["bird", "cat", "dog"]
    assert names(folder) == [
        "bird/5.png", "bird/inner/6.png", "cat/1.png", "cat/a-link/5.png", "cat/a-link/inner/6.png", *EXPECTED[1:],
    ]  # fmt: skip
    assert folder.targets == [0, 0, 1, 1, 1, 1, 2, 2]


def test_a_root_that_is_a_link_and_given_relatively(root, monkeypatch):
    (root.parent / "link").symlink_to("animals")
    (root / "cat" / "up").symlink_to("..")
    monkeypatch.chdir(root.parent)
    assert [path for path, _ in ImageFolder("link").samples] == [os.path.join("link", name) for name in EXPECTED]


def test_broken_links_are_named(root):
    (root / "cat" / "0.png").symlink_to("gone.png")
    (root / "cat" / "loop.png").symlink_to("loop.png")
    folder = ImageFolder(root)
    assert names(folder) == ["cat/0.png", *EXPECTED[:1], "cat/loop.png", *EXPECTED[1:]]
    with pytest.raises(FileNotFoundError, match=r"cat/0\.png"):
        folder[0]
    with pytest.warns(UserWarning, match=r"2 files are left out: .*0\.png: .*loop\.png: "):
        assert names(ImageFolder(root, corrupt="skip")) == EXPECTED
    (root / "dog" / "more").symlink_to("a folder that is gone")
    with pytest.warns(UserWarning, match="passed over in .*animals: 1 broken link; only files"):
        ImageFolder(root)


def test_pipes_are_no_pictures(root):
    os.mkfifo(root / "cat" / "pipe.png")
    (root / "cat" / "link.png").symlink_to("pipe.png")
    assert names(ImageFolder(root, corrupt="skip")) == EXPECTED


def test_the_order_is_that_of_names(root):
    for name in ("cat/b.png", "cat/B.png", "cat/a/x.png", "cat/a.png", "cat/a/b/y.png"):
        put(root / name)
    assert names(ImageFolder(root)) == [
        "cat/1.png", "cat/B.png", "cat/a.png", "cat/b.png", "cat/a/x.png", "cat/a/b/y.png", *EXPECTED[1:],
    ]  # fmt: skip


def test_files_that_are_not_read_are_counted(root):
    (root / "cat" / "notes.txt").write_text("no picture")
    assert ImageFolder(root).passed_over == {".txt": 1}  # nobody needs to be told
    for name in ("cat/a.HEIC", "cat/deep/b.HEIC", "dog/c.heic", "dog/README"):
        (root / name).write_bytes(b"\0\0\0\x18ftypheic")
    put(root / "cat" / "f.jfif", "JPEG")
    with pytest.warns(UserWarning, match=r"passed over in .*: 2 \.HEIC, 1 \.heic, 1 \.txt, 1 without an ending; "):
        folder = ImageFolder(root)
    assert names(folder) == ["cat/1.png", "cat/f.jfif", *EXPECTED[1:]]
    assert folder.passed_over == {".HEIC": 2, ".heic": 1, ".txt": 1, "without an ending": 1}
    assert ImageFolder(root, is_valid_file=lambda path: path.endswith("png")).passed_over == {}


def test_a_class_of_nothing_else_says_what_is_there(root):
    (root / "bird").mkdir()
    (root / "bird" / "1.HEIC").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"class 'bird' has no picture .* in .*animals, only 1 \.HEIC; allow"):
        ImageFolder(root)


def test_commands_say_what_they_pass_over(root, capsys):
    for name in ("cat/a.HEIC", "cat/b.txt", "dog/short.png"):
        (root / name).write_bytes(b"")
    folder = open_folder("features", root, "skip")
    assert names(folder) == EXPECTED
    counted, left_out = capsys.readouterr().err.splitlines()
    assert counted.startswith(f"passed over in {root}: 1 .HEIC, 1 .txt (pictures end in .jpg, ")
    assert left_out.startswith(f"left out: {root / 'dog' / 'short.png'}: not a picture that can be read")
    with pytest.raises(CheckpointError, match=r"features: cannot read 1 of the pictures: .*short\.png"):
        open_folder("features", root, "refuse")
