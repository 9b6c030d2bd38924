"""ONNX's elementwise operators and reductions."""

from collections.abc import Callable
from typing import Any

import numpy as np
from values import NoCounterpartError, dtype_of, listed

import convcore as cc
import convcore.nn.functional as F
from convcore import Tensor


def divide(a, b):
    return cc.div(a, b) if a.dtype.kind == "f" else cc.div(a, b, rounding_mode="trunc")


def power(a, b):
    return cc.pow(a, b).to(a.dtype)


def modulo(a, b, fmod=0):
    return cc.fmod(a, b) if fmod else cc.remainder(a, b)


def bit_shift(a, b, direction):
    return a << b if direction == "LEFT" else a >> b


def is_inf(x, detect_negative=1, detect_positive=1):
    return cc.isinf(x) & ((x < 0) & bool(detect_negative) | (x > 0) & bool(detect_positive))


def clip(x, low=None, high=None):
    if low is not None:
        x = cc.maximum(x, low)
    return x if high is None else cc.minimum(x, high)


def folded(function):
    """A function of two tensors as one of any number."""

    def call(first, *others):
        for other in others:
            first = function(first, other)
        return first

    return call


def mean_of(*tensors):
    return folded(cc.add)(*tensors) / len(tensors)


def cast(x, to, saturate=1, round_mode="up"):
    return x.to(dtype_of(to))


def dropout(x, ratio=None, training_mode=None, seed=0):
    if training_mode is not None and bool(training_mode.item()) and (ratio is None or ratio.item() > 0):
        raise NoCounterpartError("ONNX's random numbers")
    return x, cc.ones(x.shape, dtype=bool)


def gelu(x, approximate="none"):
    return F.gelu(x, approximate=approximate)


def hard_sigmoid(x, alpha=0.2, beta=0.5):
    return (alpha * x + beta).clamp(0, 1)


def prelu(x, slope):
    return x.clamp(min=0) + slope * x.clamp(max=0)


def selu(x, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875):
    return gamma * F.elu(x, alpha)


def shrink(x, bias=0.0, lambd=0.5):
    moved = cc.where(x < -lambd, x + bias, cc.where(x > lambd, x - bias, cc.zeros_like(x)))
    return moved.to(x.dtype)


def reduction(function: Callable[[Tensor, Any, bool], Tensor]):
    def call(x, axes=None, keepdims=1, noop_with_empty_axes=0):
        dims = tuple(listed(axes))
        if not dims and noop_with_empty_axes:  # each element is a group of its own
            return function(x.unsqueeze(-1), (x.ndim,), False)
        if x.ndim == 0:
            return function(x.reshape(1), (0,), False)
        return function(x, dims or tuple(range(x.ndim)), bool(keepdims))

    return call


def product_over(x, dims, keepdim):
    for dim in sorted((d % x.ndim for d in dims), reverse=True):
        x = cc.prod(x, dim, keepdim, dtype=x.dtype)
    return x


def extreme(function):
    def call(x, dims, keepdim):
        if x.numel() == 0:
            raise NoCounterpartError("the extreme of nothing")
        if x.dtype != np.bool_:
            return function(x, dims, keepdim)
        return function(x.to(np.uint8), dims, keepdim).to(bool)

    return call


def same_type(function):
    return lambda x, dims, keepdim: function(x, dims, keepdim).to(x.dtype)


def log_of_sum(x, dims, keepdim):
    return cc.sum(x, dims, keepdim).log()


def arg(function):
    def call(x, axis=0, keepdims=1, select_last_index=0):
        if select_last_index:
            return x.shape[axis] - 1 - function(x.flip(axis), axis, bool(keepdims))
        return function(x, axis, bool(keepdims))

    return call


def running(function):
    def call(x, axis, exclusive=0, reverse=0):
        dim = int(axis.item())
        x = x.flip(dim) if reverse else x
        if exclusive:
            first = cc.full_like(x.narrow(dim, 0, 1), 0 if function is cc.cumsum else 1)
            x = cc.cat([first, x.narrow(dim, 0, x.shape[dim] - 1)], dim)
        out = function(x, dim, dtype=x.dtype)
        return out.flip(dim) if reverse else out

    return call


def top_k(x, k, axis=-1, largest=1, sorted=1):
    values, indices = cc.topk(x, int(k.item()), axis, bool(largest), bool(sorted))
    return values, indices
