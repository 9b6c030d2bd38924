"""From an image to a network's input, with the preprocessing that was used in training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from convcore.autograd import wrap
from convcore.data.pixels import eight_bits
from convcore.tensor import Tensor
from convcore.transforms.functional.geometry import resized_size

THIN = 16  # aspect ratio beyond which no photograph is expected
SUPPORT = 2  # support of bicubic interpolation to each side, in pixels of the smaller image
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class ImageClassification:
    """Resize, crop the centre, and normalise every channel by the mean and deviation used in training.

    Attributes:
        crop_size: height and width of the result.
        resize_size: the length of the shorter side after resizing, before the crop.
        interpolation: "bilinear" or "bicubic", both antialiased over the source area of each pixel.
        mean, std: of each channel, for values from 0 to 1.
    """

    crop_size: int = 224
    resize_size: int = 256
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __call__(self, image: Image.Image) -> Tensor:
        """Convert an image of any size and mode to (3, crop_size, crop_size).

        Transparent pixels become white, as in `data.read_image`. That function also applies the EXIF orientation;
        Pillow's `Image.open` does not.
        """
        image = eight_bits("ImageClassification", image, "RGB")
        size = resized_size((image.height, image.width), self.resize_size)
        top, left = (round((length - self.crop_size) / 2) for length in size)
        window = (left, top, left + self.crop_size, top + self.crop_size)
        image = resized_part(image, (size[1], size[0]), window, _FILTERS[self.interpolation])
        pixels = np.asarray(image, np.float32) / 255
        normal = (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return wrap(np.ascontiguousarray(normal.transpose(2, 0, 1)))


def resized_part(
    image: Image.Image, size: tuple[int, int], window: tuple[int, int, int, int], method: Image.Resampling
) -> Image.Image:
    """`image.resize(size, method).crop(window)`; for very thin images only the part in the window is computed.

    Other images are resized completely. Pillow clips values between its passes over rows and columns, and may change
    the order of the passes for a part, which would change the result.

    Args:
        size: (width, height), in Pillow's order.
        window: left, top, right and bottom; pixels outside the image are zeros.
    """
    if max(size) <= THIN * min(size):
        return image.resize(size, method).crop(window)
    inner = [*(max(edge, 0) for edge in window[:2]), *map(min, window[2:], size)]
    scales = [before / after for before, after in zip(image.size, size, strict=True)]
    box = [edge * scale for edge, scale in zip(inner, scales * 2, strict=True)]
    # Crop whole pixels first: Pillow stores the box in float32, which is coarse far from 0.
    reach = [math.ceil(SUPPORT * max(scale, 1)) + 1 for scale in scales]
    left, top = (max(math.floor(box[i]) - reach[i], 0) for i in (0, 1))
    right, bottom = (min(math.ceil(box[2 + i]) + reach[i], image.size[i]) for i in (0, 1))
    near = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    shown = image.crop((left, top, right, bottom)).resize((inner[2] - inner[0], inner[3] - inner[1]), method, box=near)
    shift = (window[0] - inner[0], window[1] - inner[1])
    return shown.crop((*shift, shift[0] + window[2] - window[0], shift[1] + window[3] - window[1]))


@dataclass(frozen=True)
class DigitImage:
    """Convert a drawn digit to MNIST's format.

    The ink is scaled to fit `box` with its aspect ratio kept, and its centre of mass is moved to the image centre.
    Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document recognition"
    (1998), section III.A. As in MNIST, ink is 255 and paper 0; an image with a light border is inverted first.

    Attributes:
        size: height and width of the result.
        box: height and width that the ink may fill.
    """

    size: int = 28
    box: int = 20

    def __call__(self, image: Image.Image) -> Tensor:
        """Convert an image of any size and mode to (1, size, size) in [0, 1]; an image without ink gives zeros."""
        ink = np.asarray(eight_bits("DigitImage", image, "L"))
        border = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
        if np.median(border) > 127:
            ink = 255 - ink
        result = np.zeros((self.size, self.size), np.float32)
        rows, columns = (np.flatnonzero((ink > 32).any(axis=axis)) for axis in (1, 0))
        if len(rows) > 0:
            cut = Image.fromarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
            width, height = (max(round(n * self.box / max(cut.size)), 1) for n in cut.size)
            small = np.asarray(cut.resize((width, height), Image.Resampling.BILINEAR), np.float32) / 255
            top, left = (self._begin(small.sum(axis=axis)) for axis in (1, 0))
            result[top : top + height, left : left + width] = small
        return wrap(result[np.newaxis])

    def _begin(self, ink: np.ndarray) -> int:
        """The start of the ink along an axis: its centre of mass comes to the middle, and no ink is cut off."""
        centre = float((ink * (np.arange(len(ink)) + 0.5)).sum() / ink.sum())
        return int(np.clip(round(self.size / 2 - centre), 0, self.size - len(ink)))
