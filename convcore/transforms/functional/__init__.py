"""Transforms without randomness, with torchvision's names: the functions behind `convcore.transforms`.

All accept Pillow images, and tensors or NumPy arrays (C, H, W) or (N, C, H, W), floating-point in [0, 1] or uint8, and
return the same kind.
"""

from convcore.transforms.functional.colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    adjust_sharpness,
    autocontrast,
    equalize,
    gaussian_blur,
    invert,
    posterize,
    rgb_to_grayscale,
    solarize,
)
from convcore.transforms.functional.geometry import (
    affine,
    center_crop,
    crop,
    hflip,
    pad,
    resize,
    resized_crop,
    rotate,
    vflip,
)

__all__ = [
    "adjust_brightness", "adjust_contrast", "adjust_hue", "adjust_saturation", "adjust_sharpness", "affine",
    "autocontrast", "center_crop", "crop", "equalize", "gaussian_blur", "hflip", "invert", "pad", "posterize",
    "resize", "resized_crop", "rgb_to_grayscale", "rotate", "solarize", "vflip",
]  # fmt: skip
