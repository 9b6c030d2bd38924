"""Plots; they need matplotlib (`python -m pip install 'convcore[plot]'`).

Each function returns a matplotlib `Figure`, and writes it to `path` if given; the extension selects the format.
Without matplotlib, the functions raise ImportError.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore import inspect, nn
from convcore.autograd import no_grad, wrap
from convcore.errors import ShapeError, UnsupportedError
from convcore.inspect.cost import Cost
from convcore.io.files import replace_file
from convcore.nn import functional as F
from convcore.tensor import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

File = str | os.PathLike[str] | None

MOST = 16  # the largest number of maps or filters in a row
AS_TEXT = {"parse_math": False, "usetex": False}  # for names, in which "$" and "_" are not mathematics


def filters(model: nn.Module, layer: str | None = None, path: File = None) -> Figure:
    """Draw the weights of a convolution, blue negative and red positive: a column for each filter, a row for each
    input channel, at most 16 of both.

    Args:
        model: the network.
        layer: the name of the convolution; by default the first.
    """
    weights = inspect.layer_filters(model, layer)
    c_out, c_in = weights.shape[:2]
    shown = weights[:MOST, :MOST].swapaxes(0, 1)
    limit = float(np.abs(shown).max())
    figure, grid = _grid(*shown.shape[:2])
    for axes, grid_of_weights in zip(grid.flat, shown.reshape(-1, *shown.shape[2:]), strict=True):
        axes.imshow(grid_of_weights, cmap="RdBu_r", vmin=-limit, vmax=limit)
    name = layer or next(iter(inspect.convolutions(model)))
    title = f"{_plain(name)}: {c_out} filters of {c_in} input channels\nup to {limit:.3g}"
    figure.suptitle(title, fontsize=10, **AS_TEXT)
    return _saved(figure, path)


def feature_maps(model: nn.Module, x: Tensor, layers: Iterable[str] | None = None, path: File = None) -> Figure:
    """Draw the feature maps of an image: a row for each layer, with at most 16 maps.

    Args:
        model, x: the network and one image (1, C, H, W).
        layers: names as in `convcore.inspect.feature_maps`; by default the first 8 convolutions.
    """
    names = list(inspect.convolutions(model))[:8] if layers is None else list(layers)
    maps = inspect.feature_maps(model, x, names)
    if not maps:
        raise ShapeError(f"plot: no layer of {', '.join(names)} has maps (C, H, W)")
    most = min(max(map(len, maps.values())), MOST)
    figure, grid = _grid(len(maps), most, side=0.9, left=1.2)
    for row, (name, layer) in zip(grid, maps.items(), strict=True):
        label = f"{_plain(name)}\n{len(layer)} x {layer.shape[1]} x {layer.shape[2]}"
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", **AS_TEXT)
        for axes, values in zip(row, layer, strict=False):
            limit = float(np.abs(values).max()) or 1.0
            colours = {"cmap": "RdBu_r", "vmin": -limit} if values.min() < 0 else {"cmap": "gray", "vmin": 0}
            axes.imshow(values, vmax=limit, **colours)
        for axes in row[len(layer) :]:
            axes.axis("off")
    return _saved(figure, path)


def receptive_field(
    model: nn.Module, x: Tensor, layer: str, row: int, column: int, channel: int = 0, path: File = None
) -> Figure:
    """Draw a feature map with one unit framed, and the image with the receptive field of the unit framed.

    Args:
        model, x: the network and one image (1, C, H, W).
        layer: the name of a layer with feature maps as output.
        row, column, channel: the unit.
    """
    maps = inspect.feature_maps(model, x, [layer])
    known = inspect.spatial_layers(model, x.shape)
    if layer not in known:
        raise UnsupportedError(f"plot: the receptive field of {layer!r} cannot be told; there are {', '.join(known)}")
    box = inspect.unit_box(known[layer], row, column)
    figure = _figure(7.5, 3.8)
    left, right = figure.subplots(1, 2)
    left.imshow(maps[layer][channel], cmap="gray")
    _frame(left, row, column, 1, 1)
    left.set_title(f"{_plain(layer)}, channel {channel}", **AS_TEXT)
    _show_image(right, x)
    _frame(right, box.top, box.left, box.height, box.width)
    right.set_title(f"sees {box.height} x {box.width} pixels")
    return _saved(figure, path)


def grad_cam(
    model: nn.Module,
    x: Tensor,
    layer: str | None = None,
    target: int | None = None,
    labels: Sequence[str] | None = None,
    path: File = None,
) -> Figure:
    """Draw an image, its saliency and Grad-CAM for a class; see `convcore.inspect.grad_cam`.

    Args:
        model, x, target: the network, one image (1, C, H, W) and the class; by default the most probable.
        layer: the layer for Grad-CAM; by default that of `convcore.inspect.last_maps`.
        labels: the names of the classes.
    """
    name = layer or inspect.last_maps(model, x)
    slopes = inspect.saliency(model, x, target)
    cam = inspect.grad_cam(model, x, name, slopes.target)
    figure = _figure(10, 3.8)
    panels = figure.subplots(1, 3)
    for axes in panels:
        _show_image(axes, x)
        axes.axis("off")
    panels[1].imshow(slopes.values, cmap="inferno", vmax=float(np.quantile(slopes.values, 0.99)) or 1.0)
    panels[2].imshow(inspect.enlarged(cam.values, (x.shape[2], x.shape[3])), cmap="inferno", alpha=0.6)
    label = f"class {slopes.target}" if labels is None else _plain(labels[slopes.target])
    if not cam.values.any():
        middle = {"transform": panels[2].transAxes, "ha": "center", "va": "center", "color": "white"}
        panels[2].text(0.5, 0.5, "empty: no place\nspeaks for this class", **middle)
    for axes, title in zip(panels, (label, "saliency", f"Grad-CAM at {_plain(name)}"), strict=True):
        axes.set_title(title, **AS_TEXT)
    return _saved(figure, path)


def kernel_response(image: np.ndarray, kernel: np.ndarray, path: File = None) -> Figure:
    """Draw a grey image, a filter and the filter's response.

    Args:
        image: (H, W).
        kernel: (K_h, K_w), no larger than the image; cross-correlated with it, without padding.
    """
    with no_grad():
        x, weight = (wrap(np.asarray(array, np.float32)[None, None]) for array in (image, kernel))
        response = F.conv2d(x, weight).numpy()[0, 0]
    figure = _figure(10, 3.4)
    for axes, values, title in zip(
        figure.subplots(1, 3), (image, kernel, response), ("image", "filter", "response"), strict=True
    ):
        limit = float(np.abs(values).max()) or 1.0
        colours = {"cmap": "gray"} if title == "image" else {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
        figure.colorbar(axes.imshow(values, **colours), shrink=0.8)
        axes.set_title(f"{title}, {values.shape[0]} x {values.shape[1]}")
        axes.set_xticks([])
        axes.set_yticks([])
    return _saved(figure, path)


def algorithms(costs: Sequence[Cost], path: File = None) -> Figure:
    """Draw the cost of a convolution by each algorithm, as measured by `convcore.inspect.measure`."""
    figure = _figure(8, 1.2 + 0.4 * len(costs))
    left, right = figure.subplots(1, 2, sharey=True)
    names = [cost.algorithm for cost in costs]
    for axes, values, title in (
        (left, [cost.multiplications / 1e6 for cost in costs], "multiplications (million)"),
        (right, [cost.seconds * 1e3 for cost in costs], "time (ms)"),
    ):
        axes.bar_label(axes.barh(names, values), fmt="%.3g", padding=3)
        axes.set_xlabel(title)
        axes.margins(x=0.2)
    left.invert_yaxis()
    return _saved(figure, path)


def training_curves(history: Sequence[dict[str, Any]], path: File = None) -> Figure:
    """Draw loss and accuracy over the epochs.

    Args:
        path: the path of the file.
        history: one dict per epoch with epoch, loss, accuracy, validation_loss and validation_accuracy.
    """
    epochs = [entry["epoch"] for entry in history]
    figure = _figure(9, 3.6)
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
    return _saved(figure, path)


def confusion_matrix(counts: np.ndarray, classes: Sequence[str], path: File = None) -> Figure:
    """Draw a confusion matrix.

    Colours show shares of the row, so that rare classes are as visible as frequent ones; the numbers are counts.

    Args:
        counts: (C, C), rows for the true classes, columns for the predicted ones.
        classes: the names of the C classes.
    """
    size = 2.4 + 0.45 * min(len(classes), 60)
    figure = _figure(size + 0.6, size)
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [_plain(name) for name in classes]
    axes.set_xticks(range(len(names)), names, rotation=90, **AS_TEXT)
    axes.set_yticks(range(len(names)), names, **AS_TEXT)
    axes.set_xlabel("answer")
    axes.set_ylabel("class")
    if len(classes) <= 30:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, label="share of the class", shrink=0.8)
    return _saved(figure, path)


def _figure(width: float, height: float) -> Figure:
    # A Figure without pyplot needs no window system, and does not affect the caller's plots.
    _import_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _import_matplotlib() -> None:
    """Import matplotlib with any MPLBACKEND: that of a notebook, inherited by its commands, may not be installed here.

    Files need no backend. The caller's own plots get the backend of MPLBACKEND, if it is installed.
    """
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib

        if backend:
            with suppress(ValueError):
                matplotlib.rcParams["backend"] = backend
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


def _plain(name: str) -> str:
    """A name, such as that of a folder, for drawing: on one line, with unprintable characters escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(name))


def _grid(rows: int, columns: int, side: float = 0.7, left: float = 0.0) -> tuple[Figure, np.ndarray]:
    """A figure of small square panels without ticks, and the panels (rows, columns)."""
    figure = _figure(max(columns * side + left, 4), rows * side + 0.6)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    return figure, grid


def _show_image(axes: Any, x: Tensor) -> None:
    """Show one image (1, C, H, W), grey or in colour, with the range of values stretched to [0, 1]."""
    pixels = x.detach().numpy()[0]
    stretched = (pixels - pixels.min()) / (float(np.ptp(pixels)) or 1.0)
    axes.imshow(stretched.transpose(1, 2, 0) if len(stretched) == 3 else stretched[0], cmap="gray")


def _frame(axes: Any, top: int, left: int, height: int, width: int) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor="orange", linewidth=2))


def _saved(figure: Figure, path: File) -> Figure:
    if path is not None:
        known, kind = figure.canvas.get_supported_filetypes(), PurePath(path).suffix[1:].lower()
        if kind not in known:
            raise UnsupportedError(f"plot: the ending of {os.fspath(path)} must be one of {', '.join(sorted(known))}")
        replace_file("plot", path, lambda file: figure.savefig(file, format=kind, dpi=120))
    return figure
