"""Which pixels or positions are evidence for a class: saliency and Grad-CAM.

Both use the gradient of one class's score, the logit before softmax, because softmax would mix in the other classes.
Sources: K. Simonyan, A. Vedaldi and A. Zisserman, "Deep Inside Convolutional Networks: Visualising Image Classification
Models and Saliency Maps" (2014), section 3; R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via
Gradient-based Localization" (2017), section 3.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from convcore import nn
from convcore.autograd import enable_grad, grad, no_grad, wrap
from convcore.errors import ShapeError, UnsupportedError
from convcore.inspect.activations import check_one_image, outputs_seen
from convcore.nn import functional as F
from convcore.nn.base.modes import evaluating
from convcore.tensor import Tensor

# Layers that an activation may follow.
UNFINISHED = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d, nn.LayerNorm)


@dataclass(frozen=True)
class Attribution:
    """A class, and the positions of the evidence for it.

    Attributes:
        target: the class.
        score: its logit.
        values: float32, not negative; (H, W) of the image for saliency, (h, w) of the layer for Grad-CAM.
    """

    target: int
    score: float
    values: np.ndarray


def saliency(model: nn.Module, x: Tensor, target: int | None = None) -> Attribution:
    """How much the score of a class changes with each pixel: max over c of |d score / d x[c, i, j]|.

    Args:
        model: returns logits (1, classes). It is used in evaluation mode; its gradients are not changed.
        x: (1, C, H, W).
        target: the class; by default the one with the highest score.

    Raises:
        ShapeError: x is not one image, or there is no such class.
    """
    check_one_image("saliency", x)
    with evaluating(model), enable_grad():
        pixels = x.detach().requires_grad_()
        scores = model(pixels)
        target = _target("saliency", scores, target)
        (slope,) = grad(scores[0, target], pixels)
    return Attribution(target, float(scores.detach().numpy()[0, target]), np.abs(slope.detach().numpy()[0]).max(axis=0))


def grad_cam(model: nn.Module, x: Tensor, layer: str | None = None, target: int | None = None) -> Attribution:
    """Where in a layer's feature maps A the score of a class comes from:

        weight[k] = mean over i, j of d score / d A[k, i, j]
        values[i, j] = max(0, sum over k of weight[k] * A[k, i, j])

    Args:
        model, x, target: as for `saliency`.
        layer: a module whose output is (1, K, h, w); by default the one from `last_maps`.

    If every position is evidence against the class, all values are 0.

    Raises:
        ShapeError: x is not one image, there is no such class, or the layer's output has another shape.
        UnsupportedError: the model has no such layer, or does not call it, or has no convolution.
    """
    check_one_image("grad_cam", x)
    if layer is None:
        layer = last_maps(model, x)
    seen: list[Tensor] = []

    def see(name: str, out: Tensor) -> Tensor:
        if out.ndim != 4:
            raise ShapeError(f"grad_cam: the output of {name} must be (1, K, h, w), got shape {tuple(out.shape)}")
        seen[:] = [out]
        return out.clone()  # later layers may work in place; the maps must stay

    with evaluating(model), enable_grad(), outputs_seen(model, [layer], see):
        # If the image requires a gradient, the maps have one even if all weights are frozen.
        scores = model(x.detach().requires_grad_())
        if not seen:
            raise UnsupportedError(f"grad_cam: {type(model).__name__} does not call its layer {layer!r}")
        target = _target("grad_cam", scores, target)
        (slope,) = grad(scores[0, target], seen[0])
    weights = slope.detach().numpy()[0].mean(axis=(1, 2), dtype=np.float64)
    values = np.tensordot(weights, seen[0].detach().numpy()[0].astype(np.float64), 1)
    return Attribution(target, float(scores.detach().numpy()[0, target]), np.maximum(values, 0).astype(np.float32))


def last_maps(model: nn.Module, x: Tensor) -> str:
    """The layer that Grad-CAM uses by default: the last one with maps of the last convolution's size.

    The paper uses the maps of the last convolution after the ReLU. Before normalisation, activation or the sum of a
    residual block, the values are not yet the input of the next layer. So this is the last module whose output has the
    height and width of the last convolution's output: "layer4.1" of a ResNet-18, "features.8.2" of an EfficientNet. If
    the activation is a function, not a module, it is the next module that has maps.

    Args:
        model: the network.
        x: one image (1, C, H, W).

    Raises:
        ShapeError: x is not one image.
        UnsupportedError: the model calls no 2-D convolution.
    """
    check_one_image("last_maps", x)
    modules = {name: module for name, module in model.named_modules() if name}
    calls: list[tuple[str, Tensor]] = []

    def see(name: str, out: Tensor) -> None:
        if isinstance(out, Tensor) and out.ndim == 4:
            calls.append((name, out))

    with evaluating(model), no_grad(), outputs_seen(model, modules, see):
        model(x)
    convolutions = [i for i, (name, _) in enumerate(calls) if isinstance(modules[name], nn.Conv2d)]
    if not convolutions:
        raise UnsupportedError(f"last_maps: {type(model).__name__} calls no 2-D convolution; name a layer")
    wide = [i for i in convolutions if _places(calls[i][1]) > 1]
    first = (wide or convolutions)[-1]
    size = calls[first][1].shape[2:]
    last = max(i for i in range(first, len(calls)) if calls[i][1].shape[2:] == size)
    if isinstance(modules[calls[last][0]], UNFINISHED):
        last = next((i for i in range(last + 1, len(calls)) if _places(calls[i][1]) > 1), last)
    # A block may return the output of its last child. Then the child is chosen, unless it has other calls, too.
    count = Counter(name for name, _ in calls)
    same = [name for name, out in calls if out is calls[last][1]]
    return next((name for name in same if count[name] == 1), same[0])


def _places(maps: Tensor) -> int:
    return maps.shape[2] * maps.shape[3]


def enlarged(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map (h, w) enlarged to the `size` (H, W) of an image, bilinearly."""
    with no_grad():
        return F.interpolate(wrap(values[None, None]), size=size, mode="bilinear").numpy()[0, 0].copy()


def _target(function: str, scores: Tensor, target: int | None) -> int:
    if scores.ndim != 2:
        raise ShapeError(f"{function}: the model must return logits (1, classes), got shape {tuple(scores.shape)}")
    classes = scores.shape[1]
    if target is None:
        return int(scores.detach().numpy()[0].argmax())
    if not 0 <= target < classes:
        raise ShapeError(f"{function}: target must be a class from 0 to {classes - 1}, got {target}")
    return target
