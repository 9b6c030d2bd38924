"""Pictures; they need matplotlib (`python -m pip install 'convcore[plot]'`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any


def training_curves(history: Sequence[dict[str, Any]], path: str | os.PathLike[str]) -> None:
    """Draw loss and accuracy over the epochs into a picture file; its ending chooses the format.

    Args:
        path: of the file.
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
