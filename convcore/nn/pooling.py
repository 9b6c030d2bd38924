"""Pooling layers: each summarises the windows of an image, a series or a volume, without parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from convcore.errors import ShapeError
from convcore.nn.base.module import Module
from convcore.ops.core.arguments import integer, numbers
from convcore.ops.pool.fractional import fractional_max_pool2d, fractional_max_pool3d
from convcore.ops.pool.functions import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from convcore.ops.pool.unpool import lp_pool1d, lp_pool2d, lp_pool3d, max_unpool1d, max_unpool2d, max_unpool3d
from convcore.tensor import Tensor

IntOrSeveral = int | Sequence[int]
Sizes = int | None | Sequence[int | None]


class _Pool(Module):
    """What layers with a window share.

    Attributes:
        rank: how many spatial axes.
        pool: the function.
    """

    rank: ClassVar[int]
    pool: ClassVar[Callable[..., Any]]

    def _set_window(self, kernel_size: IntOrSeveral, stride: IntOrSeveral | None, padding: IntOrSeveral) -> None:
        layer = type(self).__name__
        numbers(layer, "kernel_size", kernel_size, 1, self.rank)
        numbers(layer, "padding", padding, 0, self.rank)
        if stride is not None:
            numbers(layer, "stride", stride, 1, self.rank)
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: IntOrSeveral,
        stride: IntOrSeveral | None = None,
        padding: IntOrSeveral = 0,
        dilation: IntOrSeveral = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self._set_window(kernel_size, stride, padding)
        numbers(type(self).__name__, "dilation", dilation, 1, self.rank)
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        return type(self).pool(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool2d(_MaxPool):
    """The maximum of each window; (N, C, H, W) becomes (N, C, H_out, W_out).

    Args:
        kernel_size: the window's size, one number or (height, width).
        stride: how far the window moves; by default kernel_size, so that windows do not overlap.
        padding: rows and columns added on each side; they never are the maximum.
        dilation: distance between the window's taps.
        return_indices: return (maxima, their positions in the image, row by row) instead.
        ceil_mode: allow a last window that extends past the edge, instead of dropping the remainder.
    """

    rank, pool = 2, max_pool2d


class MaxPool1d(_MaxPool):
    """The maximum of each window of series (N, C, L); see MaxPool2d."""

    rank, pool = 1, max_pool1d


class MaxPool3d(_MaxPool):
    """The maximum of each window of volumes (N, C, D, H, W); see MaxPool2d."""

    rank, pool = 3, max_pool3d


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: IntOrSeveral,
        stride: IntOrSeveral | None = None,
        padding: IntOrSeveral = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        super().__init__()
        self._set_window(kernel_size, stride, padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        settings = self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        return type(self).pool(input, *settings, self.divisor_override)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """The mean of each window; (N, C, H, W) becomes (N, C, H_out, W_out).

    Args:
        kernel_size, stride, padding, ceil_mode: as for MaxPool2d; padding adds zeros.
        count_include_pad: whether the divisor includes the padding.
        divisor_override: divide by this number instead.
    """

    rank, pool = 2, avg_pool2d


class AvgPool3d(_AvgPool):
    """The mean of each window of volumes (N, C, D, H, W); see AvgPool2d."""

    rank, pool = 3, avg_pool3d


class AvgPool1d(_Pool):
    """The mean of each window of series (N, C, L); see AvgPool2d. The settings are stored as tuples, as in torch."""

    rank, pool = 1, avg_pool1d

    def __init__(
        self,
        kernel_size: IntOrSeveral,
        stride: IntOrSeveral | None = None,
        padding: IntOrSeveral = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__()
        self._set_window(kernel_size, stride, padding)
        for name in ("kernel_size", "stride", "padding"):
            setattr(self, name, numbers("AvgPool1d", name, getattr(self, name), 0, 1))
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _LPPool(_Pool):
    def __init__(
        self,
        norm_type: float,
        kernel_size: IntOrSeveral,
        stride: IntOrSeveral | None = None,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self._set_window(kernel_size, stride, 0)
        self.norm_type = norm_type
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return type(self).pool(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool2d(_LPPool):
    """The norm (sum of x^norm_type)^(1 / norm_type) of each window of images (N, C, H, W)."""

    rank, pool = 2, lp_pool2d


class LPPool1d(_LPPool):
    """The norm of each window of series (N, C, L); see LPPool2d."""

    rank, pool = 1, lp_pool1d


class LPPool3d(_LPPool):
    """The norm of each window of volumes (N, C, D, H, W); see LPPool2d."""

    rank, pool = 3, lp_pool3d


class _MaxUnpool(_Pool):
    def __init__(self, kernel_size: IntOrSeveral, stride: IntOrSeveral | None = None, padding: IntOrSeveral = 0):
        super().__init__()
        self._set_window(kernel_size, stride, padding)
        for name in ("kernel_size", "stride", "padding"):
            setattr(self, name, numbers(type(self).__name__, name, getattr(self, name), 0, self.rank))

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return type(self).pool(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool2d(_MaxUnpool):
    """Put the maxima of a MaxPool2d back at their positions and zeros elsewhere: layer(maxima, indices)."""

    rank, pool = 2, max_unpool2d


class MaxUnpool1d(_MaxUnpool):
    """Put the maxima of a MaxPool1d back at their positions and zeros elsewhere."""

    rank, pool = 1, max_unpool1d


class MaxUnpool3d(_MaxUnpool):
    """Put the maxima of a MaxPool3d back at their positions and zeros elsewhere."""

    rank, pool = 3, max_unpool3d


class _AdaptivePool(Module):
    pool: ClassVar[Callable[..., Any]]

    def __init__(self, output_size: Sizes):
        super().__init__()
        sizes = output_size if isinstance(output_size, Sequence) else (output_size,)
        for size in sizes:
            if size is not None:
                integer(type(self).__name__, "output_size", size, 1)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Any:
        return type(self).pool(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool2d(_AdaptivePool):
    """Means of windows chosen so that the output has a given size, whatever the size of the input.

    Args:
        output_size: one number or (height, width); None keeps the size of the input. 1 is global average pooling.
    """

    pool = adaptive_avg_pool2d


class AdaptiveAvgPool1d(_AdaptivePool):
    """Means of windows of series (N, C, L); see AdaptiveAvgPool2d."""

    pool = adaptive_avg_pool1d


class AdaptiveAvgPool3d(_AdaptivePool):
    """Means of windows of volumes (N, C, D, H, W); see AdaptiveAvgPool2d."""

    pool = adaptive_avg_pool3d


class _AdaptiveMaxPool(_AdaptivePool):
    def __init__(self, output_size: Sizes, return_indices: bool = False):
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return type(self).pool(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima of windows chosen so that the output has a given size.

    Args:
        output_size: one number or (height, width); None keeps the size of the input.
        return_indices: return (maxima, their positions in the image, row by row) instead.
    """

    pool = adaptive_max_pool2d


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima of windows of series (N, C, L); see AdaptiveMaxPool2d."""

    pool = adaptive_max_pool1d


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima of windows of volumes (N, C, D, H, W); see AdaptiveMaxPool2d."""

    pool = adaptive_max_pool3d


