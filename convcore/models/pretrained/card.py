"""The model card of a weights file: the network, the classes, and the preprocessing of images.

Published files have no card; `weights_table` holds their information. Files trained by convcore carry the card in the
metadata of the safetensors format, so that the file alone is enough to classify an image.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convcore.errors import CheckpointError, UnsupportedError
from convcore.io import is_safetensors, read_metadata
from convcore.models.parts import head_name
from convcore.models.pretrained.labels import imagenet_labels
from convcore.models.pretrained.preprocess import DigitImage, ImageClassification
from convcore.models.pretrained.weights import (
    TABLES,
    Found,
    find_weights,
    load_weights,
    model_of,
    published,
    read_weights,
)
from convcore.models.registry import Shape, get_model, image_shape, known_name
from convcore.nn import Module
from convcore.nn.init import skipped

KEY = "convcore"  # the key of the card in the metadata
WEIGHTS = "weights.safetensors"  # in the folder of a run
MAX_SIZE = 4096  # the largest image size that a file may specify


@dataclass(frozen=True)
class ModelCard:
    """The description of a trained network.

    Attributes:
        model: the network's name, one of `list_models()`.
        classes: the names of the classes; () if the file lacks them, as published files for ImageNet do.
        transforms: converts an image to the network's input.
        arguments: those of the model function that differ from the defaults.
    """

    model: str
    classes: tuple[str, ...]
    transforms: ImageClassification | DigitImage
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def image_shape(self) -> Shape:
        """The shape (C, H, W) of the output of `transforms`."""
        if isinstance(self.transforms, DigitImage):
            return 1, self.transforms.size, self.transforms.size
        return 3, self.transforms.crop_size, self.transforms.crop_size

    def metadata(self) -> dict[str, str]:
        """The card as the metadata of a safetensors file, for `read_card`."""
        return {KEY: json.dumps(asdict(self))}


def read_card(path: str | os.PathLike[str]) -> ModelCard | None:
    """The card in a weights file; None if there is none, as in files of other formats. The file name does not matter.

    Raises:
        CheckpointError: the file is damaged.
    """
    if not Path(path).is_file() or not is_safetensors(path):
        return None
    text = read_metadata(path).get(KEY)
    if text is None:
        return None
    try:
        return _card(json.loads(text))
    except (UnsupportedError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{os.fspath(path)}: what the file says about its model is damaged: {error!r:.200}"
        ) from None


def _card(content: Any) -> ModelCard:
    """The card from parsed JSON. Only what convcore writes is accepted, because files may come from anywhere."""
    model, classes = known_name(content["model"]), tuple(content["classes"])
    settings = {name: _frozen(value) for name, value in content["transforms"].items()}
    transforms = _digits(settings) if "box" in settings else _photographs(settings)
    arguments = content.get("arguments", {})
    if arguments and arguments not in [member.value.arguments for member in TABLES.get(model, ())]:
        raise ValueError(f"the arguments of {model} are {arguments!r}")
    if not all(isinstance(name, str) for name in classes):
        raise TypeError("the names of classes must be strings")
    return ModelCard(model, classes, transforms, arguments)


def _photographs(settings: dict[str, Any]) -> ImageClassification:
    transforms = ImageClassification(**settings)
    _check_sizes(transforms.crop_size, transforms.resize_size)
    colours = (*transforms.mean, *transforms.std)
    if len(transforms.mean) != 3 or len(transforms.std) != 3 or not all(type(part) in (int, float) for part in colours):
        raise ValueError("mean and std must be three numbers each")
    if transforms.interpolation not in ("bilinear", "bicubic"):
        raise ValueError(f"the interpolation is {transforms.interpolation!r}")
    return transforms


def _digits(settings: dict[str, Any]) -> DigitImage:
    transforms = DigitImage(**settings)
    _check_sizes(transforms.size, transforms.box)
    if transforms.box > transforms.size:
        raise ValueError(f"the box of {transforms.box} is larger than the picture of {transforms.size}")
    return transforms


def _check_sizes(*sizes: Any) -> None:
    if not all(type(size) is int and 0 < size <= MAX_SIZE for size in sizes):
        raise ValueError(f"sizes of pictures must be whole numbers up to {MAX_SIZE}, got {sizes}")


def _frozen(value: Any) -> Any:
    """JSON lists converted back to tuples."""
    return tuple(value) if isinstance(value, list) else value


def load(path: str | os.PathLike[str]) -> tuple[Module, ModelCard]:
    """The trained network in a weights file, in evaluation mode, and its card.

        network, card = convcore.models.load("runs/digits")
        with convcore.no_grad():
            scores = network(card.transforms(picture).unsqueeze(0))
        print(card.classes[scores.argmax().item()])

    Args:
        path: a file written by `convcore train` or `convcore finetune`, or the folder of such a run; or a published
            file.

    Raises:
        UnsupportedError: the file does not name its network; `get_model(name, weights=path)` loads it.
        CheckpointError: the file is missing or damaged, or does not fit.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        file = file / WEIGHTS
    if not file.is_file():
        raise CheckpointError(f"load: {file}: there is no such file")
    if read_card(file) is None and published(file) is None:
        raise UnsupportedError(
            f"load: {file} does not say which network it is of; get_model(name, weights=path) loads it"
        )
    return load_classifier("load", None, str(file))


