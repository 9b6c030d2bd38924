"""Data: datasets, the loader that makes batches, and readers for well-known image collections.

    loader, fetch, worker, collate    DataLoader, and how batches are fetched and made
    dataset, combined, sampler        datasets, datasets made of others, their order
    folders, image_sets, files        folders of images, MNIST and CIFAR-10, their file formats
    images, orientation, pixels       reading one image: upright, of 8 bits
    pictures                          the pictures of the package

Names and arguments are those of `torch.utils.data`; the same names are also in `convcore.utils.data`.
"""

from convcore.data.collate import default_collate, default_convert
from convcore.data.combined import StackDataset, Subset, Transformed, random_split
from convcore.data.dataset import ChainDataset, ConcatDataset, Dataset, IterableDataset, TensorDataset
from convcore.data.files import read_cifar10_batch, read_idx
from convcore.data.folders import ImageFolder
from convcore.data.image_sets import (
    CIFAR10_CLASSES,
    FASHION_MNIST_CLASSES,
    cifar10,
    digits,
    fashion_mnist,
    mnist,
)
from convcore.data.images import IMG_EXTENSIONS, read_image
from convcore.data.loader import DataLoader
from convcore.data.pictures import PICTURES, picture
from convcore.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from convcore.data.worker import WorkerInfo, get_worker_info

__all__ = [
    "CIFAR10_CLASSES",
    "FASHION_MNIST_CLASSES",
    "IMG_EXTENSIONS",
    "PICTURES",
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "ImageFolder",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "Transformed",
    "WeightedRandomSampler",
    "WorkerInfo",
    "cifar10",
    "default_collate",
    "default_convert",
    "digits",
    "fashion_mnist",
    "get_worker_info",
    "mnist",
    "picture",
    "random_split",
    "read_cifar10_batch",
    "read_idx",
    "read_image",
]
