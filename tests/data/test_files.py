"""Readers of IDX and CIFAR-10 files, good ones and damaged ones."""

import gzip
import struct

import numpy as np
import pytest

from convcore.data import cifar10, fashion_mnist, mnist, read_cifar10_batch, read_idx
from convcore.errors import CheckpointError, ShapeError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (7, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5, 9, 2], dtype=np.uint8)


def idx(array, code=0x08):
    """The bytes of an IDX file."""
    header = struct.pack(">HBB", 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def cifar(n, seed=0):
    records = np.random.default_rng(seed).integers(0, 256, (n, 3073), dtype=np.uint8)
    records[:, 0] %= 10
    return records


@pytest.mark.parametrize(
    ("code", "dtype"), [(8, "u1"), (9, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]
)
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_round_trip(tmp_path, code, dtype, zipped):
    array = RNG.integers(-100 if dtype != "u1" else 0, 100, (3, 4, 5)).astype(dtype)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(idx(array, code)) if zipped else idx(array, code))
    result = read_idx(path)
    np.testing.assert_array_equal(result, array)
    assert result.dtype == np.dtype(dtype)
    assert result.flags.writeable


def test_idx_of_no_elements(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(idx(np.zeros((0, 28, 28), np.uint8)))
    assert read_idx(path).shape == (0, 28, 28)


GOOD = idx(IMAGES)
HUGE = struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with 4 magic bytes, this one has 0 bytes"),
        (GOOD[:3], "this one has 3 bytes"),
        (b"\x89PNG\r\n\x1a\n", "not an IDX file: its magic number is 0x89504e47, expected"),
        (struct.pack(">HBB", 0, 7, 3) + GOOD[4:], "its magic number is 0x00000703"),
        (struct.pack(">HBB", 0, 8, 0) + GOOD[4:], "its magic number is 0x00000800"),
        (GOOD[:10], "the header of an IDX file with 3 axes has 16 bytes, this file has 10"),
        (GOOD[:-1], r"promises shape \(7, 28, 28\) of uint8: 5,504 bytes; the file has 5,503"),
        (GOOD + b"x", "5,504 bytes; the file has more than 5,504"),
        (HUGE, "the file has 16: it is cut short"),
        (gzip.compress(GOOD[:-1]), "5,504 bytes; the file has 5,503"),
        (gzip.compress(GOOD)[:-30], "gzip file is damaged or cut short after"),
        (gzip.compress(GOOD)[:30] + b"\xff" * 30, "gzip file is damaged or cut short"),
        (gzip.compress(HUGE), "can unpack to at most"),
        (struct.pack(">HBB65I", 0, 8, 65, *[1] * 65) + b"x", "promises 65 axes, more than any array has"),
        (struct.pack(">HBB3I", 0, 8, 3, 0, 2**32 - 1, 2**32 - 1), r"shape \(0, 4294967295, 4294967295\), of which no"),
        (b"<!DOCTYPE html><html>404", "its magic number is 0x3c21444f, .* It is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is 0x76657273, .* It is a pointer of Git LFS"),
    ],
    ids=range(17),
)
def test_damaged_idx(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_idx(tmp_path / "nowhere")


@pytest.mark.parametrize("reader", [mnist, fashion_mnist])
def test_mnist_folder(tmp_path, reader):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS)))
    (tmp_path / "t10k-images.idx3-ubyte").write_bytes(idx(IMAGES[:2]))
    (tmp_path / "t10k-labels.idx1-ubyte").write_bytes(idx(LABELS[:2]))
    images, labels = (t.array for t in reader(tmp_path).tensors)
    assert images.shape == (7, 1, 28, 28)
    np.testing.assert_array_equal(images[:, 0], IMAGES.astype(np.float32) / 255)
    np.testing.assert_array_equal(labels, LABELS)
    assert labels.dtype == np.int64
    assert len(reader(tmp_path, "test")) == 2
    with pytest.raises(ShapeError, match="split must be 'train' or 'test', got 'all'"):
        reader(tmp_path, "all")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, LABELS[:6], "has 7 images but .* has 6 labels"),
        (LABELS, LABELS, r"train-images-idx3-ubyte: expected 3 axes of uint8 \(magic number 0x00000803\), got 1"),
        (IMAGES, IMAGES, "train-labels-idx1-ubyte: expected 1 axes"),
        (IMAGES, LABELS + np.uint8(5), "the labels are 0 to 9, but label 4 is 10"),
    ],
)
def test_mnist_files_that_do_not_fit(tmp_path, images, labels, message):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    with pytest.raises(CheckpointError, match=message):
        mnist(tmp_path)


def test_mnist_files_that_are_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"mnist: .*nowhere is not a folder"):
        mnist(tmp_path / "nowhere")
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(IMAGES))
    with pytest.raises(FileNotFoundError, match=r"no t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte\.gz in"):
        mnist(tmp_path, "test")


