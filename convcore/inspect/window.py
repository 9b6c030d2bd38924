"""One output of a convolution, taken apart: the patch under the filter, the products, their sum.

out[oh, ow] = sum over r, s of x[oh * stride - pad_top + r * dilation, ow * stride - pad_left + s * dilation] * w[r, s]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convcore.errors import ShapeError
from convcore.ops.conv.geometry import Axis, ConvGeometry, Padding, conv_geometry


@dataclass(frozen=True)
class Window:
    """What one output is made of.

    Attributes:
        rows: (K_h,) the image's rows that the filter lies on; beyond the image they are padding.
        columns: (K_w,) the columns.
        patch: (K_h, K_w) the pixels there, float64; padding is 0.
        products: (K_h, K_w) each pixel times its weight.
        total: the sum of the products, which is the output.
    """

    rows: np.ndarray
    columns: np.ndarray
    patch: np.ndarray
    products: np.ndarray
    total: float


def geometry_of(
    image: np.ndarray, kernel: np.ndarray, stride: int = 1, padding: Padding = 0, dilation: int = 1
) -> ConvGeometry:
    """The sizes of convolving one grey image (H, W) with one filter (K_h, K_w); errors are those of `conv2d`."""
    return conv_geometry("conv2d", image[None, None], kernel[None, None], stride, padding, dilation, 1)


def window(
    image: np.ndarray,
    kernel: np.ndarray,
    row: int,
    column: int,
    stride: int = 1,
    padding: Padding = 0,
    dilation: int = 1,
) -> Window:
    """Take the output at (row, column) apart.

    Args:
        image: (H, W), one channel.
        kernel: (K_h, K_w).
        row, column: of the output.
        stride, padding, dilation: as for `conv2d`.

    Raises:
        ShapeError: the output has no such place, or a setting breaks a rule of `conv2d`.
    """
    geometry = geometry_of(image, kernel, stride, padding, dilation)
    if not (0 <= row < geometry.h_out and 0 <= column < geometry.w_out):
        raise ShapeError(
            f"window: the output has rows 0 to {geometry.h_out - 1} and columns 0 to {geometry.w_out - 1}, "
            f"got row {row}, column {column}"
        )
    rows, columns = _reached(geometry.height, row), _reached(geometry.width, column)
    inside = np.outer((rows >= 0) & (rows < geometry.h_in), (columns >= 0) & (columns < geometry.w_in))
    nearest = np.ix_(rows.clip(0, geometry.h_in - 1), columns.clip(0, geometry.w_in - 1))
    patch = np.where(inside, image[nearest].astype(np.float64), 0.0)
    products = patch * kernel.astype(np.float64)
    return Window(rows, columns, patch, products, float(products.sum()))


def _reached(axis: Axis, position: int) -> np.ndarray:
    """The input positions that an output position reads along one axis."""
    return position * axis.stride - axis.pad_before + axis.dilation * np.arange(axis.kernel)


def nearest_output(geometry: ConvGeometry, row: int, column: int) -> tuple[int, int]:
    """The output whose window's centre is nearest to the input's (row, column)."""

    def along(axis: Axis, position: int) -> int:
        centre_of_first = axis.dilation * (axis.kernel - 1) / 2 - axis.pad_before
        return int(np.clip(round((position - centre_of_first) / axis.stride), 0, axis.size_out - 1))

    return along(geometry.height, row), along(geometry.width, column)


def output_size(axis: Axis) -> str:
    """The formula of the output's size along one axis, with its numbers filled in: "floor((28 + 1 + 1 - ..".

    The formula is that of `convcore.ops.conv.geometry`.
    """
    a = axis
    reach = f"{a.dilation} * ({a.kernel} - 1)"
    return f"floor(({a.size_in} + {a.pad_before} + {a.pad_after} - {reach} - 1) / {a.stride}) + 1 = {a.size_out}"
