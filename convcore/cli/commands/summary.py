"""`convcore summary`: the layers of a model in a table."""

from __future__ import annotations

import argparse
import math
from typing import Any

from convcore.cli.arguments import model, positive, shape
from convcore.cli.networks import is_file, load
from convcore.errors import ShapeError
from convcore.models import get_model, image_shape
from convcore.summary import by_x, summary

MOST = 2**26  # input elements at most: intermediate results take many times the memory

EXAMPLES = """examples:
  convcore summary resnet50
  convcore summary simple_cnn --input 3x64x64 --batch 8
  convcore summary runs/digits                              a network from `convcore train`"""


def add_parser(subparsers: Any) -> None:
    """Describe the command's options."""
    parser = subparsers.add_parser(
        "summary",
        help="show a model's layers, shapes, parameters, multiply-adds and receptive fields",
        description="Show every layer of a model: output shape, parameters, multiply-adds and receptive field.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model", metavar="MODEL", type=model,
        help="a network: cnn, resnet50, vgg16, ... (a wrong name lists all), or a weights file that names it, or the "
        "folder of a run",
    )  # fmt: skip
    parser.add_argument("--input", type=shape, metavar="CxHxW", help="shape of an image (default: that of the model)")
    parser.add_argument("--batch", type=positive, default=1, metavar="N", help="images in a batch (default 1)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    if is_file(args.model):
        network, card = load("summary", args.model)
        image = card.image_shape
    else:
        network, image = get_model(args.model), image_shape(args.model)
    size = (args.batch, *(args.input or image))
    if math.prod(size) > MOST:
        raise ShapeError(
            f"summary: an input of {by_x(size)} has more than {MOST:,} numbers; the network runs once on it"
        )
    print(summary(network, size))
    return 0
