"""Convolution as a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convcore.errors import ShapeError, UnsupportedError
from convcore.nn import functional as F
from convcore.nn import init
from convcore.nn.module import Module
from convcore.nn.parameter import empty_parameter
from convcore.ops.arguments import integer, pair
from convcore.tensor import Tensor


class Conv2d(Module):
    """Slide `out_channels` filters over images; (N, C_in, H, W) becomes (N, C_out, H_out, W_out).

    Args:
        in_channels, out_channels: C_in and C_out.
        kernel_size: the filter's size, one number or (height, width).
        stride: how far the filter moves from one output to the next.
        padding: rows and columns of zeros on each side; "same" keeps the size (with stride 1), "valid" adds none.
        dilation: distance between the filter's taps.
        groups: split the channels into groups that do not see each other; C_in groups of one are a depthwise
            convolution.
        bias: whether each output channel gets a number added.
        padding_mode: "zeros" is the only one.
        dtype: float32 (the default) or float64.

    Attributes:
        weight: (C_out, C_in / groups, K_h, K_w), at first uniform in +-1 / sqrt(C_in / groups * K_h * K_w).
        bias: (C_out,), with the same distribution, or None.

    Raises:
        ShapeError: a size is not positive, or `groups` does not divide the channels.
        UnsupportedError: another padding_mode.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: Any = None,
    ):
        super().__init__()
        self.in_channels = integer("Conv2d", "in_channels", in_channels, 1)
        self.out_channels = integer("Conv2d", "out_channels", out_channels, 1)
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = pair("Conv2d", "stride", stride, 1)
        self.padding = padding if isinstance(padding, str) else pair("Conv2d", "padding", padding, 0)
        self.dilation = pair("Conv2d", "dilation", dilation, 1)
        self.groups = integer("Conv2d", "groups", groups, 1)
        self.padding_mode = padding_mode
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ShapeError(f"Conv2d: padding must be 'same', 'valid', or numbers, got {padding!r}")
        if padding == "same" and self.stride != (1, 1):
            raise ShapeError(f"Conv2d: padding='same' needs stride 1, got {self.stride}")
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ShapeError(f"Conv2d: {name} must be divisible by groups, got {channels} and {self.groups}")
        if padding_mode != "zeros":
            raise UnsupportedError(f"Conv2d: padding_mode must be 'zeros', got {padding_mode!r}")
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = empty_parameter("Conv2d", shape, dtype)
        self.register_parameter("bias", empty_parameter("Conv2d", (self.out_channels,), dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial weights."""
        init.layer_default_(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        settings = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0, 0):
            settings += f", padding={self.padding}"
        if self.dilation != (1, 1):
            settings += f", dilation={self.dilation}"
        if self.groups != 1:
            settings += f", groups={self.groups}"
        if self.bias is None:
            settings += ", bias=False"
        return settings
