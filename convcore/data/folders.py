"""Folders of images, with a sub-folder for each class."""

from __future__ import annotations

import mimetypes
import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

from PIL import Image

from convcore.data.dataset import Dataset
from convcore.data.images import DAMAGED, IMG_EXTENSIONS, read_image
from convcore.errors import CheckpointError, UnsupportedError

BROKEN = "broken link"  # in place of a file extension
Identity = tuple[int, int]  # of a folder: device and inode


class ImageFolder(Dataset):
    """Images in sub-folders, one for each class: `root/cat/1.jpg`, `root/dog/more/2.png`.

    A sample is (image, class number); the classes are the names of the sub-folders in alphabetical order. Without a
    transform the image is a Pillow image in RGB, which a `DataLoader` cannot stack; `ToTensor()` makes a tensor.

    Args:
        root: the folder that holds the class folders. Names that start with a dot are skipped, at any depth. Links to
            folders are followed, but not to parent folders, and within a class no folder is entered twice.
        transform: applied to the image.
        target_transform: applied to the class number.
        loader: reads a file; by default `read_image`: upright, 8 bits, transparent pixels on white.
        is_valid_file: selects files by path; by default by the extensions in `IMG_EXTENSIONS`.
        allow_empty: whether a class may have no image.
        corrupt: the treatment of unreadable files. "refuse": getting the sample raises an error that names the file.
            "skip": every file is read once now; unreadable ones are left out, and a warning names them.

    Attributes:
        classes: the names of the classes.
        class_to_idx: the number of each class.
        samples: (path, class number) of each image; also as `imgs`.
        targets: the class number of each image.
        corrupt_files: (path, reason) of files left out.
        passed_over: the number of files with other extensions, by extension. A warning tells if there are images
            among them, say {".HEIC": 12}.

    Raises:
        FileNotFoundError: there is no class, or a class has no image.
        PermissionError: a folder cannot be read.
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
        above = _folders_above(self.root)
        self.classes = _classes(self.root, above)
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        self.samples: list[tuple[str, int]] = []
        others: Counter[str] = Counter()
        for name, number in self.class_to_idx.items():
            files = _files(os.path.join(self.root, name), above)
            chosen = [path for path in files if (is_valid_file or _has_known_ending)(path)]
            rest = [] if is_valid_file else [path for path in files if not _has_known_ending(path)]
            endings = Counter(map(_ending, rest))
            if not chosen and not allow_empty:
                raise FileNotFoundError(
                    f"ImageFolder: the class {name!r} has no picture ({', '.join(IMG_EXTENSIONS)}) in {self.root}"
                    f"{', only ' * bool(endings)}{counted(endings)}; allow_empty=True lets it be"
                )
            others.update(endings)
            self.samples += [(path, number) for path in chosen]
        self.passed_over = dict(sorted(others.items()))
        if any(map(_is_image_format, self.passed_over)):
            self.notice(
                f"ImageFolder: passed over in {self.root}: {counted(self.passed_over)}; only files that end in "
                f"{', '.join(IMG_EXTENSIONS)} are read"
            )
        self.corrupt_files: list[tuple[str, str]] = []
        if corrupt == "skip":
            self.leave_out(self.find_corrupt())
            if self.corrupt_files:
                shown = "; ".join(f"{path}: {reason}" for path, reason in self.corrupt_files[:5])
                more = len(self.corrupt_files) - 5
                rest = f"; and {more} more, see corrupt_files" if more > 0 else ""
                self.notice(f"ImageFolder: {len(self.corrupt_files)} files are left out: {shown}{rest}")

    def notice(self, message: str) -> None:
        """Report something about the folder: by a warning, unless a subclass overrides this."""
        warnings.warn(message, UserWarning, stacklevel=3)

    @property
    def imgs(self) -> list[tuple[str, int]]:
        """The same as `samples`."""
        return self.samples

    @property
    def targets(self) -> list[int]:
        """The class number of each image."""
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
        """Read every file; returns (path, reason) of unreadable files."""
        found = []
        for path, _ in self.samples:
            try:
                if self.loader is read_image:
                    read_image(path, shrink=True)
                else:
                    self.loader(path)
            except (CheckpointError, *DAMAGED) as error:
                found.append((path, str(error).removeprefix(f"{path}: ")))
        return found

    def leave_out(self, corrupt: list[tuple[str, str]]) -> None:
        """Remove these files, (path, reason), from the samples, and store them as `corrupt_files`."""
        self.corrupt_files = corrupt
        paths = {path for path, _ in corrupt}
        self.samples = [sample for sample in self.samples if sample[0] not in paths]

    def __repr__(self) -> str:
        return f"ImageFolder({self.root!r}, {len(self.samples)} pictures of {len(self.classes)} classes)"


def counted(endings: Mapping[str, int]) -> str:
    """ "2 .HEIC, 1 .txt": the numbers of files by extension, as text."""
    return ", ".join(f"{count} {ending}" for ending, count in endings.items())


def _classes(root: str, above: Set[Identity]) -> list[str]:
    if not os.path.isdir(root):
        raise FileNotFoundError(f"ImageFolder: {root} is not a folder")
    names = sorted(
        entry.name
        for entry in os.scandir(root)
        if not entry.name.startswith(".") and _leads_to(entry, os.DirEntry.is_dir)
        if _identity(entry.path) not in above
    )
    if not names:
        raise FileNotFoundError(f"ImageFolder: {root} has no sub-folders; each class needs one, with its pictures")
    return names


def _files(folder: str, above: Set[Identity]) -> list[str]:
    """All files below a folder but hidden ones, sorted by folder, then by name.

    If a folder is reachable by several paths, its real path counts; links are followed after all real folders.
    """
    entered, found = set(above), []
    folders, links = [folder], []
    while folders or links:
        path = folders.pop() if folders else links.pop(0)
        if _identity(path) in entered:
            continue
        entered.add(_identity(path))
        for entry in os.scandir(path):
            if entry.name.startswith("."):
                continue
            if _leads_to(entry, os.DirEntry.is_dir):
                (links if entry.is_symlink() else folders).append(entry.path)
            elif _leads_to(entry, os.DirEntry.is_file) or not os.path.exists(entry.path):
                found.append((path, entry.name))  # but no pipes, which may block forever
        links.sort()
    return [os.path.join(path, name) for path, name in sorted(found)]


def _folders_above(root: str) -> set[Identity]:
    """The root itself, and all its parent folders."""
    path = Path(root).resolve()
    return {_identity(folder) for folder in (path, *path.parents) if folder.is_dir()}


def _identity(folder: str | Path) -> Identity:
    """Device and inode: the same for all paths of a folder."""
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _leads_to(entry: os.DirEntry[str], kind: Callable[[os.DirEntry[str]], bool]) -> bool:
    """Whether an entry, or the target of a link, is of a kind; false for broken and circular links."""
    try:
        return kind(entry)
    except OSError:
        return False


def _has_known_ending(path: str) -> bool:
    return path.lower().endswith(IMG_EXTENSIONS)


def _ending(path: str) -> str:
    if not os.path.exists(path):
        return BROKEN
    return os.path.splitext(path)[1] or "without an ending"


def _is_image_format(ending: str) -> bool:
    """Whether this is the extension of an image format that is not read; broken links count, too."""
    kind = mimetypes.guess_type(f"name{ending}")[0] or ""
    return kind.startswith("image/") or ending.lower() in (BROKEN, ".heic", ".heif", *Image.registered_extensions())