class _FractionalMaxPool(Module):
    """Max pooling over windows at partly random positions; see `F.fractional_max_pool2d`.

    Args:
        kernel_size: the size of the windows.
        output_size: the spatial sizes of the output; or
        output_ratio: the ratio of output size to input size, between 0 and 1.
        return_indices: return (maxima, their positions) instead.
        _random_samples: the values in [0, 1) that place the windows; drawn by default.

    Raises:
        ShapeError: neither or both of output_size and output_ratio.
    """

    pool: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        kernel_size: IntOrSeveral,
        output_size: IntOrSeveral | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ):
        super().__init__()
        if (output_size is None) == (output_ratio is None):
            raise ShapeError(
                f"{type(self).__name__}: give either output_size or output_ratio, got {output_size!r}, {output_ratio!r}"
            )
        self.kernel_size = kernel_size
        self.output_size = output_size
        self.output_ratio = output_ratio
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)

    def forward(self, input: Tensor) -> Any:
        settings = self.output_size, self.output_ratio, self.return_indices, self._random_samples
        return type(self).pool(input, self.kernel_size, *settings)


class FractionalMaxPool2d(_FractionalMaxPool):
    __doc__ = _FractionalMaxPool.__doc__

    pool = fractional_max_pool2d


class FractionalMaxPool3d(_FractionalMaxPool):
    __doc__ = _FractionalMaxPool.__doc__

    pool = fractional_max_pool3d
