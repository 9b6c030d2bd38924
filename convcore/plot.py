"""Pictures; they need matplotlib (`python -m pip install 'convcore[plot]'`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np


def training_curves(history: Sequence[dict[str, Any]], path: str | os.PathLike[str]) -> None:
    """Draw loss and accuracy over the epochs into a picture file; its ending chooses the format.

    Args:
        history: one dict per epoch with epoch, loss, accuracy, validation_loss and validation_accuracy.

    Raises:
        ImportError: matplotlib is not installed.
    """
    # Figure without pyplot: no window system is asked for, and the caller's plots are left alone.
    from matplotlib.figure import Figure

    epochs = [entry["epoch"] for entry in history]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, key, label, scale in ((left, "loss", "loss", 1), (right, "accuracy", "accuracy (%)", 100)):
        axes.plot(epochs, [entry[key] * scale for entry in history], "o-", markersize=3, label="training")
        validation = [entry[f"validation_{key}"] * scale for entry in history]
        axes.plot(epochs, validation, "o-", markersize=3, label="validation")
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    left.set_yscale("log")
    figure.savefig(path, dpi=120)


def confusion_matrix(counts: np.ndarray, classes: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Draw how many samples of each class were taken for which, into a picture file; its ending chooses the format.

    The colours are shares of the row, so that rare classes show as clearly as frequent ones; the numbers are counts.

    Args:
        counts: (C, C), rows the true classes, columns the answers.
        classes: their C names.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    size = 2.4 + 0.45 * min(len(classes), 60)
    figure = Figure(figsize=(size + 0.6, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes, rotation=90)
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("answer")
    axes.set_ylabel("class")
    if len(classes) <= 30:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, label="share of the class", shrink=0.8)
    figure.savefig(path, dpi=120)
