"""Compose, Normalize and RandomCrop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convcore import random
from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.arguments import pair


class Compose:
    """Apply `transforms` one after another."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]):
        self.transforms = list(transforms)

    def __call__(self, x: Any) -> Any:
        for transform in self.transforms:
            x = transform(x)
        return x

    def __repr__(self) -> str:
        lines = "\n".join(f"    {transform}" for transform in self.transforms)
        return f"Compose(\n{lines}\n)"


class _Transform:
    """Base: unpacks a tensor, checks the shape, and lets `apply` work on an array (N, C, H, W)."""

    def __call__(self, x: Any) -> Any:
        name = type(self).__name__
        if not isinstance(x, (Variable, np.ndarray)):
            raise DTypeError(f"{name}: x must be a tensor or a NumPy array, got {type(x).__name__}")
        array = x.array if isinstance(x, Variable) else x
        if array.dtype.kind != "f":
            raise DTypeError(
                f"{name}: x must be floating-point, got {array.dtype}; for uint8 pixels use x.astype('float32') / 255"
            )
        if array.ndim not in (3, 4):
            raise ShapeError(
                f"{name}: x must be an image (C, H, W) or a batch (N, C, H, W), got {array.ndim} axes, {array.shape}"
            )
        result = self.apply(array) if array.ndim == 4 else self.apply(array[np.newaxis])[0]
        return wrap(result) if isinstance(x, Variable) else result

    def apply(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class Normalize(_Transform):
    """(x - mean) / std, channel by channel.

    Args:
        mean: one number per channel; a single one stands for all channels.
        std: likewise, none of them 0.
    """

    def __init__(self, mean: float | Sequence[float] | np.ndarray, std: float | Sequence[float] | np.ndarray):
        self.mean = np.atleast_1d(np.asarray(mean, np.float64))
        self.std = np.atleast_1d(np.asarray(std, np.float64))
        if self.mean.ndim != 1 or self.std.ndim != 1:
            raise ShapeError(f"Normalize: mean and std must be numbers or lists of numbers, got {mean} and {std}")
        if not np.all(self.std):
            raise ShapeError(f"Normalize: std must not be 0, got {std}")

    def apply(self, x: np.ndarray) -> np.ndarray:
        channels = x.shape[1]
        if len(self.mean) not in (1, channels) or len(self.std) not in (1, channels):
            raise ShapeError(
                f"Normalize: x has {channels} channels, but mean has {len(self.mean)} and std {len(self.std)} values; "
                "give one for each channel, or a single one"
            )
        mean, std = (values.astype(x.dtype)[:, np.newaxis, np.newaxis] for values in (self.mean, self.std))
        return (x - mean) / std

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean.tolist()}, std={self.std.tolist()})"


class RandomCrop(_Transform):
    """Cut a window of `size` out of the image, at a place drawn at random, after padding it.

    With the image's own size and a padding of 2 this shifts the image by up to 2 pixels in each direction.

    Args:
        size: height and width of the window.
        padding: pixels of `fill` added on every side first (height, width); 0 by default.
        fill: the value of the added pixels.
        generator: where the places are drawn from: a NumPy generator, or a seed for a new one. By default a new one
            with a seed from the generator that `convcore.random.manual_seed` seeds.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] = 0,
        *,
        fill: float = 0.0,
        generator: np.random.Generator | int | None = None,
    ):
        self.size = pair("RandomCrop", "size", size, 1)
        self.padding = pair("RandomCrop", "padding", padding, 0)
        self.fill = fill
        if generator is None:
            generator = int(random.default_generator.numpy.integers(2**63))
        self.generator = np.random.default_rng(generator)

    def apply(self, x: np.ndarray) -> np.ndarray:
        (h_out, w_out), (pad_h, pad_w) = self.size, self.padding
        n, c, h_in, w_in = x.shape
        h, w = h_in + 2 * pad_h, w_in + 2 * pad_w
        if h < h_out or w < w_out:
            raise ShapeError(
                f"RandomCrop: the padded image must be at least as large as the window {self.size}, got {(h, w)} from "
                f"x {x.shape} and padding {self.padding}"
            )
        padded = np.full((n, c, h, w), self.fill, x.dtype)
        padded[:, :, pad_h : pad_h + h_in, pad_w : pad_w + w_in] = x
        top = self.generator.integers(0, h - h_out + 1, n)
        left = self.generator.integers(0, w - w_out + 1, n)
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.size, axis=(2, 3))  # (n, c, h', w', *size)
        return windows[np.arange(n), :, top, left]

    def state_dict(self) -> dict[str, Any]:
        """The state of the generator: what fixes all draws to come."""
        return dict(self.generator.bit_generator.state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.bit_generator.state = state

    def __repr__(self) -> str:
        return f"RandomCrop(size={self.size}, padding={self.padding})"
