"""Transforms of images, with torchvision's names: for one image (C, H, W) or a batch (N, C, H, W).

All take tensors or floating-point NumPy arrays and return the same kind. On a batch, random transforms draw for each
image on its own. They own their NumPy generator, so a seed fixes every draw, and other random numbers of the program
(dropout, initial weights) do not change them.
"""

from convcore.transforms.transforms import Compose, Normalize, RandomCrop

__all__ = ["Compose", "Normalize", "RandomCrop"]
