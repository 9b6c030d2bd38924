"""One output of a convolution, taken apart: the patch under the filter, the products, and their sum.

out[oh, ow] = sum over r, s of x[oh * stride - pad_top + r * dilation, ow * stride - pad_left + s * dilation] * w[r, s]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convcore.errors import ShapeError
from convcore.ops.conv.geometry import Axis, ConvGeometry, Padding, conv_geometry


@dataclass(frozen=True)
class Window:
    """The parts of one output.

    Attributes:
        rows: (K_h,) the rows of the image under the filter; rows outside the image are padding.
        columns: (K_w,) the columns, likewise.
        patch: (K_h, K_w) the pixels under the filter, float64; padding is 0.
        products: (K_h, K_w) each pixel times its weight.
        total: the sum of the products: the output.
    """

    rows: np.ndarray
    columns: np.ndarray
    patch: np.ndarray
    products: np.ndarray
    total: float


def geometry_of(
    image: np.ndarray, kernel: np.ndarray, stride: int = 1, padding: Padding = 0, dilation: int = 1
) -> ConvGeometry:
    """The geometry of convolving a grey image (H, W) with a filter (K_h, K_w); errors are those of `conv2d`."""
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
    """Decompose the output at (row, column).

    Args:
        image: (H, W), one channel.
        kernel: (K_h, K_w).
        row, column: the position of the output.
        stride, padding, dilation: as for `conv2d`.

    Raises:
        ShapeError: there is no such output position, or a setting violates a rule of `conv2d`.
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
    """The output position whose window has its centre nearest to the input position (row, column)."""

    def along(axis: Axis, position: int) -> int:
        centre_of_first = axis.dilation * (axis.kernel - 1) / 2 - axis.pad_before
        return int(np.clip(round((position - centre_of_first) / axis.stride), 0, axis.size_out - 1))

    return along(geometry.height, row), along(geometry.width, column)


def output_size(axis: Axis) -> str:
    """The formula for the output size along one axis, with numbers filled in: "floor((28 + 1 + 1 - ..".

    The formula is that of `convcore.ops.conv.geometry`.
    """
    a = axis
    reach = f"{a.dilation} * ({a.kernel} - 1)"
    return f"floor(({a.size_in} + {a.pad_before} + {a.pad_after} - {reach} - 1) / {a.stride}) + 1 = {a.size_out}"
