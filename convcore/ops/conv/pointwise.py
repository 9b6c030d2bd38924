"""The algorithm "pointwise": 1x1 filters are one matrix, so a convolution is one product over all pixels."""

from __future__ import annotations

import numpy as np

from convcore import memory
from convcore.ops.conv.algorithm import ConvAlgorithm
from convcore.ops.conv.geometry import ConvGeometry
from convcore.ops.core.epilogue import NO_EPILOGUE, Epilogue
from convcore.ops.core.filters import Filters
from convcore.ops.core.layout import nchw, nhwc
from convcore.ops.linear.matmul import product, rows_times_filters
from kernels.cpu.conv.subsample import put_pixels, take_pixels

# Where the direct algorithm computes 1x1 filters faster than a product of matrices: 0.95 to 1.6 times in 44 cases with
# AVX2 and AVX-512, of 16 to 80 channels on the side with fewer of them. Its tiles end with the rows.
FEW_WEIGHTS, LONG_ROW = 128 * 128, 14


def _matrix(block: np.ndarray) -> np.ndarray:
    """The block (N, H, W, C) as the matrix (N * H * W, C)."""
    return block.reshape(-1, block.shape[3])


def _seen(x: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
    """The pixels that a stride does not step over, as a block (N, H', W', C)."""
    strides = geometry.height.stride, geometry.width.stride
    if strides == (1, 1):
        return nhwc(x)
    seen = memory.empty((geometry.n, geometry.h_out, geometry.w_out, geometry.c_in), x.dtype)
    take_pixels(nhwc(x), seen, *strides)
    return seen


class Pointwise(ConvAlgorithm):
    """1x1 filters of one group without padding."""

    name = "pointwise"
    summary = "one matrix product over all pixels"
    fuses = True

    def refuses(self, geometry: ConvGeometry, dtype: np.dtype) -> str | None:
        if (geometry.k_h, geometry.k_w) != (1, 1):
            return f"its filters must be 1 x 1, they are {geometry.k_h} x {geometry.k_w}"
        if geometry.groups > 1:
            return f"it computes one group, there are {geometry.groups}"
        height, width = geometry.height, geometry.width
        if any((height.pad_before, height.pad_after, width.pad_before, width.pad_after)):
            return "it takes no padding"
        return None

    def advises_against(self, pass_name: str, geometry: ConvGeometry, dtype: np.dtype) -> str | None:
        """Few filters of few channels in rows of some length: the direct algorithm prepares and copies less."""
        weights = geometry.c_in * geometry.c_out
        if pass_name != "grad_weight" and weights <= FEW_WEIGHTS and geometry.w_out >= LONG_ROW:
            return (
                f"slower: it pays from {FEW_WEIGHTS + 1} weights on or in rows of less than {LONG_ROW} pixels; here "
                f"are {weights} and {geometry.w_out}"
            )
        return None

    def forward(self, x, filters: Filters, geometry: ConvGeometry, epilogue: Epilogue = NO_EPILOGUE):
        """out = x weight^T + bias, and the epilogue: each pixel's channels through one matrix."""
        if epilogue.residual is not None:
            epilogue = epilogue._replace(residual=_matrix(nhwc(epilogue.residual)))
        pixels = rows_times_filters(_matrix(_seen(x, geometry)), filters, epilogue)
        return nchw(pixels.reshape(geometry.n, geometry.h_out, geometry.w_out, geometry.c_out))

    def grad_input(self, grad_out, weight, geometry: ConvGeometry):
        """grad_x = grad_out weight; 0 where the stride stepped over a pixel."""
        n, c, h, w = geometry.x_shape
        seen = product(_matrix(nhwc(grad_out)), weight[:, :, 0, 0]).reshape(n, geometry.h_out, geometry.w_out, c)
        strides = geometry.height.stride, geometry.width.stride
        if strides == (1, 1):
            return nchw(seen)
        grad_x = memory.empty((n, h, w, c), seen.dtype)
        put_pixels(seen, grad_x, *strides)
        return nchw(grad_x)

    def grad_weight(self, x, grad_out, geometry: ConvGeometry):
        """grad_weight = grad_out^T x, a sum over all pixels."""
        return product(_matrix(nhwc(grad_out)).T, _matrix(_seen(x, geometry))).reshape(geometry.weight_shape)


POINTWISE = Pointwise()
