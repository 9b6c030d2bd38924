"""`convcore show`: draws the filters, feature maps, saliency or Grad-CAM of a network into a picture file."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from convcore.cli.arguments import WEIGHTS_HELP, model, path, weights
from convcore.cli.compiling import announce_compile
from convcore.cli.drawing import missing_letters, say_missing
from convcore.cli.networks import load
from convcore.cli.output import printable
from convcore.data import read_image
from convcore.errors import UnsupportedError
from convcore.models.pretrained.card import labels_of

EXAMPLES = """examples:
  convcore show filters digit_cnn
  convcore show maps efficientnet_lite0 cat.jpg -o maps.png
  convcore show gradcam efficientnet_lite0 cat.jpg --layer features.8.2 --class 285
  convcore show gradcam runs/digits 3.png              a network from `convcore train`
  convcore show gradcam runs/flowers rose.jpg          a network from `convcore finetune`

It needs matplotlib: python -m pip install 'convcore[plot]'"""


def add_parser(subparsers: Any) -> None:
    """Describe the command's options."""
    parser = subparsers.add_parser(
        "show",
        help="draw a network's filters, feature maps, saliency or Grad-CAM",
        description="Draw a trained network's filters, its feature maps of a picture, or saliency and Grad-CAM.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("filters", "maps", "gradcam"))
    parser.add_argument(
        "model",
        metavar="MODEL",
        type=model,
        help="a network: digit_cnn, efficientnet_lite0, .., or a weights file that names it, or the folder of a run",
    )
    parser.add_argument("image", metavar="IMAGE", nargs="?", type=path, help="a picture; filters need none")
    parser.add_argument("-o", "--out", type=path, metavar="F", help="the picture to write (default: WHAT-MODEL.png)")
    parser.add_argument("--weights", type=weights, default="DEFAULT", metavar="W", help=WEIGHTS_HELP)
    parser.add_argument(
        "--layer", help="name of a layer; by default the first convolutions (filters, maps) or the last maps (gradcam)"
    )
    parser.add_argument(
        "--class", dest="target", type=int, metavar="N", help="class index for gradcam (default: the most likely)"
    )
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
    network, card = load("show", args.model, args.weights)
    out = args.out or Path(f"{args.what}-{card.model}.png")
    with announce_compile(), missing_letters() as missing:
        if args.what == "filters":
            plot.filters(network, args.layer, path=out)
        else:
            x = card.transforms(read_image(args.image)).unsqueeze(0)
            if args.what == "maps":
                plot.feature_maps(network, x, None if args.layer is None else [args.layer], path=out)
            else:
                plot.grad_cam(network, x, args.layer, args.target, labels_of(network, card), path=out)
    say_missing(missing)
    print(printable(str(out)))
    return 0
