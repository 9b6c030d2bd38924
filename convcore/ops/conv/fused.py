"""A convolution that nobody will differentiate, fused with the batch norm, the sum and the activation that follow it.

The batch norm is folded into the filters (`convcore.ops.core.filters`). The sum with a residual and a ReLU are the
kernel's epilogue, if the algorithm has one (`fuses`); any other function of one element runs in place over the image.
So the image is written once, or twice, where four operations would write it four times and read it three times.

`DeferredConv` is what `conv2d` returns where nothing is recorded; see `convcore.autograd.lazy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcore.autograd import Deferred, Inputs, is_recorded, may_defer, wrap, wrap_deferred
from convcore.ops.conv.algorithm import ConvAlgorithm
from convcore.ops.conv.geometry import ConvGeometry
from convcore.ops.core.arguments import meta
from convcore.ops.core.epilogue import Epilogue
from convcore.ops.core.filters import KeptFilters
from convcore.ops.core.fusion import Fusable
from convcore.ops.core.layout import flat, nchw, nhwc
from kernels.cpu.elementwise.functions import Elementwise
from kernels.cpu.elementwise.functions import relu as RELU

if TYPE_CHECKING:
    from convcore.ops.norm.fused import Normalisation
    from convcore.tensor import Tensor

Activation = tuple[Elementwise, tuple[float, ...]] | None

SMALLEST_OUTPUT = 16 * 1024  # bytes: below, deferring costs more than fusing saves
SNAPSHOT_SHARE = 4  # an exposed image is copied to defer its convolution, if the output is this many times larger


class ConvInputs(Inputs):
    """The arguments of a call of `conv2d`, and the residual that is added to its result."""

    __slots__ = ("algorithm", "bias", "geometry", "residual", "weight", "x")

    def __init__(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        geometry: ConvGeometry,
        algorithm: ConvAlgorithm,
        residual: Tensor | None = None,
    ):
        super().__init__(x, weight, bias, residual)
        self.x, self.weight, self.bias, self.geometry, self.algorithm = x, weight, bias, geometry, algorithm
        self.residual = residual


class DeferredConv(Fusable):
    """x * weight + bias, not yet computed, and the batch norm, residual and activation that joined it so far.

    Attributes:
        norm: the batch norm that is folded into the filters, or None.
        activation: the kernels and settings of a function of each element, or None.
    """

    __slots__ = ("activation", "norm")

    inputs: ConvInputs

    def __init__(self, inputs: ConvInputs, norm: Normalisation | None, activation: Activation, parent: Deferred | None):
        super().__init__(inputs, parent, 0, False)
        self.norm, self.activation = norm, activation

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inputs.geometry.out_shape

    @property
    def dtype(self) -> np.dtype:
        return self.inputs.weight.array.dtype

    def compute(self) -> Tensor:
        inputs, activation = self.inputs, self.activation
        filters = KeptFilters(inputs.weight, inputs.bias, self.norm)
        relu = inputs.algorithm.fuses and activation is not None and activation[0] is RELU
        residual = None if inputs.residual is None else inputs.residual.array
        epilogue = Epilogue(residual, "relu" if relu else None)
        out = inputs.algorithm.forward(inputs.x.array, filters, inputs.geometry, epilogue)
        if activation is not None and not relu:
            kernels, settings = activation
            kernels.forward(flat(out), flat(out), settings)
        return wrap(out)

    def batch_norm(self, norm: Normalisation) -> Tensor | None:
        if norm.training or self.activation is not None or self.norm is not None or not norm.is_finite:
            return None
        if self.inputs.residual is not None:
            return None
        return wrap_deferred(DeferredConv(self.inputs, norm, None, self))

    def add(self, other: Tensor) -> Tensor | None:
        summed = self._with(other)
        return None if summed is None else wrap_deferred(summed)

    def add_in_place(self, other: Tensor) -> bool:
        summed = self._with(other)
        return summed is not None and self.become(summed)

    def _with(self, other: Tensor) -> DeferredConv | None:
        """The sum of this image and another of its shape; None if the kernel cannot add it."""
        i, like = self.inputs, meta(other)
        if not i.algorithm.fuses or i.residual is not None or self.activation is not None:
            return None
        if other.deferred is self or is_recorded(other):
            return None
        if like.shape != self.shape or like.dtype != self.dtype or not may_defer(other):
            return None
        inputs = ConvInputs(i.x, i.weight, i.bias, i.geometry, i.algorithm, other)
        return DeferredConv(inputs, self.norm, None, self)

    def activate(self, kernels: Elementwise, settings: tuple[float, ...]) -> Tensor | None:
        if self.activation is not None:
            return None
        return wrap_deferred(DeferredConv(self.inputs, self.norm, (kernels, settings), self))

    def activate_in_place(self, kernels: Elementwise, settings: tuple[float, ...]) -> bool:
        if self.activation is not None:
            return False
        return self.become(DeferredConv(self.inputs, self.norm, (kernels, settings), self.parent))


def defer_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry, algorithm: ConvAlgorithm
) -> Tensor | None:
    """The convolution of a call that is not recorded, computed when its values are read; None if now is better."""
    out_bytes = geometry.out_size * weight.array.itemsize
    if out_bytes < SMALLEST_OUTPUT or not may_defer(weight) or (bias is not None and not may_defer(bias)):
        return None
    if not may_defer(x):
        if x.array.nbytes * SNAPSHOT_SHARE > out_bytes:
            return None
        block = nhwc(x.array)
        x = wrap(nchw(block.copy() if np.may_share_memory(block, x.array) else block))
    return wrap_deferred(DeferredConv(ConvInputs(x, weight, bias, geometry, algorithm), None, None, None))
