"""`convcore show`: the filters of a network, its feature maps, or why it decides, in a picture file."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from convcore.cli.compiling import announce_compile
from convcore.data import read_image
from convcore.errors import UnsupportedError
from convcore.models import get_model
from convcore.models.labels import imagenet_labels
from convcore.models.registry import known_name
from convcore.models.weights import TABLES, find_weights

EXAMPLES = """examples:
  convcore show filters digit_cnn
  convcore show maps efficientnet_lite0 cat.jpg -o maps.png
  convcore show gradcam efficientnet_lite0 cat.jpg --layer features.8.2 --class 285

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
    parser.add_argument("model", metavar="MODEL", help="its name: digit_cnn, efficientnet_lite0, resnet50, ..")
    parser.add_argument("image", metavar="IMAGE", nargs="?", type=Path, help="a picture; filters need none")
    parser.add_argument("-o", "--out", type=Path, metavar="F", help="the picture to write (default: WHAT-MODEL.png)")
    parser.add_argument("--weights", default="DEFAULT", help="a file, or a name as in `convcore weights`")
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
    name = known_name(args.model)
    if name not in TABLES:
        raise UnsupportedError(f"show: no weights of {name} are known by name; take a model of `convcore weights`")
    out = args.out or Path(f"{args.what}-{name}.png")
    model = get_model(name, weights=args.weights)
    with announce_compile():
        if args.what == "filters":
            plot.filters(model, args.layer, path=out)
        else:
            known = find_weights(name, args.weights).known or TABLES[name]["DEFAULT"].value
            x = known.transforms()(read_image(args.image)).unsqueeze(0)
            if args.what == "maps":
                plot.feature_maps(model, x, None if args.layer is None else [args.layer], path=out)
            else:
                labels = None if name == "digit_cnn" else imagenet_labels()
                plot.grad_cam(model, x, args.layer, args.target, labels, path=out)
    print(out)
    return 0
