"""EfficientViT: a MobileNet with attention of linear, not quadratic, cost in the number of pixels.

H. Cai et al., "EfficientViT: Multi-Scale Linear Attention for High-Resolution Dense Prediction" (2023). ReLU(q) and
ReLU(k) replace the exponentials of softmax, so the sums over pixels can be computed first (section 3.1, eqs. 1 and 2):

    out_i = q_i sum_j(k_j^T v_j) / (q_i sum_j k_j^T),   with q = ReLU(Q), k = ReLU(K)

Linear attention cannot focus sharply on a neighbourhood. This is compensated by 5x5 depthwise convolutions of the
tokens (multiple scales, figure 2) and by depthwise convolutions in every feed-forward layer. The keys of the state dict
are those of mit-han-lab/efficientvit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convcore import nn
from convcore.models.registry import model
from convcore.nn import functional as F
from convcore.ops.shape.joining import cat
from convcore.tensor import Tensor

EPS = 1e-15  # added to the denominator of attention, which is 0 if no key matches a query


class ConvLayer(nn.Module):
    """Convolution, then optional batch norm and hardswish."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        norm: bool = True,
        act: bool = True,
    ):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=not norm)
        self.norm = nn.BatchNorm2d(c_out) if norm else None
        self.act = nn.Hardswish() if act else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, H, W) to (N, c_out, H / stride, W / stride)."""
        x = self.conv(x)
        x = x if self.norm is None else self.norm(x)
        return x if self.act is None else self.act(x)


class DSConv(nn.Module):
    """A depthwise convolution, then a 1x1 convolution without activation."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.depth_conv = ConvLayer(c_in, c_in, groups=c_in)
        self.point_conv = ConvLayer(c_in, c_out, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, H, W) to (N, c_out, H, W)."""
        return self.point_conv(self.depth_conv(x))


class MBConv(nn.Module):
    """1x1 to `expand_ratio` times the channels, depthwise, 1x1 without activation.

    Args:
        fewer_norm: give only the last convolution a batch norm, and the others biases.
    """

    def __init__(self, c_in: int, c_out: int, stride: int = 1, expand_ratio: int = 4, fewer_norm: bool = False):
        super().__init__()
        wide = c_in * expand_ratio
        self.inverted_conv = ConvLayer(c_in, wide, 1, norm=not fewer_norm)
        self.depth_conv = ConvLayer(wide, wide, 3, stride, groups=wide, norm=not fewer_norm)
        self.point_conv = ConvLayer(wide, c_out, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, H, W) to (N, c_out, H / stride, W / stride)."""
        return self.point_conv(self.depth_conv(self.inverted_conv(x)))


