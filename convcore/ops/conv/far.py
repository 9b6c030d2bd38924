"""Padding, strides and dilations far larger than the image, at a cost in proportion to what is read and written.

The algorithms copy windows, which include the padding and everything between two taps. That costs little, unless
padding, dilation or stride are far larger than the image. An axis of that kind is *far*, and is replaced: the values
that the taps read are gathered, tap by tap, for each output,

    gathered[o * kernel + t] = x[o * stride + t * dilation - pad], or 0 outside

and convolved with a stride of `kernel`, without padding and dilation, which is the same sum. The gradient of the input
is scattered back: the gradients of all copies of one element of x are added up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from convcore import memory
from convcore.ops.conv.geometry import Axis, ConvGeometry, once_per_geometry

# An axis is far if its padded size is larger than SMALLEST + SHARE times what it reads and writes. Smaller axes are
# faster without gathering, and their windows take little memory.
SHARE, SMALLEST = 4, 4096


def _is_far(axis: Axis) -> bool:
    padded = axis.pad_before + axis.size_in + axis.pad_after
    return padded > SMALLEST + SHARE * (axis.size_in + axis.size_out * axis.kernel)


def _gathered(axis: Axis) -> Axis:
    size = axis.size_out * axis.kernel
    return Axis(size, axis.size_out, axis.kernel, axis.kernel, pad_before=0, pad_after=0, dilation=1)


@once_per_geometry
def near(geometry: ConvGeometry) -> ConvGeometry:
    """The geometry of the same sums without far axes: the geometry itself if there are none."""
    names = ("depth", "height", "width")
    axes = {name: getattr(geometry, name) for name in names}
    far = {name: _gathered(axis) for name, axis in axes.items() if axis is not None and _is_far(axis)}
    return dataclasses.replace(geometry, **far) if far else geometry


def _readings(axis: Axis) -> Iterator[tuple[slice, slice]]:
    """For each tap that reads the image at all: the slice of the image, and its slice of the gathered array."""
    for t in range(axis.kernel):
        offset = t * axis.dilation - axis.pad_before
        first = max(0, -(offset // axis.stride))  # the first output whose reading is at least 0
        end = min(axis.size_out, -(-(axis.size_in - offset) // axis.stride))
        if first < end:
            start, count, step = offset + first * axis.stride, end - first, min(axis.stride, axis.size_in)
            read = slice(start, start + (count - 1) * step + 1, step)
            yield read, slice(first * axis.kernel + t, (end - 1) * axis.kernel + t + 1, axis.kernel)


def gather(x: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
    """x (N, C, ...) as the input of a convolution of `near(geometry)`: gathered along far axes."""
    for i, axis in enumerate(geometry.axes):
        if _is_far(axis):
            x = _gather(x, i - len(geometry.axes), axis)
    return x


def _gather(x: np.ndarray, place: int, axis: Axis) -> np.ndarray:
    shape = list(x.shape)
    shape[place] = axis.size_out * axis.kernel
    out = memory.empty(shape, x.dtype)
    out.fill(0)
    source, target = np.moveaxis(x, place, 0), np.moveaxis(out, place, 0)
    for read, written in _readings(axis):
        target[written] = source[read]
    return out


def put_back(gradient: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
    """The gradient of x (N, C, ...) from that of the gathered array; the taps of one element are added in order."""
    for i, axis in reversed(list(enumerate(geometry.axes))):
        if _is_far(axis):
            gradient = _put_back(gradient, i - len(geometry.axes), axis)
    return gradient


def _put_back(gradient: np.ndarray, place: int, axis: Axis) -> np.ndarray:
    shape = list(gradient.shape)
    shape[place] = axis.size_in
    grad_x = memory.empty_channels_last(shape, gradient.dtype)
    grad_x.fill(0)
    source, target = np.moveaxis(gradient, place, 0), np.moveaxis(grad_x, place, 0)
    for read, written in _readings(axis):
        target[read] += source[written]
    return grad_x
