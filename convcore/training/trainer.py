"""The training loop. `train_epoch` is the textbook loop; the rest is bookkeeping."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import convcore.nn.functional as F
from convcore.autograd import no_grad
from convcore.data import DataLoader
from convcore.errors import CheckpointError
from convcore.io import load_file, save_file
from convcore.io.files import replace_file
from convcore.models.pretrained.card import WEIGHTS
from convcore.nn import Module
from convcore.optim import Optimizer
from convcore.optim.lr_scheduler import LRScheduler
from convcore.training.checkpoint import load_checkpoint, save_checkpoint
from convcore.training.freezing import train_unfrozen
from convcore.training.run_lock import only_run

CHECKPOINT, HISTORY = "checkpoint.safetensors", "history.json"


class Trainer:
    """Trains a classifier and writes after every epoch, in the folder `out`:

    - `weights.safetensors`: the weights of the epoch with the lowest validation loss so far;
    - `checkpoint.safetensors`: everything that the next epoch depends on, so that `resume` continues bit for bit;
    - `history.json`: loss and accuracy of every epoch.

    During training, no other run can use the folder.

    The validation loss, not the accuracy, determines the best epoch: on a few hundred images many epochs have the same
    accuracy. Validation data must not be test data, or the test result would be too good.

    Args:
        model: returns logits (N, classes).
        optimizer: the optimizer of the model's parameters.
        scheduler: stepped after every batch.
        train_data: batches of (x, labels).
        validation_data: the same, never trained on.
        out: the folder, which must exist.
        settings: the settings of this run; saved in the checkpoint and the history.
        random_parts: by name, the objects besides loader and dropout that draw random numbers during training, such as
            transforms. They have `state_dict` and `load_state_dict`.
        progress: whether to show a progress bar (on terminals only) and a line per epoch.
        metadata: strings that are saved with the weights.
        patience: stop after this many epochs without a lower validation loss; None never stops early.
        phase: the name of this phase if the training has several; the history records it.
        earlier: the history of the phases before this one, which this trainer continues.
        kept: the fingerprint of the weights saved by these phases: `kept` of their trainer.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        scheduler: LRScheduler,
        train_data: DataLoader,
        validation_data: DataLoader,
        out: str | os.PathLike[str],
        settings: dict[str, Any] | None = None,
        random_parts: dict[str, Any] | None = None,
        progress: bool = True,
        metadata: dict[str, str] | None = None,
        patience: int | None = None,
        phase: str | None = None,
        earlier: Sequence[dict[str, Any]] = (),
        kept: str | None = None,
    ):
        self.model = model
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.train_data = train_data
        self.validation_data = validation_data
        self.out = Path(out)
        self.settings = dict(settings or {})
        self.parts = {
            "model": model, "optimizer": optimizer, "scheduler": scheduler, "train_data": train_data,
            **(random_parts or {}),
        }  # fmt: skip
        self.progress = progress
        self.metadata = metadata
        self.patience = patience
        self.phase = phase
        self.history: list[dict[str, Any]] = list(earlier)
        self.kept = kept

    @property
    def best(self) -> dict[str, Any] | None:
        """The history entry with the lowest validation loss; None before the first epoch has ended."""
        return lowest_loss(self.history)

    @property
    def own_history(self) -> list[dict[str, Any]]:
        """The history of this phase."""
        return [entry for entry in self.history if entry.get("phase") == self.phase]

    @property
    def has_stalled(self) -> bool:
        """Whether `patience` epochs of this phase have passed since its best one."""
        best = lowest_loss(self.own_history)
        if self.patience is None or best is None:
            return False
        return self.history[-1]["epoch"] - best["epoch"] >= self.patience

    def fit(self, epochs: int) -> None:
        """Train until this phase has `epochs` epochs, including those before a resume, or patience ends.

        Raises:
            BusyError: another run uses the folder.
            FloatingPointError: the training has diverged.
        """
        with only_run(self.out):
            for epoch in range(len(self.own_history) + 1, epochs + 1):
                if self.has_stalled:
                    break
                self._fit_epoch(epoch, epochs)

    def _fit_epoch(self, epoch: int, epochs: int) -> None:
        start = time.perf_counter()
        loss, accuracy = self.train_epoch(f"epoch {epoch}/{epochs}")
        validation_loss, validation_accuracy = evaluate(self.model, self.validation_data)
        check_finite(f"epoch {epoch}/{epochs}: the validation loss", validation_loss)
        entry: dict[str, Any] = {} if self.phase is None else {"phase": self.phase}
        entry["epoch"] = len(self.history) + 1
        entry["loss"], entry["accuracy"] = loss, accuracy
        entry["validation_loss"], entry["validation_accuracy"] = validation_loss, validation_accuracy
        self.history.append(entry)
        try:
            self.save()
        except KeyboardInterrupt:
            self.save()  # so that messages after an interrupt match the files
            raise
        if self.progress:
            print(
                f"epoch {epoch:2}/{epochs}   loss {loss:.4f}  accuracy {accuracy:7.2%}   "
                f"validation loss {validation_loss:.4f}  accuracy {validation_accuracy:7.2%}   "
                f"{time.perf_counter() - start:.1f} s",
                flush=True,
            )

    def train_epoch(self, title: str) -> tuple[float, float]:
        """One pass over the training data. Returns mean loss and accuracy, measured on each batch before its step."""
        train_unfrozen(self.model)
        score = Score()
        for x, labels in self._bar(self.train_data, title):
            self.optimizer.zero_grad()
            logits = self.model(x)
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            score.add(loss, logits, labels)
            check_finite(f"{title}: the loss", score.loss)
        return score.loss, score.accuracy

    def _bar(self, batches: DataLoader, title: str) -> Iterable[Any]:
        """The batches with a progress bar, shown only on terminals."""
        return tqdm(batches, desc=title, leave=False, unit="batch", disable=None if self.progress else True)

    def save(self) -> None:
        """Write the three files, each atomically.

        The checkpoint comes first: until it is complete, the files of an earlier run stay unchanged. It holds the
        fingerprint of the weights that belong to it, and the weights themselves if its epoch is the best one. So
        `resume` finds everything in it, even after a stop between the files.
        """
        is_best = self.best is self.history[-1]
        if is_best:
            self.kept = fingerprint(self.model.state_dict())
        progress = {"settings": self.settings, "history": self.history, "weights": self.kept}
        save_checkpoint(self.out / CHECKPOINT, self.parts, progress)
        if is_best:
            self._save_weights()
        self.write_history()

    def _save_weights(self) -> None:
        save_file(self.model.state_dict(), self.out / WEIGHTS, self.metadata)

    def write_history(self, **results: Any) -> None:
        """Write `history.json`: the settings, every epoch, and final `results`."""
        content = {"settings": self.settings, "epochs": self.history, **results}
        text = json.dumps(content, indent=2) + "\n"
        replace_file("history", self.out / HISTORY, lambda file: file.write(text.encode()))

    def resume(self) -> None:
        """Restore the state after the last completed epoch.

        Raises:
            CheckpointError: there is no checkpoint, or the weights file does not belong to it.
        """
        progress = load_checkpoint(self.out / CHECKPOINT, self.parts)
        self.history, self.kept = progress["history"], progress.get("weights")
        if self._has_kept_weights():
            return
        best = self.best
        if best is not None and best is not self.history[-1]:
            raise CheckpointError(
                f"{self.out / WEIGHTS} does not hold the weights of epoch {best['epoch']}, the best one, which the run "
                "needs to go on; put the file back, or start again without resuming"
            )
        self._save_weights()

    def _has_kept_weights(self) -> bool:
        try:
            found = load_file(self.out / WEIGHTS)
        except CheckpointError:
            return False
        return self.kept in (None, fingerprint(found))

    def load_best(self) -> None:
        """Load the weights of the best epoch into the model."""
        self.model.load_state_dict(load_file(self.out / WEIGHTS))


