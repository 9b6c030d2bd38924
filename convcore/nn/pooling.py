"""Pooling layers: each summarises the windows of an image, and has nothing to learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convcore.nn import functional as F
from convcore.nn.module import Module
from convcore.ops.arguments import integer, pair
from convcore.tensor import Tensor

IntPair = int | Sequence[int]


class MaxPool2d(Module):
    """The maximum of each window; (N, C, H, W) becomes (N, C, H_out, W_out).

    Args:
        kernel_size: the window's size, one number or (height, width).
        stride: how far the window moves; by default its size, so that windows do not overlap.
        padding: rows and columns on each side that no maximum is taken from.
        dilation: distance between the window's taps.
        return_indices: return (maxima, their positions in the image, row by row) instead.
        ceil_mode: let a window stand over the edge instead of leaving the rest out.
    """

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        super().__init__()
        _check_window("MaxPool2d", kernel_size, stride, padding)
        pair("MaxPool2d", "dilation", dilation, 1)
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, x: Tensor) -> Any:
        return F.max_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of each window; (N, C, H, W) becomes (N, C, H_out, W_out).

    Args:
        kernel_size, stride, padding, ceil_mode: as of MaxPool2d; padding counts as zeros.
        count_include_pad: whether padding counts in the number that the sum is divided by.
        divisor_override: divide by this number instead.
    """

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        super().__init__()
        _check_window("AvgPool2d", kernel_size, stride, padding)
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AdaptivePool2d(Module):
    def __init__(self, output_size: int | Sequence[int | None]):
        super().__init__()
        sizes = output_size if isinstance(output_size, Sequence) else (output_size,)
        for size in sizes:
            if size is not None:
                integer(type(self).__name__, "output_size", size, 1)
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool2d(_AdaptivePool2d):
    """Means of windows that are chosen so that the output has a given size, whatever the input's is.

    Args:
        output_size: one number or (height, width), of which None keeps the input's. 1 is global average pooling.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.output_size)


class AdaptiveMaxPool2d(_AdaptivePool2d):
    """Maxima of windows that are chosen so that the output has a given size.

    Args:
        output_size: one number or (height, width), of which None keeps the input's.
        return_indices: return (maxima, their positions in the image, row by row) instead.
    """

    def __init__(self, output_size: int | Sequence[int | None], return_indices: bool = False):
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, x: Tensor) -> Any:
        return F.adaptive_max_pool2d(x, self.output_size, self.return_indices)


def _check_window(layer: str, kernel_size: IntPair, stride: IntPair | None, padding: IntPair) -> None:
    pair(layer, "kernel_size", kernel_size, 1)
    pair(layer, "padding", padding, 0)
    if stride is not None:
        pair(layer, "stride", stride, 1)
