"""The geometry of pooling: which positions of the image each window reads.

As for convolutions, a geometry is parsed and checked once per distinct call and then cached; forward, gradients and
tests read the same object. The axes are independent, so a geometry has a list of windows for each: height and width of
images (a series is an image of height 1), and depth of volumes. Window o of ordinary pooling starts at
o * stride - padding and has k taps, `dilation` apart. The number of windows is

    size_out = floor((size + 2 * padding - dilation * (k - 1) - 1) / stride) + 1

With ceil_mode the division rounds up, which adds a window that extends beyond the padding; but the last window must
start inside the image or the padding before it. Window o of adaptive pooling covers the positions
floor(o * size / size_out) to ceil((o + 1) * size / size_out) - 1, for any sizes.

Source: V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning" (2016), section 3. The rules of
ceil_mode and of adaptive windows are PyTorch's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convcore.errors import DTypeError, ShapeError, array_table
from convcore.ops.core.arguments import AXIS_NAMES, integer, numbers
from convcore.ops.core.budget import ceil_div

IntOrSeveral = int | Sequence[int]


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows along one axis. Window o reads start[o], start[o] + dilation, ... below stop[o].

    Attributes:
        size: the image's size along this axis.
        taps: the largest number of taps of a window.
        dilation: the distance between taps.
        start, stop: clipped to the image.
        count: for each window, this axis' factor of the divisor of an average.
        over_start, over_stop: the windows over_start[i] to over_stop[i] - 1 cover position i of the image.
    """

    size: int
    taps: int
    dilation: int
    start: np.ndarray
    stop: np.ndarray
    count: np.ndarray
    over_start: np.ndarray
    over_stop: np.ndarray

    @property
    def size_out(self) -> int:
        return self.start.size

    @functools.cached_property
    def is_partition(self) -> bool:
        """Whether every position is in exactly one window, as with stride = kernel_size."""
        return self.dilation == 1 and bool((self.over_stop - self.over_start == 1).all())


@dataclass(frozen=True, eq=False)
class PoolGeometry:
    """All sizes of one pooling call; `height`, `width` and, for volumes, `depth` are the windows along the axes."""

    n: int
    c: int
    height: Windows
    width: Windows
    depth: Windows | None = None

    @functools.cached_property
    def axes(self) -> tuple[Windows, ...]:
        """The windows in memory order: (height, width) or (depth, height, width)."""
        return (self.height, self.width) if self.depth is None else (self.depth, self.height, self.width)

    @functools.cached_property
    def x_block_shape(self) -> tuple[int, ...]:
        return self.n, *[axis.size for axis in self.axes], self.c

    @functools.cached_property
    def out_block_shape(self) -> tuple[int, ...]:
        return self.n, *[axis.size_out for axis in self.axes], self.c


def position_dtype(rows: Windows, columns: Windows) -> type[np.integer]:
    """The smallest integer type for the tap numbers of a window, among those that kernels are compiled for."""
    return np.uint8 if rows.taps * columns.taps <= 256 else np.int32


def max_pool_geometry(
    op: str,
    input: Any,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None,
    padding: IntOrSeveral,
    dilation: IntOrSeveral,
    ceil_mode: bool,
) -> PoolGeometry:
    """The geometry of max_pool1d, 2d or 3d (`op`); input is an array or anything with its shape and dtype.

    Raises:
        ShapeError: a rule is broken; the message ends with the shape of the input.
        DTypeError: a setting is not an integer.
    """
    return _cached(_parse_ordinary, op, input, kernel_size, stride, padding, dilation, ceil_mode, True, None)