def labels_of(network: Module, card: ModelCard) -> Sequence[str] | None:
    """The names of a network's classes; None if they are unknown."""
    if card.classes:
        return card.classes
    labels = imagenet_labels()
    count = network.get_submodule(head_name(network)).state_dict()["weight"].shape[0]
    return labels if labels is not None and len(labels) == count else None


def load_classifier(op: str, model: str | None, weights: str) -> tuple[Module, ModelCard]:
    """A network with trained weights, in evaluation mode, and its card.

    The path of a published file means the same as its name. For any other file, preprocessing and arguments are as for
    the DEFAULT weights of the model, and the last layer in the file determines the number of classes.

    Args:
        op: the caller's name, the first word of error messages.
        model: the network's name; None for the network of the file if it is known, else efficientnet_lite0.
        weights: "imagenet" or another name as in `convcore weights`, or a file.

    Raises:
        UnsupportedError: the preprocessing is unknown, or the file belongs to another network.
        CheckpointError: the weights are missing or damaged, or do not fit.
    """
    path = Path(weights).expanduser()
    card = read_card(path)
    if card is not None:
        if model is not None and known_name(model) != card.model:
            raise UnsupportedError(f"{op}: {weights} holds weights of {card.model}, not of {known_name(model)}")
        classes = len(card.classes)
        return get_model(card.model, weights=path, num_classes=classes, **card.arguments).eval(), card
    member = published(path) if model is None and path.is_file() else None
    name = known_name(model or ("efficientnet_lite0" if member is None else model_of(member)))
    if name not in TABLES and (image_shape(name)[0] != 3 or name == "simple_cnn"):
        raise UnsupportedError(
            f"{op}: {name} has no weights for photographs; take one of `convcore weights`, or a file that "
            "`convcore train` has written, which says how pictures are prepared"
        )
    found = find_weights(name, weights)
    known = found.known
    if known is None and name in TABLES:
        known = TABLES[name]["DEFAULT"].value
    if known is None:
        size = image_shape(name)[-1]
        card = ModelCard(name, (), ImageClassification(size, size * 256 // 224))
    else:
        card = ModelCard(name, (), known.transforms(), known.arguments)
    return _built(found, card).eval(), card


def _built(found: Found, card: ModelCard) -> Module:
    """The network of a card with the weights of the file; the last layer in the file gives the number of classes."""
    with skipped():
        network = get_model(card.model, **card.arguments)
        state = read_weights(card.model, network, found)
        head = f"{head_name(network)}.weight"
        if head in state and state[head].shape[:1] != network.state_dict()[head].shape[:1]:
            network = get_model(card.model, **card.arguments, num_classes=state[head].shape[0])
    load_weights(card.model, network, found, state)
    return network
