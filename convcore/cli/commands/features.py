"""`convcore features`: writes the features that a trained network computes for pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from convcore import nn
from convcore.autograd import no_grad
from convcore.cli.arguments import WEIGHTS_HELP, path, positive, weights
from convcore.cli.compiling import announce_compile
from convcore.cli.output import printable
from convcore.cli.pictures import add_corrupt_option, open_folder, readable
from convcore.data import DataLoader, Dataset, Transformed, read_image
from convcore.errors import ShapeError, UnsupportedError
from convcore.io.files import replace_file
from convcore.models.parts import head_name
from convcore.models.pretrained.card import load_classifier

EXAMPLES = """examples:
  convcore features flowers -o flowers.npz             flowers/rose/1.jpg, flowers/tulip/2.png, ...
  convcore features *.jpg -o pictures.npz --model resnet50

In Python: archive = np.load("flowers.npz") has
  features  (N, D), float32: the inputs of the network's last layer
  paths     (N,)
  labels    (N,), the class index of each picture, only for a FOLDER with one sub-folder per class
  classes   the names of these classes"""


def add_parser(subparsers: Any) -> None:
    """Describe the command's options."""
    parser = subparsers.add_parser(
        "features",
        help="write the features that a trained network computes for pictures",
        description="Write the inputs of a trained network's last layer into an .npz file, one row per picture.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sources", metavar="FOLDER|IMAGE", nargs="+", type=path, help="one folder, or pictures")
    parser.add_argument("-o", "--out", type=path, required=True, metavar="F", help="the file to write, an .npz")
    parser.add_argument("--model", help="(default: the network of the weights file, else efficientnet_lite0)")
    parser.add_argument("--weights", type=weights, default="imagenet", metavar="W", help=WEIGHTS_HELP)
    parser.add_argument("--batch-size", type=positive, default=16, metavar="N", help="(default %(default)s)")
    add_corrupt_option(parser, "refuse")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


class Pictures(Dataset):
    """The pictures in files, as samples with one element."""

    def __init__(self, paths: Sequence[str]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any]:
        return (read_image(self.paths[index]),)


def run(args: argparse.Namespace) -> int:
    """Compute and write the features; return the exit code."""
    if args.out.suffix != ".npz":
        raise UnsupportedError(f"features: the file to write must end in .npz, got {args.out}")
    first = args.sources[0]
    if len(args.sources) > 1 and any(source.is_dir() for source in args.sources):
        raise UnsupportedError("features: takes one folder, or pictures; not both, and not several folders")
    network, card = load_classifier("features", args.model, args.weights)
    network.set_submodule(head_name(network), nn.Identity())
    entries: dict[str, Any] = {}
    if first.is_dir():
        folder = open_folder("features", first, args.corrupt)
        paths = [path for path, _ in folder.samples]
        entries = {"labels": np.array(folder.targets, np.int64), "classes": np.array(folder.classes)}
    else:
        paths = readable("features", args.sources, args.corrupt)
    if not paths:
        raise ShapeError("features: none of the pictures can be read")
    batches = DataLoader(Transformed(Pictures(paths), card.transforms), args.batch_size, num_workers=1)
    rows = []
    with announce_compile(), no_grad():
        for (x,) in tqdm(batches, unit="batch", leave=False, disable=True if args.quiet else None):
            rows.append(network(x).numpy())
    features = np.concatenate(rows)
    entries = {"features": features, "paths": np.array(paths), **entries}
    replace_file("features", args.out, lambda file: np.savez(file, **entries))
    print(printable(f"{features.shape[1]} features of each of {len(paths)} pictures: {args.out}"))
    return 0
