"""Transfer learning with ten images per class: `python -m convcore.examples.transfer`.

Is it a face? The data are 200 grey images of 25x25 pixels, 100 of them faces, from "Labeled Faces in the Wild", as
included in scikit-image. 20 images are for training, the other 180 for testing. The test accuracy over four draws of
the 20 images (seeds 0 to 3):

    a small CNN from scratch, 40 epochs                                          86 to 92 %, mean 88.9 %
    EfficientNet-Lite0 from scratch, 40 epochs                                   82 to 97 %, mean 90.3 %
    EfficientNet-Lite0 trained on ImageNet, frozen, a new last layer, 8 epochs   96 to 97 %, mean 96.7 %
    the same, the last three stages unfrozen, 8 more epochs                      96 to 97 %, mean 96.8 %

Pretraining on ImageNet makes the result better and, above all, stable. Unfreezing neither helps nor harms: 20 images
teach the stages little, and their learning rate is small. The whole program takes 25 s on two cores (AVX-512).

Needs `python -m pip install 'convcore[examples]'`: the weights, and scikit-image for the images.

Source: J. Yosinski et al., "How transferable are features in deep neural networks?" (2014).
"""

from __future__ import annotations

import numpy as np
import skimage.data

import convcore as cc
from convcore import nn
from convcore.examples.training import Examples, train
from convcore.models import EfficientNet_Lite0_Weights, efficientnet_lite0
from convcore.optim import Adam
from convcore.transforms import Normalize, Resize

FACES = 100  # the first of 200 images
SIZE = 64  # pixels after enlargement: Lite0 divides height and width by 32
CLASSES = 2
LAST_STAGES = 3
BATCH = 10


def read_pictures(each: int = 10, seed: int = 0) -> tuple[Examples, Examples]:
    """Images (N, 1, 25, 25) with classes (1 is a face): `each` per class for training, and all the others."""
    pictures = skimage.data.lfw_subset().astype(np.float32)[:, None]
    labels = np.repeat([1, 0], [FACES, len(pictures) - FACES])
    draw = np.random.default_rng(seed)
    order = np.stack([draw.permutation(np.flatnonzero(labels == label)) for label in range(CLASSES)])
    parts = order[:, :each].ravel(), order[:, each:].ravel()
    return (pictures[parts[0]], labels[parts[0]]), (pictures[parts[1]], labels[parts[1]])


def as_photographs(examples: Examples) -> Examples:
    """The images in Lite0's format: larger, three channels, normalised with ImageNet's mean and deviation."""
    pictures, labels = examples
    known = EfficientNet_Lite0_Weights.DEFAULT.value
    colours = np.repeat(Resize(SIZE)(pictures), 3, axis=1)
    return Normalize(known.mean, known.std)(colours), labels


class SmallCNN(nn.Sequential):
    """Three convolutions, global max pooling, and a linear layer."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
            nn.Dropout(0.5), nn.Linear(64, CLASSES),
        )  # fmt: skip


def learn_from_scratch(training: Examples, held_out: Examples, epochs: int, seed: int = 0) -> dict[str, float]:
    """The accuracies of two untrained networks; arguments as for `learn_from_imagenet`."""
    print("a small CNN from scratch")
    cc.manual_seed(seed)
    small = SmallCNN()
    optimizer = Adam(small.parameters(), lr=2e-3)
    accuracies = {"small": train(small, training, held_out, epochs, optimizer, batch=BATCH)}

    print("EfficientNet-Lite0 from scratch")
    cc.manual_seed(seed)
    # The network's batch norms average over hundreds of batches; here there are fewer.
    lite0 = efficientnet_lite0(num_classes=CLASSES, norm_layer=nn.BatchNorm2d)
    optimizer = Adam(lite0.parameters(), lr=1e-3)
    examples = as_photographs(training), as_photographs(held_out)
    return {**accuracies, "scratch": train(lite0, *examples, epochs, optimizer, batch=BATCH)}


def learn_from_imagenet(training: Examples, held_out: Examples, epochs: int, seed: int = 0) -> dict[str, float]:
    """The accuracies on `held_out` of Lite0: with a new last layer, then with unfrozen stages, `epochs` each."""
    training, held_out = as_photographs(training), as_photographs(held_out)
    print("EfficientNet-Lite0 with ImageNet's weights, frozen, and a new last layer")
    cc.manual_seed(seed)
    model = efficientnet_lite0(weights="imagenet")
    for parameter in model.parameters():
        parameter.requires_grad = False
    head = model.classifier[1] = nn.Linear(model.classifier[1].in_features, CLASSES)
    optimizer = Adam(head.parameters(), lr=3e-3)
    accuracies = {"frozen": train(model, training, held_out, epochs, optimizer, batch=BATCH)}

    print(f"the same, the last {LAST_STAGES} stages unfrozen")
    stages = model.features[-LAST_STAGES:]
    for module in stages.modules():
        if not isinstance(module, nn.BatchNorm2d):  # statistics of 20 images are poorer than ImageNet's
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad = True
    unfrozen = [parameter for parameter in stages.parameters() if parameter.requires_grad]
    optimizer = Adam([{"params": unfrozen, "lr": 3e-5}, {"params": head.parameters(), "lr": 1e-3}])
    return {**accuracies, "unfrozen": train(model, training, held_out, epochs, optimizer, batch=BATCH)}


def main(seed: int = 0, epochs: int = 8) -> dict[str, float]:
    """Train the four ways, print the progress, and return the accuracies on the test images.

    Args:
        seed: determines the 20 images and all random numbers.
        epochs: of each phase; the networks from scratch get five times as many.
    """
    training, held_out = read_pictures(seed=seed)
    accuracies = learn_from_scratch(training, held_out, 5 * epochs, seed)
    accuracies.update(learn_from_imagenet(training, held_out, epochs, seed))
    print(f"right on {len(held_out[1])} pictures: " + ", ".join(f"{name} {a:.1%}" for name, a in accuracies.items()))
    return accuracies


if __name__ == "__main__":
    main()
