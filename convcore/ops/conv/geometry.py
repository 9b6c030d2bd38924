"""The geometry of a convolution: every size that follows from shapes, stride, padding, dilation and groups.

A geometry is parsed and checked once per distinct call and then cached. Algorithm selection, the forward pass, both
gradients, tests and benchmarks all read the same object, so that no two of them can disagree about a padding.

    h_out = floor((h_in + pad_top + pad_bottom - dil_h * (k_h - 1) - 1) / stride_h) + 1

A transposed convolution is the gradient of a convolution's input, and has the geometry of that convolution: the
input of the transposed convolution is h_out, its result h_in.

    h_in = (h_out - 1) * stride_h - 2 * padding + dil_h * (k_h - 1) + 1 + output_padding

Source: V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning" (2016), relationships 6 and 14,
with dilation (section 5.1).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from convcore.errors import DTypeError, ShapeError, array_table
from convcore.ops.core.arguments import AXIS_NAMES, integer, numbers

Padding = int | Sequence[int] | str


@dataclass(frozen=True)
class Axis:
    """One dimension, depth, height or width: sizes and settings.

    `pad_after` may be negative in a transposed convolution: that many of the last positions are then never read.
    """

    size_in: int
    size_out: int
    kernel: int
    stride: int
    pad_before: int
    pad_after: int
    dilation: int


ONE_PLANE = Axis(size_in=1, size_out=1, kernel=1, stride=1, pad_before=0, pad_after=0, dilation=1)
"""The depth of an image, and the height of a series."""


@dataclass(frozen=True)
class ConvGeometry:
    """All sizes of one convolution, for each dimension in an `Axis`; see the module's formula.

    Series are images of height 1; volumes have a depth, which is None for all others.
    """

    n: int
    c_in: int
    c_out: int
    groups: int
    height: Axis
    width: Axis
    depth: Axis | None = None

    @functools.cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The dimensions in the order of memory: (height, width) or (depth, height, width)."""
        return (self.height, self.width) if self.depth is None else (self.depth, self.height, self.width)

    @property
    def h_in(self) -> int:
        return self.height.size_in

    @property
    def w_in(self) -> int:
        return self.width.size_in

    @property
    def h_out(self) -> int:
        return self.height.size_out

    @property
    def w_out(self) -> int:
        return self.width.size_out

    @property
    def k_h(self) -> int:
        return self.height.kernel

    @property
    def k_w(self) -> int:
        return self.width.kernel

    @functools.cached_property
    def x_shape(self) -> tuple[int, ...]:
        return self.n, self.c_in, *[axis.size_in for axis in self.axes]

    @functools.cached_property
    def weight_shape(self) -> tuple[int, ...]:
        return self.c_out, self.c_in // self.groups, *[axis.kernel for axis in self.axes]

    @functools.cached_property
    def out_shape(self) -> tuple[int, ...]:
        return self.n, self.c_out, *[axis.size_out for axis in self.axes]

    @functools.cached_property
    def taps(self) -> int:
        """The number of taps of a filter."""
        return math.prod(axis.kernel for axis in self.axes)

    @property
    def reduction(self) -> int:
        """The number of products in one output: k_h * k_w * c_in / groups."""
        return self.taps * (self.c_in // self.groups)

    @property
    def multiply_adds(self) -> int:
        """The multiply-adds of one pass."""
        return math.prod(self.out_shape) * self.reduction

    @functools.cached_property
    def out_size(self) -> int:
        """The number of elements in the output."""
        return math.prod(self.out_shape)

    @functools.cached_property
    def known(self) -> dict[Any, Any]:
        """The cache of `once_per_geometry`."""
        return {}


_Result = TypeVar("_Result")


def once_per_geometry(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Cache the result of `function(geometry, *settings)` with the geometry; it must depend on nothing else.

    A small convolution takes less time than the decisions about it. The cache makes them one look-up.
    """

    @functools.wraps(function)
    def remembered(geometry: ConvGeometry, *settings: Any) -> _Result:
        key = function, settings
        known = geometry.known
        if key not in known:
            known[key] = function(geometry, *settings)
        return known[key]

    return remembered


def conv_geometry(
    op: str,
    input: Any,
    weight: Any,
    stride: int | Sequence[int],
    padding: Padding,
    dilation: int | Sequence[int],
    groups: int,
) -> ConvGeometry:
    """The geometry of conv1d, conv2d or conv3d (`op`) of `input` and `weight`: anything with a shape and a dtype.

    Raises:
        ShapeError: a rule is broken; the message ends with a table of the shapes.
        DTypeError: a setting is not an integer.
    """
    return _checked(_parse, op, input, weight, "C_out, C_in/groups", stride, padding, dilation, groups)


def conv_transpose_geometry(
    op: str,
    input: Any,
    weight: Any,
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    output_padding: int | Sequence[int],
    groups: int,
    dilation: int | Sequence[int],
) -> ConvGeometry:
    """The convolution whose input's gradient conv_transpose1d, 2d or 3d (`op`) computes; errors as above."""
    settings = stride, padding, output_padding, groups, dilation
    return _checked(_parse_transpose, op, input, weight, "C_in, C_out/groups", *settings)


def _checked(
    parse: Callable[..., ConvGeometry], op: str, input: Any, weight: Any, channels: str, *settings: Any
) -> ConvGeometry:
    try:
        return parse(op, int(op[-2]), tuple(input.shape), tuple(weight.shape), *settings)
    except ShapeError as error:
        names = AXIS_NAMES[int(op[-2])]
        sizes, taps = ", ".join([n[0].upper() for n in names]), ", ".join([f"K_{n[0]}" for n in names])
        table = array_table([("input", input, f"N, C_in, {sizes}"), ("weight", weight, f"{channels}, {taps}")])
        raise ShapeError(f"{error}\n{table}") from None
    except TypeError as error:
        if isinstance(error, DTypeError):
            raise
        if any(isinstance(v, (list, np.ndarray)) for v in settings):  # they cannot be hashed, hence not looked up
            hashable = [tuple(v) if isinstance(v, (list, np.ndarray)) else v for v in settings]
            return _checked(parse, op, input, weight, channels, *hashable)
        message = f"{op}: stride, padding, dilation and groups must be integers, got {list(settings)}"
        raise DTypeError(message) from None


@functools.lru_cache(maxsize=4096, typed=True)
def _parse(op, rank, x_shape, weight_shape, stride, padding, dilation, groups) -> ConvGeometry:
    strides, dilations = numbers(op, "stride", stride, 1, rank), numbers(op, "dilation", dilation, 1, rank)
    groups = integer(op, "groups", groups, minimum=1)
    _check_ranks(op, rank, x_shape, weight_shape, "C_out, C_in/groups")
    n, c_in = x_shape[:2]
    c_out, c_group, *kernel = weight_shape
    if c_out % groups:
        raise ShapeError(f"{op}: groups must divide C_out, but {c_out} % {groups} = {c_out % groups}")
    if c_in != c_group * groups:
        hint = ""
        if x_shape[-1] == c_group * groups:
            letters = ", ".join([name[0].upper() for name in AXIS_NAMES[rank]])
            order = ", ".join(map(str, (0, rank + 1, *range(1, rank + 1))))
            hint = f"\n  input looks like N, {letters}, C: input.permute({order}) brings the channels forward"
        elif c_in % groups:
            hint = f"\n  groups must also divide C_in, but {c_in} % {groups} = {c_in % groups}"
        raise ShapeError(
            f"{op}: input has {c_in} channels but weight expects {c_group * groups} "
            f"(weight.shape[1] * groups = {c_group} * {groups}){hint}"
        )
    axes, spans = [], [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
    for i, (before, after) in enumerate(_pads(op, padding, strides, spans)):
        name, size, reach = AXIS_NAMES[rank][i], x_shape[2 + i], spans[i] + 1
        if size == 0 or size + before + after < reach:
            raise ShapeError(
                f"{op}: the padded input's {name} {size + before + after} ({size} + {before} + {after}) is smaller "
                f"than the kernel's {reach}"
                + (f" ({kernel[i]} with dilation {dilations[i]})" if reach > kernel[i] else "")
            )
        size_out = (size + before + after - reach) // strides[i] + 1
        axes.append(_axis(size, size_out, kernel[i], strides[i], before, after, dilations[i]))
    return _of_axes(n, c_in, c_out, groups, axes)


@functools.lru_cache(maxsize=4096, typed=True)
def _parse_transpose(
    op, rank, x_shape, weight_shape, stride, padding, output_padding, groups, dilation
) -> ConvGeometry:
    strides, dilations = numbers(op, "stride", stride, 1, rank), numbers(op, "dilation", dilation, 1, rank)
    paddings, extra = numbers(op, "padding", padding, 0, rank), numbers(op, "output_padding", output_padding, 0, rank)
    groups = integer(op, "groups", groups, minimum=1)
    _check_ranks(op, rank, x_shape, weight_shape, "C_in, C_out/groups")
    n, c_in = x_shape[:2]
    c_weight, c_group, *kernel = weight_shape
    if c_in != c_weight:
        raise ShapeError(f"{op}: input has {c_in} channels but weight expects {c_weight} (weight.shape[0])")
    if c_in % groups:
        raise ShapeError(f"{op}: groups must divide C_in, but {c_in} % {groups} = {c_in % groups}")
    axes = []
    for i, name in enumerate(AXIS_NAMES[rank]):
        size, reach = x_shape[2 + i], dilations[i] * (kernel[i] - 1) + 1
        if extra[i] >= max(strides[i], dilations[i]):
            raise ShapeError(
                f"{op}: output_padding must be smaller than stride or dilation, got {extra[i]} for the {name} with "
                f"stride {strides[i]} and dilation {dilations[i]}"
            )
        size_out = (size - 1) * strides[i] - 2 * paddings[i] + reach + extra[i]
        if size == 0 or size_out < 1:
            raise ShapeError(
                f"{op}: the output's {name} must be at least 1, got {size_out} = ({size} - 1) * {strides[i]} - "
                f"2 * {paddings[i]} + {reach} + {extra[i]}"
            )
        pads = paddings[i], paddings[i] - extra[i]
        axes.append(_axis(size_out, size, kernel[i], strides[i], *pads, dilations[i]))
    return _of_axes(n, c_group * groups, c_in, groups, axes)


def _axis(
    size_in: int, size_out: int, kernel: int, stride: int, pad_before: int, pad_after: int, dilation: int
) -> Axis:  # fmt: skip
    """An axis whose stride and dilation are no larger than its padded size: beyond that they mean the same."""
    padded = pad_before + size_in + pad_after
    return Axis(size_in, size_out, kernel, min(stride, padded), pad_before, pad_after, min(dilation, padded))


def _of_axes(n: int, c_in: int, c_out: int, groups: int, axes: list[Axis]) -> ConvGeometry:
    if len(axes) == 3:
        return ConvGeometry(n, c_in, c_out, groups, axes[1], axes[2], depth=axes[0])
    return ConvGeometry(n, c_in, c_out, groups, axes[-2] if len(axes) == 2 else ONE_PLANE, axes[-1])


def _check_ranks(op: str, rank: int, x_shape: tuple, weight_shape: tuple, channels: str) -> None:
    sizes = ", ".join([name[0].upper() for name in AXIS_NAMES[rank]])
    taps = ", ".join([f"K_{name[0]}" for name in AXIS_NAMES[rank]])
    if len(x_shape) != rank + 2:
        raise ShapeError(
            f"{op}: input must have {rank + 2} axes (N, C, {sizes}) or {rank + 1} (C, {sizes}), it has {len(x_shape)}"
        )
    if len(weight_shape) != rank + 2:
        raise ShapeError(f"{op}: weight must have {rank + 2} axes ({channels}, {taps}), it has {len(weight_shape)}")
    if 0 in weight_shape:
        raise ShapeError(f"{op}: weight must not be empty")


def _pads(op: str, padding: Padding, strides: tuple, spans: list[int]) -> list[tuple[int, int]]:
    """(before, after) of each axis; 'same' puts an odd remainder after the image, as torch does.

    `spans` are the distances between a filter's first and last tap.
    """
    if not isinstance(padding, str):
        return [(p, p) for p in numbers(op, "padding", padding, 0, len(spans))]
    if padding == "valid":
        return [(0, 0)] * len(spans)
    if padding != "same":
        raise ShapeError(f"{op}: padding must be 'same', 'valid', or integers, got {padding!r}")
    if any(step != 1 for step in strides):
        raise ShapeError(f"{op}: padding='same' needs stride 1, got stride {strides}")
    return [(span // 2, span - span // 2) for span in spans]
