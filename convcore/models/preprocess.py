"""From a picture to a network's input, as the networks saw pictures when they were trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from convcore.autograd import wrap
from convcore.tensor import Tensor

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class ImageClassification:
    """Resize, cut the middle out, bring every channel to the mean and deviation that the network knows.

    Attributes:
        crop_size: height and width of the result.
        resize_size: the length of the picture's shorter side before.
        interpolation: "bilinear" or "bicubic", both over the area that a pixel comes from.
        mean, std: of each channel, for numbers from 0 to 1.
    """

    crop_size: int = 224
    resize_size: int = 256
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __call__(self, image: Image.Image) -> Tensor:
        """A picture of any size and mode to (3, crop_size, crop_size)."""
        image = image.convert("RGB")
        short = min(image.size)
        size = [int(self.resize_size * length / short) for length in image.size]
        image = image.resize((size[0], size[1]), _FILTERS[self.interpolation])
        left, top = (round((length - self.crop_size) / 2) for length in size)
        image = image.crop((left, top, left + self.crop_size, top + self.crop_size))  # zeros beyond the border
        pixels = np.asarray(image, np.float32) / 255
        normal = (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return wrap(np.ascontiguousarray(normal.transpose(2, 0, 1)))
