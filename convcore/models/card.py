"""What a file of weights says about itself: the network, the classes, how pictures must be prepared.

Published files say nothing; what is known of them stands in `weights_table`. Files that convcore fine-tuned carry it in
the metadata of the safetensors format, so that the file alone is enough to classify a picture.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convcore.errors import CheckpointError, UnsupportedError
from convcore.io import read_metadata
from convcore.models.preprocess import ImageClassification
from convcore.models.registry import get_model, image_shape, known_name
from convcore.models.weights import TABLES, find_weights
from convcore.nn import Module

KEY = "convcore"  # of the metadata


@dataclass(frozen=True)
class ModelCard:
    """A network for photographs, and what belongs to it.

    Attributes:
        model: the network's name, one of `list_models()`.
        classes: their names; () where they are not in the file, as in published ones for ImageNet.
        transforms: from a picture to the network's input.
    """

    model: str
    classes: tuple[str, ...]
    transforms: ImageClassification

    def metadata(self) -> dict[str, str]:
        """The card as the metadata of a safetensors file, for `read_card`."""
        return {KEY: json.dumps(asdict(self))}


def read_card(path: str | os.PathLike[str]) -> ModelCard | None:
    """The card in a file of weights; None where there is none.

    Raises:
        CheckpointError: the file is damaged.
    """
    if Path(path).suffix != ".safetensors" or not Path(path).is_file():
        return None
    text = read_metadata(path).get(KEY)
    if text is None:
        return None
    try:
        content = json.loads(text)
        settings = {name: _frozen(value) for name, value in content["transforms"].items()}
        return ModelCard(content["model"], tuple(content["classes"]), ImageClassification(**settings))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{os.fspath(path)}: what the file says about its model is damaged: {error!r}") from None


def _frozen(value: Any) -> Any:
    """JSON's lists as the tuples that they were."""
    return tuple(value) if isinstance(value, list) else value


def load_classifier(op: str, model: str | None, weights: str) -> tuple[Module, ModelCard]:
    """A network with trained weights, in evaluation mode, and its card.

    Args:
        op: who asks, for the beginning of errors.
        model: the network's name; None for what the file says, else efficientnet_lite0.
        weights: "imagenet" or another name as in `convcore weights`, or a file.

    Raises:
        UnsupportedError: the network is not for photographs, or the file is of another one.
        CheckpointError: the weights are not here, damaged, or do not fit.
    """
    card = read_card(Path(weights).expanduser())
    if card is not None:
        if model is not None and known_name(model) != card.model:
            raise UnsupportedError(f"{op}: {weights} holds weights of {card.model}, not of {known_name(model)}")
        return get_model(card.model, weights=weights, num_classes=len(card.classes)).eval(), card
    name = known_name(model or "efficientnet_lite0")
    if image_shape(name)[0] != 3 or name == "simple_cnn":
        raise UnsupportedError(f"{op}: {name} has no weights for photographs; take one of `convcore weights`")
    return get_model(name, weights=weights).eval(), ModelCard(name, (), preparation(name, weights))


def preparation(name: str, weights: str) -> ImageClassification:
    """What the weights were trained with; of a file that is not known by name, what the model's known ones were."""
    known = find_weights(name, weights).known
    if known is None and name in TABLES:
        known = TABLES[name]["DEFAULT"].value
    if known is not None:
        return known.transforms()
    size = image_shape(name)[-1]
    return ImageClassification(size, size * 256 // 224)
