"""The recipe behind `convcore finetune`: a trained network learns the classes of an image folder in two phases.

    head      All but a new last layer is frozen. An untrained layer sends large, random gradients; through
              frozen weights they do no harm.
    stages    The last stages are unfrozen and trained with a smaller learning rate than the head. The first stages,
              which see edges and textures, stay as they are.

Batch norms stay frozen in both phases: a few small batches give poorer statistics than ImageNet did.
After J. Yosinski et al., "How transferable are features in deep neural networks?" (2014), and J. Howard and S. Ruder,
"Universal Language Model Fine-tuning for Text Classification" (2018), section 3.2: smaller rates for earlier layers.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from convcore import nn, random
from convcore.data import DataLoader, ImageFolder, Subset, Transformed
from convcore.errors import CheckpointError, ShapeError, UnsupportedError
from convcore.models.parts import replace_head, stage_names
from convcore.models.pretrained.card import MAX_SIZE, ModelCard, load_classifier
from convcore.models.pretrained.preprocess import ImageClassification
from convcore.optim import Adam
from convcore.optim.lr_scheduler import OneCycleLR
from convcore.training.checkpoint import load_progress
from convcore.training.recipe import check_settings
from convcore.training.trainer import CHECKPOINT, Trainer
from convcore.transforms import (
    Compose,
    InterpolationMode,
    Normalize,
    RandomHorizontalFlip,
    RandomResizedCrop,
    ToTensor,
)

HEAD, STAGES = "head", "stages"
AUGMENTATIONS = ("flip", "crop", "none")
CORRUPT = ("refuse", "skip")
SETTLED = 0.1  # factor on the head's learning rate in the second phase, as the head is already trained
SMALLEST_CROP = 0.5  # share of the image's area
WORKERS = 1  # threads that read images ahead


@dataclass(frozen=True)
class FinetuneSettings:
    """The settings that, together with the images, determine the result of a run bit for bit.

    Attributes:
        folder: images in one sub-folder per class.
        model, weights: the initial network, as in `convcore classify`; model None is the network of the weights.
        size: height and width of the network's input; None for the size it was trained on.
        epochs, fine_epochs: the most epochs of the phases "head" and "stages".
        unfreeze: the number of last stages that the second phase trains.
        lr, backbone_lr: the peak learning rates of the head (a tenth of it in the second phase) and of the unfrozen
            stages.
        patience: the number of epochs without a lower validation loss after which a phase ends.
        validation: the share of each class's images that is set aside to choose the best epoch.
        augment: "flip" crops at random and mirrors with probability 1/2; "crop" only crops; "none".
        corrupt: "refuse" or "skip" images that cannot be read.
    """

    folder: str
    model: str | None = None
    weights: str = "imagenet"
    size: int | None = None
    epochs: int = 5
    fine_epochs: int = 10
    unfreeze: int = 3
    batch_size: int = 16
    lr: float = 5e-3
    backbone_lr: float = 2e-4
    patience: int = 3
    validation: float = 0.2
    augment: str = "flip"
    corrupt: str = "refuse"
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(
            self,
            ("size", "epochs", "unfreeze", "batch_size", "patience"),
            ("lr", "backbone_lr"),
            ("fine_epochs", "seed"),
        )
        if self.size is not None and self.size > MAX_SIZE:
            raise ShapeError(f"size must be at most {MAX_SIZE}, got {self.size}")
        if not 0 < self.validation < 1:
            raise ShapeError(f"validation must be a share between 0 and 1, got {self.validation}")
        for name, known in (("augment", AUGMENTATIONS), ("corrupt", CORRUPT)):
            if getattr(self, name) not in known:
                raise UnsupportedError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")


class Finetuning:
    """A run of `convcore finetune`: network, data, and a `Trainer` for each phase, in one folder.

    Args:
        settings: how to train.
        pictures: the images of `settings.folder`, without a transform.
        out: the folder of the results, which must exist; see `Trainer`.
        progress: whether to show a progress bar and a line per epoch.

    Attributes:
        network: the network in its present state; after `fit` with the weights of the best epoch.
        card: the model card that is saved with the weights.
        trainer: the trainer of the current phase.

    Raises:
        ShapeError: there are too few images or classes.
    """

    def __init__(
        self,
        settings: FinetuneSettings,
        pictures: ImageFolder,
        out: str | os.PathLike[str],
        progress: bool = True,
    ):
        random.manual_seed(settings.seed)
        self.settings, self.pictures, self.out, self.progress = settings, pictures, Path(out), progress
        self.network, self.head, self.card = start(settings, pictures.classes)
        training, validation = split(pictures, settings.validation, settings.seed)
        batch = settings.batch_size
        self.train_data = DataLoader(
            Transformed(Subset(pictures, training), augmentation(self.card.transforms, settings.augment)),
            batch,
            shuffle=True,
            drop_last=len(training) >= batch,
            seed=settings.seed,
            num_workers=WORKERS,
        )
        self.validation_data = self.batches_of(Subset(pictures, validation))
        self.trainer = self._begin(HEAD)

    def batches_of(self, pictures: Any) -> DataLoader:
        """Batches of images as in evaluation: in order, not augmented."""
        return DataLoader(Transformed(pictures, self.card.transforms), self.settings.batch_size, num_workers=WORKERS)

    def fit(self) -> None:
        """Train from the present state to the end, and load the best weights."""
        for phase, epochs in self.phases.items():
            if phase == STAGES and self.trainer.phase == HEAD:
                self.trainer.load_best()
                self.trainer = self._begin(STAGES, self.trainer)
            if phase == self.trainer.phase:
                if self.progress:
                    print(self._describe(phase), flush=True)
                self.trainer.fit(epochs)
        self.trainer.load_best()

    def resume(self) -> None:
        """Restore the state after the last completed epoch.

        Raises:
            CheckpointError: the folder holds no run, or a run on other images.
        """
        progress = load_progress(self.out / CHECKPOINT)
        if progress["settings"] != self._all_settings():
            raise CheckpointError(
                f"{self.out / CHECKPOINT} was trained on other pictures of {self.settings.folder}: "
                f"{progress['settings'].get('images')} of {progress['settings'].get('classes')}; start a new run"
            )
        reached = progress["history"][-1]["phase"]
        if reached != HEAD:
            self.trainer = self._begin(reached)
        self.trainer.resume()

    @property
    def phases(self) -> dict[str, int]:
        """The phases and their epochs."""
        epochs = {HEAD: self.settings.epochs, STAGES: self.settings.fine_epochs}
        return {phase: count for phase, count in epochs.items() if count}

    @property
    def unfrozen(self) -> list[str]:
        """The names of the stages that the second phase trains."""
        return stage_names(self.network)[-self.settings.unfreeze :]

    def _begin(self, phase: str, before: Trainer | None = None) -> Trainer:
        """Freeze what this phase does not train; create a new optimizer and a one-cycle learning rate.

        `before` is the trainer of the previous phase.
        """
        settings = self.settings
        head, stages = list(self.head.parameters()), []
        groups = [{"params": head, "lr": settings.lr}]
        if phase == STAGES:
            for name in self.unfrozen:
                stages += unfreeze(self.network.get_submodule(name))
            groups = [{"params": stages, "lr": settings.backbone_lr}, {"params": head, "lr": SETTLED * settings.lr}]
        optimizer = Adam(groups)
        steps = self.phases[phase] * len(self.train_data)
        scheduler = OneCycleLR(optimizer, [group["lr"] for group in groups], steps)
        return Trainer(
            self.network, optimizer, scheduler, self.train_data, self.validation_data, self.out,
            settings=self._all_settings(), progress=self.progress, metadata=self.card.metadata(),
            patience=settings.patience, phase=phase,
            earlier=() if before is None else before.history, kept=None if before is None else before.kept,
        )  # fmt: skip

    def _describe(self, phase: str) -> str:
        trained = sum(p.array.size for group in self.trainer.optimizer.param_groups for p in group["params"])
        rates = f"learning rate up to {self.settings.lr:g}"
        if phase == STAGES:
            stages, head = ", ".join(self.unfrozen), SETTLED * self.settings.lr
            rates = f"learning rates up to {self.settings.backbone_lr:g} ({stages}) and {head:g} (last layer)"
        return f"phase {phase!r}: {trained:,} parameters are trained; {rates}"

    def _all_settings(self) -> dict[str, Any]:
        """The settings that must be the same when a run is resumed."""
        return {**asdict(self.settings), "classes": self.pictures.classes, "images": len(self.pictures)}


def start(settings: FinetuneSettings, classes: list[str]) -> tuple[nn.Module, nn.Module, ModelCard]:
    """The network, frozen except for a new last layer; that layer; and the card of the new network."""
    network, card = load_classifier("finetune", settings.model, settings.weights)
    if card.model == "googlenet":
        raise UnsupportedError(
            "finetune: googlenet trains with losses of its auxiliary classifiers; take another model"
        )
    transforms = card.transforms
    if not isinstance(transforms, ImageClassification):
        raise UnsupportedError(f"finetune: this {card.model} sees grey drawings; take a network for photographs")
    network.requires_grad_(False)
    head = replace_head(network, len(classes))
    if settings.size is not None:
        larger = round(settings.size * transforms.resize_size / transforms.crop_size)
        transforms = replace(transforms, crop_size=settings.size, resize_size=larger)
    return network, head, replace(card, classes=tuple(classes), transforms=transforms)


def unfreeze(stage: nn.Module) -> list[nn.Parameter]:
    """Unfreeze a stage, except for its batch norms; return the parameters that are trained."""
    stage.requires_grad_()
    for module in stage.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            module.requires_grad_(False)
    return [parameter for parameter in stage.parameters() if parameter.requires_grad]


def split(pictures: ImageFolder, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the training images and of the validation images: `share` of each class, at least one.

    Raises:
        ShapeError: there is only one class, or a class has only one image.
    """
    if len(pictures.classes) < 2:
        raise ShapeError(f"finetune: {pictures.root} must have a sub-folder for each of 2 or more classes, has 1")
    training, validation = [], []
    targets = np.array(pictures.targets)
    for number, name in enumerate(pictures.classes):
        members = np.random.default_rng([seed, number]).permutation(np.flatnonzero(targets == number))
        if len(members) < 2:
            raise ShapeError(
                f"finetune: the class {name!r} has {len(members)} pictures in {pictures.root}; it needs at least 2, "
                "one to train on and one to choose the best epoch"
            )
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        validation.append(members[:count])
        training.append(members[count:])
    return np.concatenate(training), np.concatenate(validation)


def augmentation(transforms: Any, kind: str) -> Any:
    """The training variant of `transforms`, from an image to the network's input; see `FinetuneSettings.augment`."""
    if kind == "none":
        return transforms
    steps: list[Any] = [
        RandomResizedCrop(
            transforms.crop_size, scale=(SMALLEST_CROP, 1.0), interpolation=InterpolationMode(transforms.interpolation)
        )
    ]
    if kind == "flip":
        steps.append(RandomHorizontalFlip())
    return Compose([*steps, ToTensor(), Normalize(transforms.mean, transforms.std)])
