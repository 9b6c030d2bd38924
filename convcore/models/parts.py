"""The parts of a network that transfer learning treats differently: the last layer and the stages before it."""

from __future__ import annotations

from convcore import nn
from convcore.errors import UnsupportedError

FEWEST_STAGES = 4  # a network with fewer children is split further: its largest child, such as `features`


def head_name(network: nn.Module) -> str:
    """The dotted name of the layer that computes the classes: the last linear layer or 1x1 convolution.

    "fc" of a ResNet, "classifier.1" of an EfficientNet, "heads.head" of a ViT.

    Raises:
        UnsupportedError: the network has no such layer.
    """
    names = [name for name, module in network.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    if not names:
        raise UnsupportedError(
            f"{type(network).__name__} has no linear layer or convolution that could be its last layer"
        )
    return names[-1]


def replace_head(network: nn.Module, num_classes: int) -> nn.Module:
    """Replace the last layer of a network by a new, untrained one for `num_classes` classes; return the new layer."""
    name = head_name(network)
    old = network.get_submodule(name)
    layer: nn.Module
    if isinstance(old, nn.Conv2d):
        layer = nn.Conv2d(old.in_channels, num_classes, old.kernel_size)
    else:
        layer = nn.Linear(old.in_features, num_classes)
    network.set_submodule(name, layer)
    return layer


def stage_names(network: nn.Module) -> list[str]:
    """The dotted names of a network's stages, from the input up to but without the last layer.

    The stages are the children that have parameters: conv1, bn1, layer1 .. layer4 of a ResNet. If there are few, the
    children of the largest one replace it: features.0 .. features.8 of an EfficientNet, conv_proj and the encoder's
    layers of a ViT.
    """
    head = head_name(network)

    def inside(name: str) -> list[str]:
        """The children with parameters, in order; a child that holds the last layer is replaced by its own children."""
        parts = []
        for child, module in network.get_submodule(name).named_children():
            path = f"{name}.{child}" if name else child
            if head.startswith(f"{path}."):
                parts += inside(path)
            elif path != head and any(True for _ in module.parameters()):
                parts.append(path)
        return parts

    def size(name: str) -> int:
        return sum(parameter.array.size for parameter in network.get_submodule(name).parameters())

    stages = inside("")
    while len(stages) < FEWEST_STAGES:
        divisible = [name for name in stages if inside(name)]
        if not divisible:
            break
        largest = max(divisible, key=size)
        at = stages.index(largest)
        stages[at : at + 1] = inside(largest)
    return stages
