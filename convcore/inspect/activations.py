"""The feature maps of a network's layers for an image, and the filters that computed them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from convcore import nn
from convcore.autograd import no_grad
from convcore.errors import ShapeError, UnsupportedError
from convcore.nn.base.modes import evaluating
from convcore.tensor import Tensor


@contextmanager
def outputs_seen(model: nn.Module, names: Iterable[str], see: Callable[[str, Tensor], Any]) -> Iterator[None]:
    """Call `see(name, output)` after each call of the named modules; a result other than None replaces the output.

    Raises:
        UnsupportedError: the model has no module of such a name.
    """
    modules = dict(model.named_modules())
    handles = []
    try:
        for name in names:
            if name not in modules:
                spatial = ", ".join(list(convolutions(model))[:6])
                raise UnsupportedError(f"there is no layer {name!r} in {type(model).__name__}; there are {spatial}, ..")
            handles.append(modules[name].register_forward_hook(lambda _, args, out, name=name: see(name, out)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def feature_maps(model: nn.Module, x: Tensor, layers: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """The outputs of a network's layers for one image, in evaluation mode and without gradients.

    Args:
        model: the network.
        x: (1, C, H, W).
        layers: names as in `model.named_modules()`; by default all modules without children.

    Returns:
        By layer name, in the order of the calls, every output that is a map (C, H, W). For a module that is called
        several times, the last output.

    Raises:
        ShapeError: x is not one image.
        UnsupportedError: the model has no layer of such a name.
    """
    check_one_image("feature_maps", x)
    if layers is None:
        layers = [name for name, module in model.named_modules() if not list(module.children())]
    found: dict[str, np.ndarray] = {}

    def see(name: str, out: Tensor) -> None:
        if isinstance(out, Tensor) and out.ndim == 4:
            found.pop(name, None)
            found[name] = out.numpy()[0].copy()  # later layers may work in place

    with evaluating(model), no_grad(), outputs_seen(model, layers, see):
        model(x)
    return found


def convolutions(model: nn.Module) -> dict[str, nn.Conv2d]:
    """The 2-D convolutions of a network by name, in the order in which they were built."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}


def layer_filters(model: nn.Module, layer: str | None = None) -> np.ndarray:
    """The weights of a convolution.

    Args:
        model: the network.
        layer: its name; by default the first convolution.

    Returns:
        (C_out, C_in / groups, K_h, K_w), a copy.

    Raises:
        UnsupportedError: there is no such layer, or it is not a 2-D convolution.
    """
    known = convolutions(model)
    name = next(iter(known), None) if layer is None else layer
    if name not in known:
        raise UnsupportedError(
            f"layer_filters: {layer!r} is no convolution of {type(model).__name__}; there are {list(known)}"
        )
    return known[name].weight.detach().numpy().copy()


def check_one_image(function: str, x: Tensor) -> None:
    """Refuse an input that is not a batch of one image."""
    if x.ndim != 4 or x.shape[0] != 1:
        raise ShapeError(f"{function}: x must be one image (1, C, H, W), got shape {tuple(x.shape)}")
