"""The geometry of a convolution: every size that follows from shapes, stride, padding, dilation and groups.

It is parsed and checked once per distinct call and then cached. Algorithm selection, the forward pass, both gradients,
tests and benchmarks all read the same object, so that no two of them can disagree about a padding.

    h_out = floor((h_in + pad_top + pad_bottom - dil_h * (k_h - 1) - 1) / stride_h) + 1

Source: V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning" (2016), relationship 6, with
dilation (section 5.1).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from convcore.errors import DTypeError, ShapeError, array_table
from convcore.ops.arguments import integer, pair

Padding = int | Sequence[int] | str


@dataclass(frozen=True)
class AxisWalk:
    """One dimension of a direct convolution, as `kernels/cpu/conv_direct.py` walks it.

    Attributes:
        phases: (n_phases, 4) integers: first destination index, how many, first tap, how many taps.
        offsets: for each tap in phase order, its source index minus j * src_step.
        taps: for each tap in phase order, its index in the filter.
        src_step, dst_step: how far source and destination advance with j.
    """

    phases: np.ndarray
    offsets: np.ndarray
    taps: np.ndarray
    src_step: int
    dst_step: int

    @functools.cached_property
    def consecutive(self) -> bool:
        """Whether the offsets within each phase are consecutive, so that the taps of a filter row can be merged."""
        return all(
            np.all(np.diff(self.offsets[first : first + count]) == 1) for _, _, first, count in self.phases.tolist()
        )

    @functools.cached_property
    def most(self) -> int:
        """The most destinations of a phase."""
        return int(self.phases[:, 1].max())


@dataclass(frozen=True)
class Axis:
    """One dimension, height or width: its sizes and its rule."""

    size_in: int
    size_out: int
    kernel: int
    stride: int
    pad_before: int
    pad_after: int
    dilation: int

    def forward_walk(self) -> AxisWalk:
        """destination = output: one phase with all taps, in the order of the source."""
        taps = np.arange(self.kernel)
        phases = np.array([[0, self.size_out, 0, self.kernel]])
        return AxisWalk(phases, taps * self.dilation - self.pad_before, taps, self.stride, 1)

    def grad_input_walk(self) -> AxisWalk:
        """destination = input: one phase per remainder of (input index + pad_before) modulo the stride.

        Input i receives from output o through tap t when i + pad = o * stride + t * dilation. Phase p has the inputs
        i = start + j * stride with (i + pad) % stride == p, hence the taps with (t * dilation) % stride == p, and
        o = j + (start + pad - t * dilation) / stride. Falling t gives rising o.
        """
        phases, offsets, taps = [], [], []
        for p in range(self.stride):
            start = (p - self.pad_before) % self.stride
            count = -(-(self.size_in - start) // self.stride)
            if count <= 0:
                continue
            reaching = [t for t in reversed(range(self.kernel)) if (t * self.dilation) % self.stride == p]
            phases.append([start, count, len(taps), len(reaching)])
            offsets += [(start + self.pad_before - t * self.dilation) // self.stride for t in reaching]
            taps += reaching
        return AxisWalk(np.array(phases), np.array(offsets, np.int64), np.array(taps, np.int64), 1, self.stride)


@dataclass(frozen=True)
class ConvGeometry:
    """All sizes of one 2-D convolution; see the module's formula. `height` and `width` hold what both axes share."""

    n: int
    c_in: int
    c_out: int
    groups: int
    height: Axis
    width: Axis

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
    def x_shape(self) -> tuple[int, int, int, int]:
        return self.n, self.c_in, self.h_in, self.w_in

    @functools.cached_property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return self.c_out, self.c_in // self.groups, self.k_h, self.k_w

    @functools.cached_property
    def out_shape(self) -> tuple[int, int, int, int]:
        return self.n, self.c_out, self.h_out, self.w_out

    @property
    def reduction(self) -> int:
        """The number of products in one output: k_h * k_w * c_in / groups."""
        return self.k_h * self.k_w * (self.c_in // self.groups)

    @property
    def multiply_adds(self) -> int:
        """The multiply-adds of one forward pass, those with padding included."""
        return self.n * self.c_out * self.h_out * self.w_out * self.reduction

    @functools.cached_property
    def out_size(self) -> int:
        """The number of elements in the output."""
        return self.n * self.c_out * self.h_out * self.w_out

    @functools.cached_property
    def known(self) -> dict[Any, Any]:
        """What `once_per_geometry` has computed."""
        return {}

    @functools.cached_property
    def forward_walks(self) -> tuple[AxisWalk, AxisWalk]:
        """How the forward pass walks over height and width."""
        return self.height.forward_walk(), self.width.forward_walk()

    @functools.cached_property
    def grad_input_walks(self) -> tuple[AxisWalk, AxisWalk]:
        """How the gradient of the input walks over height and width."""
        return self.height.grad_input_walk(), self.width.grad_input_walk()

    @functools.cached_property
    def forward_taps(self) -> tuple[np.ndarray, np.ndarray]:
        """The filter taps (row, column) in the order in which the forward pass walks over them."""
        return _tap_order(*self.forward_walks)

    @functools.cached_property
    def grad_input_taps(self) -> tuple[np.ndarray, np.ndarray]:
        """The filter taps (row, column) in the order in which the gradient of the input walks over them."""
        return _tap_order(*self.grad_input_walks)


def _tap_order(walk_h: AxisWalk, walk_w: AxisWalk) -> tuple[np.ndarray, np.ndarray]:
    """The taps (row, column) in the order of phases that the direct kernel expects."""
    rows, columns = [], []
    for _, _, first_h, taps_h in walk_h.phases.tolist():
        for _, _, first_w, taps_w in walk_w.phases.tolist():
            for r in walk_h.taps[first_h : first_h + taps_h]:
                for s in walk_w.taps[first_w : first_w + taps_w]:
                    rows.append(r)
                    columns.append(s)
    return np.array(rows, np.int64), np.array(columns, np.int64)


_Result = TypeVar("_Result")


def once_per_geometry(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Remember with each geometry what `function(geometry, *settings)` gave, which nothing else may determine.

    A small convolution takes less time than the decisions about it; this makes one look-up of them.
    """

    @functools.wraps(function)
    def remembered(geometry: ConvGeometry, *settings: Any) -> _Result:
        key = function, settings
        known = geometry.known
        if key not in known:
            known[key] = function(geometry, *settings)
        return known[key]

    return remembered


def conv2d_geometry(
    x: Any, weight: Any, stride: int | Sequence[int], padding: Padding, dilation: int | Sequence[int], groups: int
) -> ConvGeometry:
    """The geometry of conv2d(x, weight, ...), where `x` and `weight` are anything with a shape and a dtype.

    Raises:
        ShapeError: a rule is broken; the message ends with a table of the shapes.
        DTypeError: a setting is not an integer.
    """
    settings = stride, padding, dilation, groups
    try:
        return _parse(tuple(x.shape), tuple(weight.shape), *settings)
    except ShapeError as error:
        table = array_table([("x", x, "N, C_in, H, W"), ("weight", weight, "C_out, C_in/groups, K_h, K_w")])
        raise ShapeError(f"{error}\n{table}") from None
    except TypeError as error:
        if isinstance(error, DTypeError):
            raise
        if any(isinstance(v, (list, np.ndarray)) for v in settings):  # they cannot be hashed, hence not looked up
            hashable: Any = [tuple(v) if isinstance(v, (list, np.ndarray)) else v for v in settings]
            return conv2d_geometry(x, weight, *hashable)
        message = f"conv2d: stride, padding, dilation and groups must be integers, got {list(settings)}"
        raise DTypeError(message) from None


@functools.lru_cache(maxsize=4096, typed=True)
def _parse(x_shape, weight_shape, stride, padding, dilation, groups) -> ConvGeometry:
    if len(x_shape) != 4:
        raise ShapeError(f"conv2d: x must have 4 axes (N, C, H, W) or 3 (C, H, W), it has {len(x_shape)}")
    if len(weight_shape) != 4:
        raise ShapeError(f"conv2d: weight must have 4 axes (C_out, C_in/groups, K_h, K_w), it has {len(weight_shape)}")
    stride_hw = pair("conv2d", "stride", stride, minimum=1)
    dilation_hw = pair("conv2d", "dilation", dilation, minimum=1)
    groups = integer("conv2d", "groups", groups, minimum=1)
    n, c_in = x_shape[:2]
    c_out, c_group, k_h, k_w = weight_shape
    if min(c_out, c_group, k_h, k_w) == 0:
        raise ShapeError("conv2d: weight must not be empty")
    if c_out % groups:
        raise ShapeError(f"conv2d: groups must divide C_out, but {c_out} % {groups} = {c_out % groups}")
    if c_in != c_group * groups:
        hint = ""
        if x_shape[3] == c_group * groups:
            hint = "\n  x looks like N, H, W, C: x.permute(0, 3, 1, 2) brings the channels forward"
        elif c_in % groups:
            hint = f"\n  groups must also divide C_in, but {c_in} % {groups} = {c_in % groups}"
        raise ShapeError(
            f"conv2d: x has {c_in} channels but weight expects {c_group * groups} "
            f"(weight.shape[1] * groups = {c_group} * {groups}){hint}"
        )
    pads = _padding(padding, stride_hw, dilation_hw, (k_h, k_w))
    axes = []
    for i, name in enumerate(("height", "width")):
        size, kernel = x_shape[2 + i], weight_shape[2 + i]
        before, after = pads[i]
        reach = dilation_hw[i] * (kernel - 1) + 1
        if size == 0 or size + before + after < reach:
            raise ShapeError(
                f"conv2d: the padded input's {name} {size + before + after} ({size} + {before} + {after}) is smaller "
                f"than the kernel's {reach}"
                + (f" ({kernel} with dilation {dilation_hw[i]})" if dilation_hw[i] > 1 else "")
            )
        size_out = (size + before + after - reach) // stride_hw[i] + 1
        axes.append(Axis(size, size_out, kernel, stride_hw[i], before, after, dilation_hw[i]))
    return ConvGeometry(n, c_in, c_out, groups, axes[0], axes[1])


def _padding(padding, stride, dilation, kernel) -> tuple[tuple[int, int], tuple[int, int]]:
    """((top, bottom), (left, right)); 'same' puts an odd remainder after the image, as torch does."""
    if isinstance(padding, str):
        if padding == "valid":
            return (0, 0), (0, 0)
        if padding != "same":
            raise ShapeError(f"conv2d: padding must be 'same', 'valid', an integer or a pair, got {padding!r}")
        if stride != (1, 1):
            raise ShapeError(f"conv2d: padding='same' needs stride 1, got stride {stride}")
        total_h, total_w = (dilation[i] * (kernel[i] - 1) for i in range(2))
        return (total_h // 2, total_h - total_h // 2), (total_w // 2, total_w - total_w // 2)
    pad_h, pad_w = pair("conv2d", "padding", padding, minimum=0)
    return (pad_h, pad_h), (pad_w, pad_w)
