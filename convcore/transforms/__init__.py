"""Image transforms for preparation and augmentation, with torchvision's names and arguments.

All accept Pillow images, and tensors or NumPy arrays, floating-point in [0, 1] or uint8: one image (C, H, W) or a batch
(N, C, H, W), and return the same kind. On a batch, random transforms draw for each image separately. Seeds determine
every draw: a random transform has its own generator, or uses the one of the `DataLoader` that calls it; other random
values of the program (dropout, initial weights) do not affect it. `functional` has the transforms without randomness.
"""

from convcore.transforms import functional
from convcore.transforms.base import Compose
from convcore.transforms.colour import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    Normalize,
    RandomGrayscale,
    ToTensor,
    to_pil_image,
)
from convcore.transforms.geometry import (
    CenterCrop,
    Pad,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
)
from convcore.transforms.images import InterpolationMode
from convcore.transforms.mixing import CutMix, MixUp
from convcore.transforms.policies import AutoAugment, AutoAugmentPolicy, RandAugment, TrivialAugmentWide

__all__ = [
    "AutoAugment", "AutoAugmentPolicy", "CenterCrop", "ColorJitter", "Compose", "CutMix", "GaussianBlur", "Grayscale",
    "InterpolationMode", "MixUp", "Normalize", "Pad", "RandAugment", "RandomAffine", "RandomCrop", "RandomErasing",
    "RandomGrayscale", "RandomHorizontalFlip", "RandomResizedCrop", "RandomRotation", "RandomVerticalFlip", "Resize",
    "ToTensor", "TrivialAugmentWide", "functional", "to_pil_image",
]  # fmt: skip
