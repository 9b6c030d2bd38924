"""ONNX's convolutions and poolings: padding may be uneven there, or asked for by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from values import NoCounterpartError

import convcore as cc
import convcore.nn.functional as F
from convcore import Tensor

Pairs = list[tuple[int, int]]
"""For each spatial axis the amounts (before, after)."""


def padding_of(auto_pad: str, pads: Sequence[int] | None, sizes, kernel, strides, dilations) -> Pairs:
    """How much the image is padded."""
    rank = len(kernel)
    if not auto_pad.startswith("SAME"):
        pads = [0] * (2 * rank) if pads is None or auto_pad == "VALID" else pads
        return [(pads[i], pads[rank + i]) for i in range(rank)]
    pairs = []
    for size, k, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        total = max((-(-size // stride) - 1) * stride + dilation * (k - 1) + 1 - size, 0)
        less, more = total // 2, total - total // 2
        pairs.append((less, more) if auto_pad == "SAME_UPPER" else (more, less))
    return pairs


def padded(x: Tensor, pairs: Pairs, value: float = 0.0) -> Tensor:
    return F.pad(x, [amount for pair in reversed(pairs) for amount in pair], "constant", value)


def function(name: str, rank: int) -> Any:
    return getattr(F, f"{name}{rank}d")


def conv(
    x, weight, bias=None, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None
):  # fmt: skip
    rank = x.ndim - 2
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    pairs = padding_of(auto_pad, pads, x.shape[2:], weight.shape[2:], strides, dilations)
    return function("conv", rank)(padded(x, pairs), weight, bias, strides, 0, dilations, group)


def conv_transpose(
    x, weight, bias=None, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, output_padding=None,
    output_shape=None, pads=None, strides=None,
):  # fmt: skip
    rank = x.ndim - 2
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    extra = output_padding or [0] * rank
    out = function("conv_transpose", rank)(x, weight, bias, strides, 0, extra, group, dilations)
    if auto_pad.startswith("SAME") and output_shape is None:
        output_shape = [size * stride for size, stride in zip(x.shape[2:], strides, strict=True)]
    if output_shape is None:
        pairs = padding_of(auto_pad, pads, x.shape[2:], weight.shape[2:], strides, dilations)
    else:
        surplus = [size - wanted for size, wanted in zip(out.shape[2:], output_shape, strict=True)]
        pairs = [(s // 2, s - s // 2) if auto_pad == "SAME_UPPER" else (s - s // 2, s // 2) for s in surplus]
    return padded(out, [(-before, -after) for before, after in pairs])


def even(pairs: Pairs, kernel: Sequence[int]) -> list[int] | None:
    """The padding as torch's pooling takes it: the same on both sides, and half a window at most."""
    fits = all(before == after <= k // 2 for (before, after), k in zip(pairs, kernel, strict=True))
    return [before for before, _ in pairs] if fits else None


def max_pool(
    x, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, pads=None, storage_order=0, strides=None
):  # fmt: skip
    rank = len(kernel_shape)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    pairs = padding_of(auto_pad, pads, x.shape[2:], kernel_shape, strides, dilations)
    pool = function("max_pool", rank)
    amounts = even(pairs, kernel_shape)
    if x.dtype.kind != "f":
        raise NoCounterpartError("pooling of integers")
    if amounts is None:
        return pool(padded(x, pairs, float("-inf")), kernel_shape, strides, 0, dilations, bool(ceil_mode))
    out, places = pool(x, kernel_shape, strides, amounts, dilations, bool(ceil_mode), True)
    if storage_order:  # columns first
        places = places % x.shape[-1] * x.shape[-2] + places // x.shape[-1]
    planes = cc.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * rank)
    return out, places + planes * int(np.prod(x.shape[2:]))  # ONNX counts through the whole batch


def average_pool(
    x, kernel_shape, auto_pad="NOTSET", ceil_mode=0, count_include_pad=0, dilations=None, pads=None, strides=None
):  # fmt: skip
    rank = len(kernel_shape)
    strides = strides or [1] * rank
    if dilations and set(dilations) != {1}:
        raise NoCounterpartError("average pooling with a dilation, which torch lacks")
    pairs = padding_of(auto_pad, pads, x.shape[2:], kernel_shape, strides, [1] * rank)
    pool = function("avg_pool", rank)
    amounts = even(pairs, kernel_shape)
    if amounts is not None:
        return pool(x, kernel_shape, strides, amounts, bool(ceil_mode), bool(count_include_pad))
    mean = pool(padded(x, pairs), kernel_shape, strides, 0, bool(ceil_mode))
    if count_include_pad:
        return mean
    return mean / pool(padded(cc.ones_like(x), pairs), kernel_shape, strides, 0, bool(ceil_mode))


def lp_pool(x, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, p=2, pads=None, strides=None):
    rank = len(kernel_shape)
    strides = strides or [1] * rank
    if dilations and set(dilations) != {1}:
        raise NoCounterpartError("Lp pooling with a dilation, which torch lacks")
    pairs = padding_of(auto_pad, pads, x.shape[2:], kernel_shape, strides, [1] * rank)
    return function("lp_pool", rank)(padded(x, pairs).abs(), p, kernel_shape, strides, bool(ceil_mode))


def max_unpool(x, indices, output_shape=None, kernel_shape=(), pads=None, strides=None):
    rank = len(kernel_shape)
    if output_shape is not None:
        raise NoCounterpartError("unpooling into a larger image, whose indices count through the smaller one")
    sizes = [(size - 1) * s + k for size, s, k in zip(x.shape[2:], strides or [1] * rank, kernel_shape, strict=True)]
    places = indices % int(np.prod(sizes))
    return function("max_unpool", rank)(x, places, kernel_shape, strides, output_size=sizes)


def global_average_pool(x):
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


def global_max_pool(x):
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)