def avg_pool_geometry(
    op: str,
    input: Any,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None,
    padding: IntOrSeveral,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> PoolGeometry:
    """The geometry of avg_pool1d, 2d or 3d; errors as in `max_pool_geometry`."""
    settings = kernel_size, stride, padding, 1, ceil_mode, count_include_pad, divisor_override
    return _cached(_parse_ordinary, op, input, *settings)


def adaptive_pool_geometry(op: str, input: Any, output_size: int | Sequence[int | None] | None) -> PoolGeometry:
    """The geometry of adaptive pooling (`op`); errors as above."""
    return _cached(_parse_adaptive, op, input, output_size)


def _cached(parse: Callable[..., PoolGeometry], op: str, input: Any, *settings: Any) -> PoolGeometry:
    try:
        return parse(op, tuple(input.shape), *settings)
    except ShapeError as error:
        letters = ["N", "C", *[name[0].upper() for name in AXIS_NAMES[int(op[-2])]]]
        ndim = len(input.shape)
        axes = ", ".join(letters[len(letters) - ndim :]) if ndim in (len(letters), len(letters) - 1) else ""
        raise ShapeError(f"{error}\n{array_table([('input', input, axes)])}") from None
    except TypeError as error:
        if isinstance(error, DTypeError):
            raise
        if any(isinstance(v, (list, np.ndarray)) for v in settings):  # unhashable, so the cache cannot look them up
            return _cached(parse, op, input, *[tuple(v) if isinstance(v, (list, np.ndarray)) else v for v in settings])
        raise DTypeError(f"{op}: sizes must be integers or sequences of integers, got {settings}") from None


@functools.lru_cache(maxsize=4096, typed=True)
def _parse_ordinary(
    op, x_shape, kernel_size, stride, padding, dilation, ceil_mode, count_include_pad, divisor_override
) -> PoolGeometry:
    rank = int(op[-2])
    n, c, *sizes = _input_shape(op, rank, x_shape)
    if c == 0:
        raise ShapeError(f"{op}: input must not be empty, only its batch axis may be")
    kernel = numbers(op, "kernel_size", kernel_size, 1, rank)
    strides = kernel if stride is None or stride == () else numbers(op, "stride", stride, 1, rank)
    paddings = numbers(op, "padding", padding, 0, rank)
    dilations = numbers(op, "dilation", dilation, 1, rank)
    if divisor_override is not None and integer(op, "divisor_override", divisor_override, np.iinfo(np.int64).min) == 0:
        raise ShapeError(f"{op}: divisor_override must not be zero; None divides by the size of each window")
    if any(2 * p > k for p, k in zip(paddings, kernel, strict=True)):
        raise ShapeError(
            f"{op}: padding must be at most half of kernel_size, got padding {paddings} for kernel_size {kernel}"
        )
    axes = []
    for i, name in enumerate(AXIS_NAMES[rank]):
        size, k, pad, dil = sizes[i], kernel[i], paddings[i], dilations[i]
        reach = dil * (k - 1) + 1
        spare = size + 2 * pad - reach
        size_out = (ceil_div(spare, strides[i]) if ceil_mode else spare // strides[i]) + 1
        if ceil_mode and (size_out - 1) * strides[i] >= size + pad:
            size_out -= 1
        if size_out < 1:
            raise ShapeError(
                f"{op}: the padded input's {name} {size + 2 * pad} ({size} + {pad} + {pad}) is smaller than "
                f"the window's {reach}" + (f" ({k} with dilation {dil})" if dil > 1 else "")
            )
        begin = np.arange(size_out) * min(strides[i], size + 2 * pad) - pad
        end = begin + reach
        first_tap = np.where(begin < 0, begin % dil, begin)
        if divisor_override is not None:
            count = np.full(size_out, divisor_override if i == 0 else 1)
        elif count_include_pad:
            count = np.minimum(end, size + pad) - begin
        else:
            count = np.minimum(end, size) - first_tap
        axes.append(_windows(size, k, dil, begin, end, first_tap, count))
    return _of_axes(n, c, axes)


@functools.lru_cache(maxsize=4096, typed=True)
def _parse_adaptive(op, x_shape, output_size) -> PoolGeometry:
    rank = int(op[-2])
    n, c, *sizes = _input_shape(op, rank, x_shape)
    if c == 0 and "max" in op:
        raise ShapeError(f"{op}: input must not be empty, only its batch axis may be")
    if not isinstance(output_size, tuple):
        output_size = (output_size,) * rank
    if len(output_size) != rank:
        several = f" or {('two', 'three')[rank - 2]} ({', '.join(AXIS_NAMES[rank])})" if rank > 1 else ""
        raise ShapeError(f"{op}: output_size must be one size{several}, got {output_size}")
    axes = []
    for i, size in enumerate(sizes):
        size_out = size if output_size[i] is None else integer(op, f"output_size[{i}]", output_size[i], minimum=0)
        begin = np.arange(size_out) * size // max(size_out, 1)
        end = -(np.arange(1, size_out + 1) * -size // max(size_out, 1))
        taps = int((end - begin).max(initial=1))
        axes.append(_windows(size, taps, 1, begin, end, begin, end - begin))
    return _of_axes(n, c, axes)


def _input_shape(op: str, rank: int, x_shape: tuple[int, ...]) -> tuple[int, ...]:
    """(n, c, sizes..), with n = 1 without a batch axis."""
    if len(x_shape) not in (rank + 1, rank + 2):
        sizes = ", ".join([name[0].upper() for name in AXIS_NAMES[rank]])
        raise ShapeError(
            f"{op}: input must have {rank + 2} axes (N, C, {sizes}) or {rank + 1} (C, {sizes}), it has {len(x_shape)}"
        )
    if 0 in x_shape[-rank:]:
        raise ShapeError(f"{op}: input must not be empty, only its batch axis may be")
    return x_shape if len(x_shape) == rank + 2 else (1, *x_shape)


def _of_axes(n: int, c: int, axes: list[Windows]) -> PoolGeometry:
    if len(axes) == 3:
        return PoolGeometry(n, c, axes[1], axes[2], depth=axes[0])
    return PoolGeometry(n, c, axes[0] if len(axes) == 2 else ONE_WINDOW, axes[-1])


def _windows(size: int, taps: int, dilation: int, begin, end, first_tap, count) -> Windows:
    """Clip windows from begin to end - 1 to the image, and find the windows that cover each position."""
    positions = np.arange(size)
    tables = [
        first_tap,
        np.minimum(end, size),
        count,
        np.searchsorted(end, positions, side="right"),
        np.searchsorted(begin, positions, side="right"),
    ]
    tables = [table.astype(np.int64) for table in tables]
    for table in tables:
        table.flags.writeable = False  # shared by all calls through the cache
    return Windows(size, taps, dilation, *tables)


ONE_WINDOW = _windows(1, 1, 1, np.arange(1), np.arange(1, 2), np.arange(1), np.arange(1, 2))
"""The height axis of a series."""
