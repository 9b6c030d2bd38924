"""The algorithm "first_layer": the gradient of the input of first layers, whose images have few channels.

See `kernels/cpu/conv/first_layer.py` for the algorithm.
"""

from __future__ import annotations

import numpy as np

from convcore import memory
from convcore.ops.conv.algorithm import ConvAlgorithm
from convcore.ops.conv.geometry import ConvGeometry
from convcore.ops.core.layout import contiguous, nhwc
from kernels.cpu.conv.first_layer import conv2d_grad_input_first_layer

# From 6 channels on the direct algorithm was faster on one Zen 3 core (AVX2): 0.86 to 0.95 of this one's time; see
# benchmarks/NOTES.md, "Gradient of the input of first layers".
MAX_CHANNELS = 4
ROWS_PER_CHUNK = 32  # of grad_x; the more, the fewer rows of grad_out are multiplied twice


class FirstLayer(ConvAlgorithm):
    """The gradient of the input in one group."""

    name = "first_layer"
    summary = "pixels side by side in a vector, the values under a filter as the rows of a product"
    passes = ("grad_input",)

    def refuses(self, geometry: ConvGeometry, dtype: np.dtype) -> str | None:
        if geometry.groups > 1:
            return f"it computes one group, there are {geometry.groups}"
        return None

    def advises_against(self, pass_name: str, geometry: ConvGeometry, dtype: np.dtype) -> str | None:
        """More channels fill vectors by themselves."""
        if geometry.c_in > MAX_CHANNELS:
            return f"slower: it is for images of up to {MAX_CHANNELS} channels, here {geometry.c_in}"
        return None

    def grad_input(self, grad_out, weight, geometry: ConvGeometry):
        """grad_x: each pixel of grad_out times the filters, added where it belongs."""
        grad_x = memory.empty_channels_last(geometry.x_shape, grad_out.dtype)
        height, width = geometry.height, geometry.width
        matrix = contiguous(weight.reshape(geometry.c_out, geometry.reduction).T)
        conv2d_grad_input_first_layer(
            nhwc(grad_out), matrix, nhwc(grad_x), geometry.k_h, geometry.k_w, height.stride, width.stride,
            height.pad_before, width.pad_before, height.dilation, width.dilation, ROWS_PER_CHUNK,
        )  # fmt: skip
        return grad_x


FIRST_LAYER = FirstLayer()
