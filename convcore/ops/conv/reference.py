"""The algorithm "reference": the definition, in float64, rounded to the dtype of the input."""

from __future__ import annotations

from convcore.ops.conv.algorithm import ConvAlgorithm
from convcore.ops.conv.geometry import ConvGeometry
from convcore.ops.core.epilogue import NO_EPILOGUE, Epilogue
from convcore.ops.core.filters import Filters
from kernels.reference.conv import conv_forward, conv_grad_input, conv_grad_weight


def _settings(geometry: ConvGeometry) -> tuple:
    stride, dilation = ([getattr(axis, name) for axis in geometry.axes] for name in ("stride", "dilation"))
    return stride, [(axis.pad_before, axis.pad_after) for axis in geometry.axes], dilation, geometry.groups


class Reference(ConvAlgorithm):
    """Every convolution, of images and volumes; it has no objections."""

    name = "reference"
    summary = "shifted views in float64, one filter tap at a time"
    volumes = True

    def forward(self, x, filters: Filters, geometry: ConvGeometry, epilogue: Epilogue = NO_EPILOGUE):
        out = conv_forward(x, *filters.arrays(), *_settings(geometry)).astype(x.dtype)
        epilogue.apply(out)
        return out

    def grad_input(self, grad_out, weight, geometry: ConvGeometry):
        return conv_grad_input(grad_out, weight, geometry.x_shape, *_settings(geometry)).astype(grad_out.dtype)

    def grad_weight(self, x, grad_out, geometry: ConvGeometry):
        return conv_grad_weight(x, grad_out, geometry.weight_shape, *_settings(geometry)).astype(x.dtype)


REFERENCE = Reference()
