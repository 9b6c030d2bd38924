"""The recipe behind `convcore train`: data, model, optimizer and schedule, all determined by `Settings`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convcore import random
from convcore.data import (
    CIFAR10_CLASSES,
    FASHION_MNIST_CLASSES,
    DataLoader,
    Subset,
    TensorDataset,
    Transformed,
    cifar10,
    digits,
    fashion_mnist,
    mnist,
    random_split,
)
from convcore.errors import ShapeError, UnsupportedError
from convcore.models import get_model
from convcore.models.pretrained.card import ModelCard
from convcore.models.pretrained.preprocess import DigitImage, ImageClassification
from convcore.models.registry import known_name
from convcore.nn import Module
from convcore.optim import Adam
from convcore.optim.lr_scheduler import OneCycleLR
from convcore.training.trainer import Trainer
from convcore.transforms import RandomCrop

READERS = {"mnist": mnist, "fashion-mnist": fashion_mnist, "cifar10": cifar10}
VALIDATION_SHARE = 16  # one in 16 training images is set aside to choose the best epoch
MAX_SHIFT = 2  # training images are shifted at random by up to this many pixels in each direction
EVALUATION_BATCH = 250

DIGITS = tuple(map(str, range(10)))
CLASSES = {"mnist": DIGITS, "fashion-mnist": FASHION_MNIST_CLASSES, "cifar10": CIFAR10_CLASSES, "digits": DIGITS}


@dataclass(frozen=True)
class Settings:
    """The settings that determine the result of a run, bit for bit."""

    model: str = "cnn"
    data: str = "digits"
    epochs: int = 12
    batch_size: int = 64
    lr: float = 2e-3
    seed: int = 0
    limit: int | None = None

    def __post_init__(self) -> None:
        check_settings(self, ("epochs", "batch_size", "limit"), ("lr",), ("seed",))


def check_settings(settings: Any, counts: Sequence[str], rates: Sequence[str], numbers: Sequence[str]) -> None:
    """Refuse counts below 1 (None is allowed), rates that are not positive and finite, and numbers below 0.

    Args:
        settings: an object with attributes of these names.
    """
    for names, least in ((counts, 1), (numbers, 0)):
        for name in names:
            value = getattr(settings, name)
            if value is not None and value < least:
                raise ShapeError(f"{name} must be at least {least}, got {value}")
    for name in rates:
        value = getattr(settings, name)
        if not 0 < value < float("inf"):
            raise ShapeError(f"{name} must be a positive number, got {value}")


def read_data(name: str) -> tuple[TensorDataset, TensorDataset]:
    """The training and the test part of "digits", "mnist:FOLDER", "fashion-mnist:FOLDER" or "cifar10:FOLDER"."""
    if name == "digits":
        return digits("train"), digits("test")
    kind, _, folder = name.partition(":")
    if kind not in READERS or not folder:
        known = ", ".join(f"{reader}:FOLDER" for reader in READERS)
        raise UnsupportedError(f"data must be digits, {known}, got {name!r}")
    path = Path(folder).expanduser()  # the shell expands "~" only at the start of a word
    return READERS[kind](path, "train"), READERS[kind](path, "test")


def build(settings: Settings) -> Module:
    """The untrained network, for the classes of the data."""
    return get_model(settings.model, num_classes=len(CLASSES[settings.data.partition(":")[0]]))


def card_of(settings: Settings, train: TensorDataset) -> ModelCard | None:
    """The model card of the weights file. With it, any image is preprocessed like the training images.

    None for images that are neither grey nor RGB, or not square: for these no preprocessing is known.
    """
    kind = settings.data.partition(":")[0]
    channels, height, width = train.tensors[0].array.shape[1:]
    if height != width or channels not in (1, 3):
        return None
    transforms: DigitImage | ImageClassification
    if channels == 3:
        transforms = ImageClassification(height, height, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    else:
        # MNIST's digits have a border of 4 pixels; the clothes of Fashion-MNIST fill the image.
        transforms = DigitImage(height, height if kind == "fashion-mnist" else round(height * 20 / 28))
    return ModelCard(known_name(settings.model), CLASSES[kind], transforms)


def part_sizes(settings: Settings, count: int) -> tuple[int, int]:
    """The numbers of training and validation images out of `count`.

    Raises:
        ShapeError: there are too few images.
    """
    used = count if settings.limit is None else min(settings.limit, count)
    held_out = used // VALIDATION_SHARE
    if held_out == 0 or used - held_out < settings.batch_size:
        raise ShapeError(
            f"{used} training images are too few: a sixteenth is set aside for validation, and the rest must fill "
            f"a batch of {settings.batch_size}"
        )
    return used - held_out, held_out


def prepare(settings: Settings, train: TensorDataset, out: str | os.PathLike[str], progress: bool = True) -> Trainer:
    """A trainer ready to `fit(settings.epochs)`: Adam, a one-cycle learning rate up to `settings.lr`, random shifts.

    Seeds the default random generator, which draws initial weights and dropout masks.
    """
    random.manual_seed(settings.seed)
    sizes = part_sizes(settings, len(train))
    part: Any = train if settings.limit is None else Subset(train, np.arange(sum(sizes)))
    training, validation = random_split(part, sizes, seed=settings.seed)
    h_in, w_in = train.tensors[0].array.shape[2:]
    shifts = RandomCrop((h_in, w_in), padding=MAX_SHIFT, generator=settings.seed)
    # The last, smaller batch is dropped, as batch norm's statistics would be poor. Each epoch drops other images.
    # No prefetch: gathering a batch of arrays takes 0.1 ms; a thread that competes with the kernels costs more.
    batches = DataLoader(
        Transformed(training, shifts),
        settings.batch_size,
        shuffle=True,
        drop_last=True,
        seed=settings.seed,
        prefetch=0,
    )
    model, card = build(settings), card_of(settings, train)
    optimizer = Adam(model.parameters(), lr=settings.lr)
    scheduler = OneCycleLR(optimizer, max_lr=settings.lr, total_steps=settings.epochs * len(batches))
    return Trainer(
        model,
        optimizer,
        scheduler,
        batches,
        DataLoader(validation, EVALUATION_BATCH, prefetch=0),
        out,
        settings=asdict(settings),
        random_parts={"shifts": shifts},
        progress=progress,
        metadata=None if card is None else card.metadata(),
    )
