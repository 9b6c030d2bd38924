"""`convcore augment`: a picture with the result of each augmentation of a photograph."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from convcore.cli.arguments import path, positive, seed
from convcore.cli.output import printable
from convcore.data import read_image
from convcore.errors import UnsupportedError
from convcore.io.files import replace_file
from convcore.ops.core.budget import ceil_div
from convcore.transforms import (
    AutoAugment,
    CenterCrop,
    ColorJitter,
    CutMix,
    GaussianBlur,
    MixUp,
    RandAugment,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    ToTensor,
    TrivialAugmentWide,
    functional,
    to_pil_image,
)

SMALLEST, LARGEST = 16, 1024
MARGIN, LINE = 6, 14  # pixels: between the tiles, and the height of a line of text

EXAMPLES = """examples:
  convcore augment photo.jpg
  convcore augment photo.jpg --out all.png --seed 1 --size 160 --columns 6"""


def add_parser(subparsers: Any) -> None:
    """Describe the command's options."""
    parser = subparsers.add_parser(
        "augment",
        help="draw the result of each augmentation of a photograph",
        description="Draw a picture with every transform of convcore.transforms applied to one photograph.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", type=path, metavar="IMAGE", help="a photograph: JPEG, PNG, WebP, ...")
    parser.add_argument("--out", type=path, metavar="F", help="the picture (default: IMAGE's name with -augmented.png)")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="seed of the random generator (default 0)")
    parser.add_argument("--size", type=tile, default=192, metavar="N", help="size of a tile in pixels (default 192)")
    parser.add_argument("--columns", type=positive, default=6, metavar="N", help="tiles side by side (default 6)")
    parser.set_defaults(run=run)


def tile(text: str) -> int:
    """The size of a tile: large enough for all transforms, and not so large that the sheet takes gigabytes."""
    size = positive(text)
    if not SMALLEST <= size <= LARGEST:
        raise argparse.ArgumentTypeError(f"must be from {SMALLEST} to {LARGEST} pixels, got {text}")
    return size


def run(args: argparse.Namespace) -> int:
    """Draw the picture."""
    out = args.out or args.image.with_name(f"{args.image.stem}-augmented.png")
    kind = Image.registered_extensions().get(out.suffix.lower())
    if kind not in Image.SAVE:
        raise UnsupportedError(f"augment: {out}: Pillow writes no {out.suffix!r} files; take .png or .jpg")
    shown = augmented(read_image(args.image), args.seed, args.size)
    picture = sheet(shown, args.size, args.columns)
    replace_file("augment", out, lambda file: picture.save(file, kind))
    print(printable(f"{len(shown) - 1} transforms of {args.image}: {out}"))
    return 0


def augmented(photograph: Image.Image, seed: int, size: int) -> dict[str, Image.Image]:
    """The photograph, cropped to a square of `size`, and the result of each transform, by name."""
    square = CenterCrop(size)(Resize(size)(photograph))
    transforms: tuple[Callable[[Any], Any], ...] = (
        Resize(size // 2),
        CenterCrop(size * 2 // 3),
        RandomCrop(size, padding=size // 4, generator=seed),
        RandomResizedCrop(size, generator=seed),
        RandomHorizontalFlip(1.0, generator=seed),
        RandomVerticalFlip(1.0, generator=seed),
        RandomRotation(45, generator=seed),
        RandomAffine(20, (0.1, 0.1), (0.8, 1.2), 15, generator=seed),
        ColorJitter(0.5, 0.5, 0.5, 0.3, generator=seed),
        RandomGrayscale(1.0, generator=seed),
        GaussianBlur(11, (2.0, 4.0), generator=seed),
        RandomErasing(1.0, generator=seed),
        RandAugment(generator=seed),
        AutoAugment(generator=seed),
        TrivialAugmentWide(generator=seed),
    )
    shown = {"the photograph": square, **{type(t).__name__: t(square) for t in transforms}}
    pair = np.stack([ToTensor()(square).numpy(), ToTensor()(functional.hflip(square)).numpy()])
    for mix in (MixUp(num_classes=2, generator=seed), CutMix(num_classes=2, generator=seed)):
        shown[f"{type(mix).__name__} with its mirror image"] = to_pil_image(mix(pair, np.arange(2))[0][0])
    return shown


def sheet(shown: dict[str, Image.Image], size: int, columns: int) -> Image.Image:
    """The pictures in rows, each above its name."""
    rows = ceil_div(len(shown), columns)
    width, height = size + MARGIN, size + LINE + MARGIN
    result = Image.new("RGB", (min(columns, len(shown)) * width + MARGIN, rows * height + MARGIN), "white")
    draw = ImageDraw.Draw(result)
    for number, (name, picture) in enumerate(shown.items()):
        left, top = number % columns * width + MARGIN, number // columns * height + MARGIN
        result.paste(picture, (left + (size - picture.width) // 2, top + (size - picture.height) // 2))
        draw.text((left, top + size + 1), name, fill="black")
    return result