@pytest.mark.parametrize("subfolder", ["", "cifar-10-batches-bin"])
def test_cifar_folder(tmp_path, subfolder):
    folder = tmp_path / subfolder
    folder.mkdir(exist_ok=True)
    for i in range(1, 6):
        (folder / f"data_batch_{i}.bin").write_bytes(cifar(3, seed=i).tobytes())
    (folder / "test_batch.bin.gz").write_bytes(gzip.compress(cifar(2).tobytes()))
    images, labels = (t.array for t in cifar10(tmp_path).tensors)
    assert images.shape == (15, 3, 32, 32)
    records = cifar(3, seed=2)
    np.testing.assert_array_equal(labels[3:6], records[:, 0])
    # Byte 1 + 1024 c + 32 h + w of a record is the pixel (c, h, w).
    assert images[4, 2, 5, 7] == np.float32(records[1, 1 + 2 * 1024 + 5 * 32 + 7]) / np.float32(255)
    assert len(cifar10(tmp_path, "test")) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "this one has 0 bytes"),
        (
            cifar(3).tobytes()[:-1],
            "records of 3,073 bytes, this one has 9,218 bytes, which are 2 records and 3,072 bytes",
        ),
        (cifar(3).tobytes().replace(cifar(3)[1].tobytes(), b"\x0a" + bytes(3072)), r"record 1 \(byte 3,073\) has 10"),
    ],
)
def test_damaged_cifar(tmp_path, content, message):
    path = tmp_path / "test_batch.bin"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_cifar10_batch(path)
    assert str(path) in str(caught.value)
    (tmp_path / "test_batch.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"cifar10: no test_batch\.bin"):
        cifar10(tmp_path, "test")


def raw_mnist(folder, ending="", dot=False, own_folders=False):
    """MNIST's four files as different sources store them."""
    for prefix, n in (("train", 7), ("t10k", 2)):
        for part, array in (("images-idx3", IMAGES[:n]), ("labels-idx1", LABELS[:n])):
            name = f"{prefix}-{part.replace('-', '.') if dot else part}-ubyte"
            place = folder / name if own_folders else folder
            place.mkdir(parents=True, exist_ok=True)
            (place / (name + ending)).write_bytes(gzip.compress(idx(array)) if ending else idx(array))


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("own_folders", [False, True])
@pytest.mark.parametrize(
    ("reader", "inside"),
    [(mnist, "."), (mnist, "MNIST/raw"), (mnist, "raw"), (mnist, "MNIST"), (fashion_mnist, "FashionMNIST/raw")],
)
def test_mnist_as_torchvision_and_kaggle_store_it(tmp_path, ending, dot, own_folders, reader, inside):
    raw_mnist(tmp_path / inside, ending, dot, own_folders)
    images, labels = (t.array for t in reader(tmp_path).tensors)
    np.testing.assert_array_equal(images[:, 0], IMAGES.astype(np.float32) / 255)
    np.testing.assert_array_equal(labels, LABELS)
    assert len(reader(tmp_path, "test")) == 2


def test_the_two_collections_of_one_torchvision_folder_are_kept_apart(tmp_path):
    raw_mnist(tmp_path / "FashionMNIST" / "raw")
    assert len(fashion_mnist(tmp_path)) == 7
    with pytest.raises(FileNotFoundError, match=r"mnist: no train-images-idx3-ubyte or .*; there are FashionMNIST"):
        mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    with pytest.raises(FileNotFoundError, match=rf"no train-labels-idx1-ubyte or .*\.gz in {tmp_path};"):
        fashion_mnist(tmp_path)  # its labels are not put beside the images of another folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar-10-batches-py/data_batch_1", "its Python version; its files are pickles, .* cifar-10-binary.tar.gz of"),
        ("data_batch_1", "what is there is its Python version; .* take the binary version"),
        ("cifar-10-python.tar.gz", "there is cifar-10-python.tar.gz; that is the Python version; .* binary version"),
        ("cifar-10-binary.tar.gz", "there is cifar-10-binary.tar.gz; unpack it, and give the folder"),
        ("archive.zip", "there is archive.zip; unpack it, and give the folder"),
        ("train/0_frog.png", "nothing is downloaded; there are train"),
    ],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_cifar_in_other_forms_is_named(tmp_path, name, message, split):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"\x80\x02.")
    with pytest.raises(FileNotFoundError, match=message):
        cifar10(tmp_path, split)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar-10-python.tar.gz", "is a file, not a folder; that is the Python version; its files are pickles"),
        ("cifar-10-binary.tar.gz", "is a file, not a folder; unpack it, and give the folder"),
        ("data_batch_1.bin", "is a file, not a folder; give the folder that it is in"),
    ],
)
def test_a_file_in_place_of_the_folder(tmp_path, name, message):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=f"{name} {message}"):
        cifar10(tmp_path / name)
