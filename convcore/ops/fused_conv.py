"""A convolution that nobody will differentiate, fused with the batch norm and the ReLU that follow it.

In evaluation batch norm is an affine map of each channel, and so it can be drawn into the convolution before it:

    (x * weight + bias - center) * scale + shift  =  x * (weight scale) + ((bias - center) scale + shift)

A ReLU is applied as the kernel stores its results. So the image is written once, where three operations would write it
three times and read it twice. The scaled filters, and their arrangement in panels, are kept with the weight until it
changes (`convcore.ops.derived`).

`DeferredConv` is what `conv2d` returns where nothing is recorded; see `convcore.autograd.deferred`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Deferred, Inputs, may_defer, wrap, wrap_deferred
from convcore.ops.algorithms import Algorithm
from convcore.ops.derived import derived
from convcore.ops.geometry import ConvGeometry
from convcore.ops.layout import flat, nchw, nhwc
from kernels.cpu import elementwise as elementwise_kernels

if TYPE_CHECKING:
    from convcore.ops.fused_norm import Normalisation
    from convcore.tensor import Tensor

SMALLEST_OUTPUT = 16 * 1024  # bytes: below, waiting costs more than fusing saves
SNAPSHOT_SHARE = 4  # an exposed image is copied, so that its convolution can wait, if the output is so much larger


class ConvInputs(Inputs):
    """A call of `conv2d`."""

    __slots__ = ("bias", "geometry", "record", "weight", "x")

    def __init__(self, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry, record: Algorithm):
        super().__init__(x, weight, bias)
        self.x, self.weight, self.bias, self.geometry, self.record = x, weight, bias, geometry, record


class DeferredConv(Deferred):
    """x * weight + bias, perhaps normalised and rectified, not yet computed."""

    __slots__ = ("norm", "rectify")

    inputs: ConvInputs

    def __init__(self, inputs: ConvInputs, norm: Normalisation | None, rectify: bool, parent: Deferred | None):
        super().__init__(inputs, parent, 0, False)
        self.norm, self.rectify = norm, rectify

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inputs.geometry.out_shape

    @property
    def dtype(self) -> np.dtype:
        return self.inputs.weight.array.dtype

    def compute(self) -> Tensor:
        inputs = self.inputs
        tensor, geometry, run = inputs.weight, inputs.geometry, inputs.record.run
        weight, bias, key = tensor.array, None if inputs.bias is None else inputs.bias.array, b""
        if self.norm is not None:
            center, scale, shift = self.norm.coefficients[:, : geometry.c_out]
            key = scale.tobytes()
            weight = derived(tensor, ("scaled filters", key), lambda: tensor.array * scale.reshape(-1, 1, 1, 1))
            bias = (-center if bias is None else bias - center) * scale + shift

        def kept(what: str, make: Any) -> np.ndarray:
            return derived(tensor, (what, key) if key else what, make)

        if inputs.record.fuses:
            return wrap(run(inputs.x.array, weight, bias, geometry, self.rectify, kept))
        out = run(inputs.x.array, weight, bias, geometry)
        if self.rectify:
            elementwise_kernels.relu.forward(flat(out), flat(out), ())
        return wrap(out)

    def batch_norm(self, norm: Normalisation) -> Tensor | None:
        if norm.training or self.rectify or self.norm is not None or not norm.is_finite:
            return None
        return wrap_deferred(DeferredConv(self.inputs, norm, False, self))

    def relu(self) -> Tensor | None:
        return wrap_deferred(DeferredConv(self.inputs, self.norm, True, self))

    def relu_in_place(self) -> bool:
        tensor = self.tensor()
        if tensor is None:
            return False
        rectified = DeferredConv(self.inputs, self.norm, True, self.parent)
        tensor.deferred, rectified.tensor = rectified, self.tensor
        self.give_up()
        return True


def defer_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry, record: Algorithm
) -> Tensor | None:
    """The convolution of a call that is not recorded, to be computed at the first look; None if it should not wait."""
    out_bytes = geometry.out_size * weight.array.itemsize
    if out_bytes < SMALLEST_OUTPUT or not may_defer(weight) or (bias is not None and not may_defer(bias)):
        return None
    if not may_defer(x):
        if x.array.nbytes * SNAPSHOT_SHARE > out_bytes:
            return None
        block = nhwc(x.array)
        x = wrap(nchw(block.copy() if np.may_share_memory(block, x.array) else block))
    return wrap_deferred(DeferredConv(ConvInputs(x, weight, bias, geometry, record), None, False, None))
