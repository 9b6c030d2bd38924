"""Reading pictures: files, and folders of them with a sub-folder for each class."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from convcore.data.dataset import Dataset
from convcore.errors import CheckpointError, UnsupportedError

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

# What Pillow raises on damaged files, and on pictures so large that unpacking them looks like an attack.
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, TypeError, OverflowError,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip


def read_image(path: str | os.PathLike[str], mode: str = "RGB", *, shrink: bool = False) -> Image.Image:
    """A picture file as a Pillow image.

    Args:
        path: JPEG, PNG or what else Pillow reads.
        mode: "RGB" for colours, "L" for grey.
        shrink: read JPEG at an eighth of the size: faster, for who only wants to know whether it can be read.

    Raises:
        CheckpointError: it is damaged, cut short, no picture, or too large.
        OSError: it cannot be opened.
    """
    with open(path, "rb") as file:
        return decode_image(file, os.fspath(path), mode, shrink=shrink)


def decode_image(
    file: BinaryIO, name: str, mode: str = "RGB", *, shrink: bool = False, max_pixels: int | None = None
) -> Image.Image:
    """A picture from a binary file that is open, or from bytes in `io.BytesIO`, as a Pillow image.

    Args:
        file: JPEG, PNG or what else Pillow reads.
        name: what errors call it.
        mode, shrink: as for `read_image`.
        max_pixels: refuse a larger picture before its pixels are unpacked. Pillow refuses those above 89 million.

    Raises:
        CheckpointError: it is damaged, cut short, no picture, or too large.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(file)
            if max_pixels is not None and image.width * image.height > max_pixels:
                size = f"{image.width}x{image.height} pixels, more than {max_pixels:,}"
                raise CheckpointError(f"{name}: the picture has {size}; make it smaller")
            if shrink:
                image.draft(None, (image.width // 8 + 1, image.height // 8 + 1))
            return image.convert(mode)
        except CheckpointError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            limit = f"more than {Image.MAX_IMAGE_PIXELS:,} pixels, which could be a decompression bomb"
            raise CheckpointError(f"{name}: the picture has {limit}; make it smaller") from None
        except _DAMAGED as error:
            reason = " ".join(str(error).split()).replace(f" {file!r}", "")
            raise CheckpointError(f"{name}: not a picture that can be read: {reason:.150}") from None


class ImageFolder(Dataset):
    """Pictures in sub-folders, one for each class: `root/cat/1.jpg`, `root/dog/more/2.png`.

    A sample is (image, class number); the classes are the names of the sub-folders in alphabetical order. Without a
    transform the image is a Pillow image in RGB, which a `DataLoader` cannot stack; `ToTensor()` makes a tensor.

    Args:
        root: the folder above those of the classes. Names that begin with a dot are passed over.
        transform: applied to the image.
        target_transform: applied to the class number.
        loader: reads a file; by default `read_image`.
        is_valid_file: tells by a file's path whether it belongs; by default by the endings in `IMG_EXTENSIONS`.
        allow_empty: whether a class may have no picture.
        corrupt: what becomes of a file that cannot be read. "refuse": getting the sample raises an error that names it.
            "skip": every file is read once now; those that fail are left out, and a warning names them.

    Attributes:
        classes: the names of the classes.
        class_to_idx: their numbers.
        samples: (path, class number) of each picture; also as `imgs`.
        targets: the class number of each.
        corrupt_files: (path, reason) of those that were left out.

    Raises:
        FileNotFoundError: there is no class, or a class has no picture.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        loader: Callable[[str], Any] = read_image,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
        *,
        corrupt: str = "refuse",
    ):
        if corrupt not in ("refuse", "skip"):
            raise UnsupportedError(f"ImageFolder: corrupt must be 'refuse' or 'skip', got {corrupt!r}")
        self.root = os.fspath(root)
        self.transform = transform
        self.target_transform = target_transform
        self.loader = loader
        self.classes = _classes(Path(root))
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        self.samples: list[tuple[str, int]] = []
        for name, number in self.class_to_idx.items():
            files = _files(os.path.join(self.root, name), is_valid_file or _has_known_ending)
            if not files and not allow_empty:
                raise FileNotFoundError(
                    f"ImageFolder: the class {name!r} has no picture ({', '.join(IMG_EXTENSIONS)}) in {self.root}; "
                    "allow_empty=True lets it be"
                )
            self.samples += [(path, number) for path in files]
        self.corrupt_files: list[tuple[str, str]] = []
        if corrupt == "skip":
            self._leave_out(self.find_corrupt())

    @property
    def imgs(self) -> list[tuple[str, int]]:
        """The same as `samples`."""
        return self.samples

    @property
    def targets(self) -> list[int]:
        """The class number of each picture."""
        return [number for _, number in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, number = self.samples[index]
        image = self.loader(path)
        return (
            image if self.transform is None else self.transform(image),
            number if self.target_transform is None else self.target_transform(number),
        )

    def find_corrupt(self) -> list[tuple[str, str]]:
        """Read every file; returns (path, reason) of those that cannot be read."""
        found = []
        for path, _ in self.samples:
            try:
                if self.loader is read_image:
                    read_image(path, shrink=True)
                else:
                    self.loader(path)
            except (CheckpointError, *_DAMAGED) as error:
                found.append((path, str(error).removeprefix(f"{path}: ")))
        return found

    def _leave_out(self, corrupt: list[tuple[str, str]]) -> None:
        """Drop these files and say so."""
        self.corrupt_files = corrupt
        paths = {path for path, _ in corrupt}
        self.samples = [sample for sample in self.samples if sample[0] not in paths]
        if corrupt:
            shown = "; ".join(f"{path}: {reason}" for path, reason in corrupt[:5])
            more = f"; and {len(corrupt) - 5} more, see corrupt_files" if len(corrupt) > 5 else ""
            warnings.warn(f"ImageFolder: {len(corrupt)} files are left out: {shown}{more}", UserWarning, stacklevel=3)

    def __repr__(self) -> str:
        return f"ImageFolder({self.root!r}, {len(self.samples)} pictures of {len(self.classes)} classes)"


def _classes(root: Path) -> list[str]:
    if not root.is_dir():
        raise FileNotFoundError(f"ImageFolder: {root} is not a folder")
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise FileNotFoundError(f"ImageFolder: {root} has no sub-folders; each class needs one, with its pictures")
    return names


def _files(folder: str, is_valid: Callable[[str], bool]) -> list[str]:
    """All files below a folder that belong, in alphabetical order."""
    return [
        path
        for above, _, names in sorted(os.walk(folder, followlinks=True))
        for name in sorted(names)
        if not name.startswith(".") and is_valid(path := os.path.join(above, name))
    ]


def _has_known_ending(path: str) -> bool:
    return path.lower().endswith(IMG_EXTENSIONS)
