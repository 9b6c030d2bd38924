"""Convolution (cross-correlation, as in all deep-learning libraries) and its gradients, as plain as they can be.

    out[n, k, o] = bias[k] + sum over c, t of x_padded[n, c, o * stride + t * dilation] * weight[k, c, t]

where the position o in the output and the tap t of the filter have one coordinate per spatial axis: one for series, two
for images, three for volumes. Arrays are (N, C, ...) of any float type; everything is computed and returned in float64.
With groups, filter k sees only the channels of its group. Settings have one entry per spatial axis, `padding` pairs
(before, after).
"""

import math

import numpy as np


def pad(x, padding):
    """x (N, C, ...) in float64 with borders of zeros; a negative border is cut off."""
    x = np.pad(np.asarray(x, np.float64), ((0, 0), (0, 0), *[(max(b, 0), max(a, 0)) for b, a in padding]))
    return x[_inside([(max(-b, 0), max(-a, 0)) for b, a in padding], x.shape[2:])]


def _inside(borders, sizes):
    """The index of the inside of borders."""
    return (..., *[slice(before, size - after) for (before, after), size in zip(borders, sizes, strict=True)])


def _seen(tap, out_sizes, stride, dilation):
    """The index of the values of x_padded that a filter tap sees, one per output."""
    axes = zip(tap, out_sizes, stride, dilation, strict=True)
    return (..., *[slice(t * d, t * d + (size - 1) * step + 1, step) for t, size, step, d in axes])


def _grouped(array, axis, groups):
    """Split an axis of channels into (groups, channels per group)."""
    shape = array.shape
    return array.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])


def conv_forward(x, weight, bias, stride, padding, dilation, groups):
    """out (N, K, ...); bias may be None."""
    weight, x_padded = np.asarray(weight, np.float64), pad(x, padding)
    n, c_out, kernel = len(x_padded), len(weight), weight.shape[2:]
    sizes = [
        (size - d * (k - 1) - 1) // step + 1
        for size, k, step, d in zip(x_padded.shape[2:], kernel, stride, dilation, strict=True)
    ]
    out = np.zeros((n, groups, c_out // groups, *sizes))
    for tap in np.ndindex(*kernel):
        patch = _grouped(x_padded[_seen(tap, sizes, stride, dilation)], 1, groups)
        out += np.einsum("ngc...,gkc->ngk...", patch, _grouped(weight[(..., *tap)], 0, groups))
    out = out.reshape(n, c_out, *sizes)
    return out if bias is None else out + np.asarray(bias, np.float64).reshape(-1, *[1] * len(sizes))


def conv_grad_input(grad_out, weight, x_shape, stride, padding, dilation, groups):
    """grad_x (N, C, ...): every tap gives back to where it read."""
    grad_out, weight = np.asarray(grad_out, np.float64), np.asarray(weight, np.float64)
    grad_padded = pad(np.zeros(x_shape), [(before, max(after, 0)) for before, after in padding])
    grouped = _grouped(grad_out, 1, groups)
    for tap in np.ndindex(*weight.shape[2:]):
        given = np.einsum("ngk...,gkc->ngc...", grouped, _grouped(weight[(..., *tap)], 0, groups))
        seen = grad_padded[_seen(tap, grad_out.shape[2:], stride, dilation)]
        seen += given.reshape(seen.shape)
    return grad_padded[_inside([(before, max(after, 0)) for before, after in padding], grad_padded.shape[2:])]


def conv_grad_weight(x, grad_out, weight_shape, stride, padding, dilation, groups):
    """grad_weight (K, C/groups, ...): for every tap, the correlation of what it read with what came back."""
    x_padded, sizes = pad(x, padding), grad_out.shape[2:]
    n, pixels, filters, channels = len(x), math.prod(sizes), weight_shape[0] // groups, weight_shape[1]
    gradient = np.asarray(grad_out, np.float64).reshape(n, groups, filters, pixels)
    grad_weight = np.zeros(weight_shape)
    for tap in np.ndindex(*weight_shape[2:]):
        seen = x_padded[_seen(tap, sizes, stride, dilation)].reshape(n, groups, channels, pixels)
        grad_weight[(..., *tap)] = np.einsum("ngkp,ngcp->gkc", gradient, seen).reshape(weight_shape[:2])
    return grad_weight


def conv_grad_bias(grad_out):
    """grad_bias (K,): the bias is added to every output of its channel."""
    return np.asarray(grad_out, np.float64).sum(axis=(0, *range(2, grad_out.ndim)))
