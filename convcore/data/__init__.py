"""Data: datasets, the loader that makes batches of them, and readers for well-known image collections."""

from convcore.data.collate import default_collate
from convcore.data.dataset import Dataset, Subset, TensorDataset, Transformed, random_split
from convcore.data.files import read_cifar10_batch, read_idx
from convcore.data.image_sets import (
    CIFAR10_CLASSES,
    FASHION_MNIST_CLASSES,
    cifar10,
    digits,
    fashion_mnist,
    mnist,
)
from convcore.data.images import IMG_EXTENSIONS, ImageFolder, read_image
from convcore.data.loader import DataLoader
from convcore.data.pictures import PICTURES, picture

__all__ = [
    "CIFAR10_CLASSES",
    "FASHION_MNIST_CLASSES",
    "IMG_EXTENSIONS",
    "PICTURES",
    "DataLoader",
    "Dataset",
    "ImageFolder",
    "Subset",
    "TensorDataset",
    "Transformed",
    "cifar10",
    "default_collate",
    "digits",
    "fashion_mnist",
    "mnist",
    "picture",
    "random_split",
    "read_cifar10_batch",
    "read_idx",
    "read_image",
]