class LiteMLA(nn.Module):
    """Multi-scale linear attention (figure 2).

    Args:
        channels: C.
        dim: the features of a head.
        scales: the kernel sizes of the convolutions that compute further scales of queries, keys and values.
    """

    def __init__(self, channels: int, dim: int, scales: Sequence[int] = (5,)):
        super().__init__()
        heads = channels // dim
        wide = 3 * heads * dim
        self.dim = dim
        self.qkv = nn.Module()
        self.qkv.conv = nn.Conv2d(channels, wide, 1, bias=False)
        self.aggreg = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(wide, wide, scale, padding=scale // 2, groups=wide, bias=False),
                nn.Conv2d(wide, wide, 1, groups=3 * heads, bias=False),
            )
            for scale in scales
        )
        self.proj = ConvLayer(heads * dim * (1 + len(scales)), channels, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        n, _, h, w = x.shape
        qkv = self.qkv.conv(x)
        qkv = cat([qkv, *[scale(qkv) for scale in self.aggreg]], 1)
        q, k, v = qkv.reshape(n, -1, 3 * self.dim, h * w).split(self.dim, dim=2)  # N, heads, dim, pixels
        q, k = F.relu(q), F.relu(k)
        if h * w > self.dim:  # sum over the pixels first; a row of ones in v gives the denominator
            v = F.pad(v, (0, 0, 0, 1), value=1.0)
            out = v @ k.transpose(-1, -2) @ q
            out = out[:, :, :-1] / (out[:, :, -1:] + EPS)
        else:  # few pixels: all pairs are cheaper
            attention = k.transpose(-1, -2) @ q
            out = v @ (attention / (attention.sum(2, keepdim=True) + EPS))
        return self.proj(out.reshape(n, -1, h, w))


class ResidualBlock(nn.Module):
    """The output of `main`, plus the input if `shortcut`."""

    def __init__(self, main: nn.Module, shortcut: bool = True):
        super().__init__()
        self.main = main
        self.shortcut = nn.Identity() if shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the shape of `main`'s output."""
        return self.main(x) if self.shortcut is None else self.main(x) + x


class EfficientViTBlock(nn.Module):
    """Attention for distant pixels, then MBConv for near pixels (figure 2, left)."""

    def __init__(self, channels: int, dim: int, expand_ratio: int = 4):
        super().__init__()
        self.context_module = ResidualBlock(LiteMLA(channels, dim))
        self.local_module = ResidualBlock(MBConv(channels, channels, 1, expand_ratio, fewer_norm=True))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return self.local_module(self.context_module(x))


class OpSequential(nn.Module):
    """Modules called in order, in a list with the name that the checkpoints use."""

    def __init__(self, ops: Sequence[nn.Module]):
        super().__init__()
        self.op_list = nn.ModuleList(ops)

    def forward(self, x: Tensor) -> Tensor:
        """Apply all modules in order."""
        for op in self.op_list:
            x = op(x)
        return x


class EfficientViTBackbone(nn.Module):
    """A stem, two stages of MBConv, two stages of EfficientViT blocks (table 1); each halves height and width.

    Args:
        width_list: the channels of the stem and of the stages.
        depth_list: the number of blocks of each.
        dim: the features of an attention head.
        expand_ratio: the factor by which MBConv widens its channels inside.
    """

    def __init__(self, width_list: Sequence[int], depth_list: Sequence[int], dim: int, expand_ratio: int = 4):
        super().__init__()
        c_in = width_list[0]
        stem = [ResidualBlock(DSConv(c_in, c_in)) for _ in range(depth_list[0])]
        self.input_stem = OpSequential([ConvLayer(3, c_in, stride=2), *stem])
        stages = []
        for i, (c_out, depth) in enumerate(zip(width_list[1:], depth_list[1:], strict=True)):
            attends = i >= 2
            stage: list[nn.Module] = [ResidualBlock(MBConv(c_in, c_out, 2, expand_ratio, attends), shortcut=False)]
            if attends:
                stage += [EfficientViTBlock(c_out, dim, expand_ratio) for _ in range(depth)]
            else:
                stage += [ResidualBlock(MBConv(c_out, c_out, 1, expand_ratio)) for _ in range(depth - 1)]
            stages.append(OpSequential(stage))
            c_in = c_out
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, width_list[-1], H / 32, W / 32)."""
        x = self.input_stem(x)
        for stage in self.stages:
            x = stage(x)
        return x


class LinearLayer(nn.Module):
    """Flatten, dropout, linear layer, then optional layer norm and hardswish."""

    def __init__(self, c_in: int, c_out: int, hidden: bool, dropout: float = 0.0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(c_in, c_out, bias=not hidden)
        self.norm = nn.LayerNorm(c_out) if hidden else None
        self.act = nn.Hardswish() if hidden else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in) or (N, c_in, 1, 1) to (N, c_out)."""
        x = self.linear(self.dropout(x.flatten(1)))
        return x if self.norm is None or self.act is None else self.act(self.norm(x))


class EfficientViT(nn.Module):
    """The backbone and a head: 1x1 convolution, global average, two linear layers.

    Args:
        width_list, depth_list, dim, expand_ratio: as for EfficientViTBackbone.
        head_widths: the features after the convolution and after the first linear layer.
        num_classes: the size of the output.
        dropout: the probability of dropout before the last layer.
    """

    def __init__(
        self,
        width_list: Sequence[int],
        depth_list: Sequence[int],
        dim: int,
        head_widths: tuple[int, int],
        expand_ratio: int = 4,
        num_classes: int = 1000,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.backbone = EfficientViTBackbone(width_list, depth_list, dim, expand_ratio)
        wide, hidden = head_widths
        self.head = OpSequential(
            [
                ConvLayer(width_list[-1], wide, 1),
                nn.AdaptiveAvgPool2d(1),
                LinearLayer(wide, hidden, hidden=True),
                LinearLayer(hidden, num_classes, hidden=False, dropout=dropout),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, num_classes)."""
        return self.head(self.backbone(x))


@model
def efficientvit_b0(**kwargs: Any) -> EfficientViT:
    """EfficientViT-B0; 3,410,008 parameters."""
    return EfficientViT([8, 16, 32, 64, 128], [1, 2, 2, 2, 2], 16, (1024, 1280), **kwargs)


@model
def efficientvit_b1(**kwargs: Any) -> EfficientViT:
    """EfficientViT-B1; 9,102,024 parameters."""
    return EfficientViT([16, 32, 64, 128, 256], [1, 2, 3, 3, 4], 16, (1536, 1600), **kwargs)
