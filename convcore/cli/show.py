"""`convcore show`: the filters of a network, its feature maps, or why it decides, in a picture file."""

from __future__ import annotations

import argparse
import errno
import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from convcore.cli.arguments import WEIGHTS_HELP, path, weights
from convcore.cli.compiling import announce_compile
from convcore.data import read_image
from convcore.errors import UnsupportedError
from convcore.models import get_model, list_models
from convcore.models.card import load_classifier, read_card
from convcore.models.labels import imagenet_labels
from convcore.models.registry import image_shape, known_name
from convcore.models.weights import TABLES, model_of, published
from convcore.nn import Module

EXAMPLES = """examples:
  convcore show filters digit_cnn
  convcore show maps efficientnet_lite0 cat.jpg -o maps.png
  convcore show gradcam efficientnet_lite0 cat.jpg --layer features.8.2 --class 285
  convcore show gradcam runs/flowers/weights.safetensors rose.jpg     what `convcore finetune` has written

It needs matplotlib: python -m pip install 'convcore[plot]'"""


def add_parser(subparsers: Any) -> None:
    """Describe the command's options."""
    parser = subparsers.add_parser(
        "show",
        help="draw a network's filters, its feature maps, or why it decides",
        description="Draw a trained network's filters, what its layers make of a picture, or saliency and Grad-CAM.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("filters", "maps", "gradcam"))
    parser.add_argument(
        "model", metavar="MODEL", help="its name: digit_cnn, efficientnet_lite0, .., or a fine-tuned file"
    )
    parser.add_argument("image", metavar="IMAGE", nargs="?", type=path, help="a picture; filters need none")
    parser.add_argument("-o", "--out", type=path, metavar="F", help="the picture to write (default: WHAT-MODEL.png)")
    parser.add_argument("--weights", type=weights, default="DEFAULT", metavar="W", help=WEIGHTS_HELP)
    parser.add_argument("--layer", help="its name; by default the first (filters, maps) or last (gradcam) convolutions")
    parser.add_argument("--class", dest="target", type=int, metavar="N", help="of gradcam (default: the likeliest)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw the picture."""
    if find_spec("matplotlib") is None:
        raise UnsupportedError("matplotlib must be installed: python -m pip install 'convcore[plot]'")
    from convcore import plot

    if (args.image is None) != (args.what == "filters"):
        raise UnsupportedError(f"{args.what} {'needs an IMAGE' if args.image is None else 'takes no IMAGE'}")
    if args.target is not None and args.what != "gradcam":
        raise UnsupportedError("--class belongs to gradcam")
    name, model, prepare, labels = load(args.model, args.weights)
    out = args.out or Path(f"{args.what}-{name}.png")
    with announce_compile():
        if args.what == "filters":
            plot.filters(model, args.layer, path=out)
        else:
            x = prepare(read_image(args.image)).unsqueeze(0)
            if args.what == "maps":
                plot.feature_maps(model, x, None if args.layer is None else [args.layer], path=out)
            else:
                plot.grad_cam(model, x, args.layer, args.target, labels, path=out)
    print(out)
    return 0


def load(model: str, weights: str) -> tuple[str, Module, Callable[[Any], Any], Sequence[str] | None]:
    """A trained network: its name, itself, what prepares a picture for it, and its classes if they have names.

    Args:
        model: the network's name, or a file: one that `convcore finetune` has written, or a published one.
        weights: a file, or a name as in `convcore weights`.

    Raises:
        UnsupportedError: the network has no known weights; the file does not name its network; two files are given.
        CheckpointError: the weights are not here, damaged, or do not fit.
    """
    file = Path(model).expanduser()
    if file.suffix.lower() in (".safetensors", ".pth", ".pt") and not file.is_file():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), model)
    if file.is_file() and model not in list_models():
        if weights != "DEFAULT":
            raise UnsupportedError(f"show: {model} is a file of weights already; leave out --weights {weights}")
        card, member = read_card(file), published(file)
        if card is not None:
            model, weights = card.model, str(file)
        elif member is not None:
            model, weights = model_of(member), str(file)
        else:
            raise UnsupportedError(
                f"show: {model} does not say which network it is of; write `show WHAT MODEL --weights {model}`"
            )
    name = known_name(model)
    if name in TABLES and image_shape(name)[0] == 1:
        return name, get_model(name, weights=weights).eval(), TABLES[name]["DEFAULT"].value.transforms(), None
    network, card = load_classifier("show", name, weights)
    return name, network, card.transforms, card.classes or imagenet_labels()