def lowest_loss(history: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The first entry with the lowest validation loss; None if there is no entry."""
    return min(history, key=lambda entry: entry["validation_loss"], default=None)


def fingerprint(state: dict[str, Any]) -> str:
    """The identity of a state dict: the SHA-256 of names, dtypes, shapes and elements."""
    digest = hashlib.sha256()
    for name in sorted(state):
        array = np.ascontiguousarray(state[name].detach().numpy())
        digest.update(f"{name} {array.dtype} {state[name].shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def check_finite(what: str, loss: float) -> None:
    """Stop a training that has diverged, because its weights would never recover.

    Raises:
        FloatingPointError: `loss` is infinite or NaN.
    """
    if not math.isfinite(loss):
        raise FloatingPointError(f"{what} is {loss}; start again with a smaller learning rate")


class Score:
    """Mean loss, accuracy and confusion matrix over batches of different sizes."""

    def __init__(self) -> None:
        self.samples = 0
        self.total_loss = 0.0
        self.labels: list[np.ndarray] = []
        self.answers: list[np.ndarray] = []

    def add(self, loss: Any, logits: Any, labels: Any) -> None:
        self.labels.append(labels.array)
        self.answers.append(logits.array.argmax(axis=1))
        self.samples += len(labels.array)
        self.total_loss += loss.item() * len(labels.array)

    @property
    def loss(self) -> float:
        return self.total_loss / self.samples

    @property
    def accuracy(self) -> float:
        return int(np.count_nonzero(np.concatenate(self.answers) == np.concatenate(self.labels))) / self.samples

    def confusion(self, classes: int) -> np.ndarray:
        """(classes, classes): how many samples of the row's class were predicted as the column's class."""
        counts = np.zeros((classes, classes), np.int64)
        np.add.at(counts, (np.concatenate(self.labels), np.concatenate(self.answers)), 1)
        return counts


def evaluate(model: Module, data: DataLoader) -> tuple[float, float]:
    """The mean loss and the accuracy of a classifier in evaluation mode."""
    score = score_of(model, data)
    return score.loss, score.accuracy


@no_grad()
def score_of(model: Module, data: DataLoader) -> Score:
    """The `Score` of a classifier in evaluation mode."""
    model.eval()
    score = Score()
    for x, labels in data:
        logits = model(x)
        score.add(F.cross_entropy(logits, labels), logits, labels)
    return score
