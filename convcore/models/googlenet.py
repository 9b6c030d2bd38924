"""GoogLeNet: filters of several sizes side by side.

C. Szegedy et al., "Going Deeper with Convolutions" (2015). An inception module (figure 2b) concatenates the outputs of
1x1, 3x3 and 5x5 filters and of pooling; 1x1 convolutions narrow the input of the large filters. Table 1 lists the
channels. In training, two auxiliary classifiers send gradients into the middle of the network (section 5). As in
torchvision, there are batch norms, and 3x3 filters where the paper has 5x5.
"""

from typing import Any, NamedTuple

from convcore import nn
from convcore.models.registry import model
from convcore.nn import functional as F
from convcore.ops.create.creation import tensor
from convcore.ops.shape.joining import cat
from convcore.tensor import Tensor


class GoogLeNetOutputs(NamedTuple):
    """The output in training: logits of the network and of the auxiliary classifiers, each (N, num_classes)."""

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class BasicConv2d(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H_out, W_out)."""
        return F.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four branches: 1x1; 1x1 and 3x3; 1x1 and 3x3; pooling and 1x1 (figure 2b)."""

    def __init__(
        self, in_channels: int, ch1x1: int, ch3x3red: int, ch3x3: int, ch5x5red: int, ch5x5: int, pool_proj: int
    ):
        super().__init__()
        self.branch1 = BasicConv2d(in_channels, ch1x1, 1)
        self.branch2 = nn.Sequential(BasicConv2d(in_channels, ch3x3red, 1), BasicConv2d(ch3x3red, ch3x3, 3, padding=1))
        self.branch3 = nn.Sequential(BasicConv2d(in_channels, ch5x5red, 1), BasicConv2d(ch5x5red, ch5x5, 3, padding=1))
        pool = nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True)
        self.branch4 = nn.Sequential(pool, BasicConv2d(in_channels, pool_proj, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, the sum of the branches' channels, H, W)."""
        return cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class InceptionAux(nn.Module):
    """An auxiliary classifier: average to 4x4, 1x1 convolution, two dense layers."""

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.7):
        super().__init__()
        self.conv = BasicConv2d(in_channels, 128, 1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, num_classes)."""
        x = self.conv(F.adaptive_avg_pool2d(x, 4)).flatten(1)
        return self.fc2(self.dropout(F.relu(self.fc1(x))))


# Table 1: input channels, then 1x1; 1x1 and 3x3; 1x1 and "5x5"; 1x1 after the pooling. None is max pooling.
MODULES: dict[str, tuple[int, ...] | None] = {
    "inception3a": (192, 64, 96, 128, 16, 32, 32),
    "inception3b": (256, 128, 128, 192, 32, 96, 64),
    "maxpool3": None,
    "inception4a": (480, 192, 96, 208, 16, 48, 64),
    "inception4b": (512, 160, 112, 224, 24, 64, 64),
    "inception4c": (512, 128, 128, 256, 24, 64, 64),
    "inception4d": (512, 112, 144, 288, 32, 64, 64),
    "inception4e": (528, 256, 160, 320, 32, 128, 128),
    "maxpool4": None,
    "inception5a": (832, 256, 160, 320, 32, 128, 128),
    "inception5b": (832, 384, 192, 384, 48, 128, 128),
}


class GoogLeNet(nn.Module):
    """The network of table 1.

    Args:
        num_classes: the size of the output.
        aux_logits: whether there are auxiliary classifiers; forward then returns `GoogLeNetOutputs` in training.
        transform_input: convert inputs normalised as for the other networks to the range -1 to 1.
        init_weights: False keeps the default initialisation of convolutions and linear layers.
        dropout, dropout_aux: probabilities before the last layers of the network and of the auxiliary classifiers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool | None = None,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ):
        super().__init__()
        self.aux_logits = aux_logits
        self.transform_input = transform_input
        self.conv1 = BasicConv2d(3, 64, 7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = BasicConv2d(64, 64, 1)
        self.conv3 = BasicConv2d(64, 192, 3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        for name, channels in MODULES.items():
            pool = nn.MaxPool2d(2 if name == "maxpool4" else 3, stride=2, ceil_mode=True)
            self.add_module(name, pool if channels is None else Inception(*channels))
        self.aux1 = InceptionAux(512, num_classes, dropout_aux) if aux_logits else None
        self.aux2 = InceptionAux(528, num_classes, dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)
        if init_weights is not False:
            for module in self.modules():
                if isinstance(module, (nn.Conv2d, nn.Linear)):
                    nn.init.trunc_normal_(module.weight, std=0.01)

    def _transformed(self, x: Tensor) -> Tensor:
        """Convert inputs normalised with ImageNet's means and deviations to the range -1 to 1."""
        mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        scale, shift = ([s / 0.5 for s in std], [(m - 0.5) / 0.5 for m in mean])
        return x * tensor(scale, dtype=x.dtype).reshape(3, 1, 1) + tensor(shift, dtype=x.dtype).reshape(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        """(N, 3, H, W) to (N, num_classes)."""
        if self.transform_input:
            x = self._transformed(x)
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        auxiliary: dict[str, nn.Module] = {}
        if self.training and self.aux1 is not None and self.aux2 is not None:
            auxiliary = {"inception4a": self.aux1, "inception4d": self.aux2}
        found = []
        for name in MODULES:
            x = self.get_submodule(name)(x)
            if name in auxiliary:
                found.append(auxiliary[name](x))
        x = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return GoogLeNetOutputs(x, found[1], found[0]) if found else x


@model
def googlenet(**kwargs: Any) -> GoogLeNet:
    """GoogLeNet; 6,624,904 parameters, plus 6,379,984 in the auxiliary classifiers."""
    return GoogLeNet(**kwargs)
