"""Collections of labelled images as datasets: the bundled digits, and readers for files of the user.

Every function returns a `TensorDataset` of images, float32 in [0, 1], (N, C, H, W), and labels, int64, (N,).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from convcore.data.dataset import TensorDataset
from convcore.data.files import read_cifar10_batch, read_idx
from convcore.errors import CheckpointError, ShapeError

DIGITS_FILE = Path(__file__).with_name("mnist-digits-10k.npz")
DIGITS_TEST = 2000

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FASHION_MNIST_CLASSES = (
    "t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

# The parts of MNIST's file names, each in both spellings.
_PARTS = (("images", ("-idx3", ".idx3")), ("labels", ("-idx1", ".idx1")))

# Sub-folders of the given folder that may hold the files: as torchvision stores them, or as an archive unpacks.
_INSIDE = {
    "mnist": ("MNIST/raw", "raw", "MNIST"),
    "fashion_mnist": ("FashionMNIST/raw", "raw", "FashionMNIST"),
    "cifar10": ("cifar-10-batches-bin",),
}
_ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip", ".7z", ".rar")
_BINARY = (
    "its files are pickles, which are programs and are not read: take the binary version, cifar-10-binary.tar.gz of "
    "https://www.cs.toronto.edu/~kriz/cifar.html"
)


def digits(split: str = "train") -> TensorDataset:
    """10,000 real handwritten digits that come with the package; see `DIGITS.md` beside the file for their origin.

    Args:
        split: "train" (8,000), "test" (2,000) or "all" (both, in this order). The digits are shuffled with a fixed
            seed, so the parts are disjoint and the same for everyone; both have about the class frequencies of the
            whole.

    Returns:
        Images, float32 in [0, 1], (N, 1, 28, 28), and labels, int64, (N,).
    """
    if split not in ("train", "test", "all"):
        raise ShapeError(f"digits: split must be 'train', 'test' or 'all', got {split!r}")
    with np.load(DIGITS_FILE) as file:
        images, labels = file["images"], file["labels"]
    # RandomState, not default_rng: NumPy guarantees that its stream never changes (NEP 19), so the split is fixed.
    order = np.random.RandomState(0).permutation(len(labels))
    held_out = len(labels) - DIGITS_TEST
    part = {"train": order[:held_out], "test": order[held_out:], "all": order}[split]
    return _dataset(images[part][:, np.newaxis], labels[part])


def mnist(folder: str | os.PathLike[str], split: str = "train") -> TensorDataset:
    """MNIST from its original files: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same with `t10k`.

    Each file may be compressed (.gz), may be spelled with a dot as in `train-images.idx3-ubyte`, and may be in a folder
    of the same name, as Kaggle's are.

    Args:
        folder: the folder of the files, or torchvision's root folder, which holds `MNIST/raw`. Nothing is downloaded.
        split: "train" (60,000) or "test" (10,000).

    Returns:
        Images, float32 in [0, 1], (N, 1, 28, 28), and labels, int64, (N,).

    Raises:
        FileNotFoundError: a file is missing.
        CheckpointError: a file is damaged, or images and labels do not match.
    """
    return _idx_pair("mnist", folder, split)


def fashion_mnist(folder: str | os.PathLike[str], split: str = "train") -> TensorDataset:
    """Fashion-MNIST from its original files, with the names, format and sizes of MNIST, see `mnist`; torchvision's
    folder is `FashionMNIST/raw`.

    The classes are `FASHION_MNIST_CLASSES` (Xiao, Rasul, Vollgraf 2017).
    """
    return _idx_pair("fashion_mnist", folder, split)


def cifar10(folder: str | os.PathLike[str], split: str = "train") -> TensorDataset:
    """CIFAR-10 from its binary version: `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, or .gz.

    Args:
        folder: the folder of the files, or the one that holds `cifar-10-batches-bin`; nothing is downloaded.
        split: "train" (50,000) or "test" (10,000).

    Returns:
        Images, float32 in [0, 1], (N, 3, 32, 32), and labels, int64, (N,), indices of `CIFAR10_CLASSES`.

    Raises:
        FileNotFoundError: a file is missing; the message says what to do with the Python version or an archive.
        CheckpointError: a file is damaged.
    """
    _check_split("cifar10", split)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
    batches = [read_cifar10_batch(path) for path in _find("cifar10", Path(folder), [[name] for name in names])]
    return _dataset(np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches]))


def _idx_pair(collection: str, folder: str | os.PathLike[str], split: str) -> TensorDataset:
    _check_split(collection, split)
    prefix = "train" if split == "train" else "t10k"
    names = [[f"{prefix}-{part}{mark}-ubyte" for mark in marks] for part, marks in _PARTS]
    images_path, labels_path = _find(collection, Path(folder), names)
    images, labels = read_idx(images_path), read_idx(labels_path)
    for path, array, ndim in ((images_path, images, 3), (labels_path, labels, 1)):
        if array.ndim != ndim or array.dtype != np.uint8:
            raise CheckpointError(
                f"{path}: expected {ndim} axes of uint8 (magic number 0x0000080{ndim}), "
                f"got {array.ndim} of {array.dtype}"
            )
    if len(images) != len(labels):
        raise CheckpointError(
            f"{images_path} has {len(images):,} images but {labels_path} has {len(labels):,} labels: "
            "they do not belong together"
        )
    if labels.size and labels.max() > 9:
        wrong = int(np.argmax(labels > 9))
        raise CheckpointError(f"{labels_path}: the labels are 0 to 9, but label {wrong} is {labels[wrong]}")
    return _dataset(images[:, np.newaxis], labels)


def _check_split(collection: str, split: str) -> None:
    if split not in ("train", "test"):
        raise ShapeError(f"{collection}: split must be 'train' or 'test', got {split!r}")


def _find(collection: str, folder: Path, wanted: list[list[str]]) -> list[Path]:
    """The files of a collection, each by the first of its names that exists; all from one folder.

    It is the first folder that has any of them: the given one, or a sub-folder of torchvision or an archive.
    """
    for root in (folder, *(folder / inside for inside in _INSIDE[collection])):
        found = [_first(root, names) for names in wanted]
        paths = [path for path in found if path is not None]
        if len(paths) == len(wanted):
            return paths
        if paths:
            raise _missing(collection, root, wanted[found.index(None)][0])
    raise _missing(collection, folder, wanted[0][0])


def _first(root: Path, names: list[str]) -> Path | None:
    """The first existing file of these names, compressed or not, in `root` or in a sub-folder of the same name."""
    files = [name + ending for name in names for ending in ("", ".gz")]
    folders = [root, *(root / file for file in files)]
    return next((folder / file for folder in folders for file in files if (folder / file).is_file()), None)


def _missing(collection: str, folder: Path, name: str) -> FileNotFoundError:
    """The error for a missing file, which names files found in its place."""
    if folder.is_file():
        return FileNotFoundError(f"{collection}: {folder} is a file, not a folder; {_about_file(folder.name)}")
    if not folder.is_dir():
        return FileNotFoundError(f"{collection}: {folder} is not a folder")
    there = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    about = "the files must be there, nothing is downloaded"
    if collection == "cifar10" and {"data_batch_1", "test_batch", "cifar-10-batches-py"} & set(there):
        about = f"what is there is its Python version; {_BINARY}"
    elif archives := [entry for entry in there if entry.endswith(_ARCHIVES)]:
        about = f"there is {archives[0]}; {_about_file(archives[0])}"
    elif there:
        about += "; there are " + ", ".join(there[:5]) + (", .." if len(there) > 5 else "")
    return FileNotFoundError(f"{collection}: no {name} or {name}.gz in {folder}; {about}")


def _about_file(name: str) -> str:
    """Advice for a file given or found in place of a folder."""
    if name.startswith("cifar-10-python"):
        return f"that is the Python version; {_BINARY}"
    return "unpack it, and give the folder" if name.endswith(_ARCHIVES) else "give the folder that it is in"


def _dataset(images: np.ndarray, labels: np.ndarray) -> TensorDataset:
    """uint8 images and labels as float32 in [0, 1] and int64."""
    return TensorDataset(images.astype(np.float32) / np.float32(255), labels.astype(np.int64))
