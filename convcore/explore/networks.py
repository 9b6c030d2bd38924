"""The networks that can be explored: a trained one for digits, and a larger one if its weights are installed."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from convcore import models, nn
from convcore.explore.fields import RequestError, shown
from convcore.inspect.activations import convolutions
from convcore.inspect.attribution import last_maps
from convcore.inspect.receptive_field import spatial_layers
from convcore.models import get_model, image_shape
from convcore.models.parts import head_name
from convcore.models.pretrained.card import labels_of
from convcore.models.pretrained.labels import imagenet_labels
from convcore.models.pretrained.preprocess import ImageClassification
from convcore.models.pretrained.weights import TABLES, locate
from convcore.ops.create.creation import zeros
from convcore.summary import Layer
from convcore.tensor import Tensor


@dataclass(frozen=True)
class Choice:
    """A network that a page offers.

    Attributes:
        title: the name that the page shows.
        samples: its samples: "digits" or "pictures".
        kind: the kind of the samples, "grey" or "colour".
        layers: a pattern for the names of the layers that are shown.
        classes: the number of classes shown, the most likely first; 0 for all in their order.
    """

    title: str
    samples: str
    kind: str
    layers: str
    classes: int


ALL_CLASSES = 10  # networks with more classes show only the most likely six

CHOICES = {
    "digit_cnn": Choice("digits: three convolutions", "digits", "grey", r".*", 0),
    # The stem, the output of each block, and the last layer; there are 140 layers in all.
    "efficientnet_lite0": Choice(
        "photos: EfficientNet-Lite0",
        "pictures",
        "colour",
        r"features\.(0\.[02]|1\.0\.block\.1\.1|[2-7]\.\d\.block\.2\.1|8\.2)",
        6,
    ),
}


@dataclass(frozen=True)
class Network:
    """A trained network and the data needed to show it.

    Attributes:
        choice: its entry among the offered networks.
        model: the network, in evaluation mode.
        prepare: the transform from a picture to (C, H, W).
        labels: the names of the classes.
        layers: the layers that are shown, by name.
    """

    choice: Choice
    model: nn.Module
    prepare: Callable[[Image.Image], Tensor]
    labels: list[str]
    layers: dict[str, Layer]

    @functools.cached_property
    def cam_layer(self) -> str:
        """The layer that Grad-CAM uses."""
        return last_maps(self.model, zeros(*next(iter(self.layers.values())).input_shape))

    def filters_of(self, layer: str) -> str | None:
        """The convolution whose filters computed a layer's maps: itself, or the last one before with as many maps."""
        known, found = convolutions(self.model), None
        for name, _ in self.model.named_modules():
            found = name if name in known else found
            if name == layer:
                break
        maps = self.layers[layer].output_shape[1]
        return found if found is not None and known[found].out_channels == maps else None

    def picture(self, x: Tensor) -> np.ndarray:
        """The network's input (C, H, W) as bytes for display: (H, W) or (H, W, 3)."""
        values = x.numpy().transpose(1, 2, 0)
        if isinstance(self.prepare, ImageClassification):
            values = values * np.array(self.prepare.std, np.float32) + np.array(self.prepare.mean, np.float32)
        pixels = (values.clip(0, 1) * 255).round().astype(np.uint8)
        return pixels if pixels.shape[2] == 3 else pixels[:, :, 0]


def available() -> dict[str, Choice]:
    """The user's network, if there is one, and all networks whose weights are on this machine."""
    known = {name: choice for name, choice in CHOICES.items() if locate(TABLES[name]["DEFAULT"].value) is not None}
    return {**{name: network.choice for name, network in OWN.items()}, **known}


OWN: dict[str, Network] = {}  # the user's networks, by name


def offer(path: str) -> None:
    """Offer the network in a weights file, before all others; see `convcore.models.load` for the file.

    Raises:
        UnsupportedError, CheckpointError: as `convcore.models.load` does.
    """
    model, card = models.load(path)
    grey = card.image_shape[0] == 1
    pattern = CHOICES[card.model].layers if card.model in CHOICES else r".*"
    names = labels_of(model, card)
    count = model.get_submodule(head_name(model)).state_dict()["weight"].shape[0]
    choice = Choice(
        f"yours: {card.model} from {Path(*Path(path).absolute().parts[-2:])}",
        "digits" if grey else "pictures",
        "grey" if grey else "colour",
        pattern,
        0 if count <= ALL_CLASSES else 6,
    )
    labels = list(names) if names is not None else [f"class {i}" for i in range(count)]
    OWN["yours"] = Network(choice, model, card.transforms, labels, _shown(model, card.image_shape, pattern))


def _shown(model: nn.Module, image: tuple[int, int, int], pattern: str) -> dict[str, Layer]:
    found = spatial_layers(model, (1, *image))
    return {name: layer for name, layer in found.items() if re.fullmatch(pattern, name)}


@functools.cache
def load(name: str) -> Network:
    """Load a network by name; it is built once and cached.

    Raises:
        RequestError: there is no such network.
    """
    if name not in available():
        raise RequestError(f"network must be one of {', '.join(available())}, got {shown(name)}")
    if name in OWN:
        return OWN[name]
    choice = CHOICES[name]
    model = get_model(name, weights="DEFAULT").eval()
    layers = _shown(model, image_shape(name), choice.layers)
    labels = [str(i) for i in range(10)] if choice.samples == "digits" else imagenet_labels()
    prepare = TABLES[name]["DEFAULT"].transforms()
    return Network(choice, model, prepare, labels or [f"class {i}" for i in range(1000)], layers)
