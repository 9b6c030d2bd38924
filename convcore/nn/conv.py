"""Convolutions as layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from convcore.errors import ShapeError, UnsupportedError
from convcore.nn import init
from convcore.nn.base.module import Module
from convcore.nn.parameter import empty_parameter
from convcore.ops.conv.functions import convolve
from convcore.ops.conv.transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from convcore.ops.core.arguments import integer, numbers
from convcore.ops.image.pad import MODES, pad
from convcore.tensor import Tensor

IntOrSeveral = int | Sequence[int]
PADDING_MODES = ("zeros", *MODES[1:])


class _ConvLayer(Module):
    """The settings, parameters and repr that all convolutions share."""

    def __init__(
        self,
        rank: int,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: IntOrSeveral,
        stride: IntOrSeveral,
        padding: IntOrSeveral | str,
        dilation: IntOrSeveral,
        transposed: bool,
        output_padding: IntOrSeveral,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ):
        super().__init__()
        layer = type(self).__name__
        self.in_channels = integer(layer, "in_channels", in_channels, 1)
        self.out_channels = integer(layer, "out_channels", out_channels, 1)
        self.kernel_size = numbers(layer, "kernel_size", kernel_size, 1, rank)
        self.stride = numbers(layer, "stride", stride, 1, rank)
        self.padding = padding if isinstance(padding, str) else numbers(layer, "padding", padding, 0, rank)
        self.dilation = numbers(layer, "dilation", dilation, 1, rank)
        self.transposed = transposed
        self.output_padding = numbers(layer, "output_padding", output_padding, 0, rank)
        self.groups = integer(layer, "groups", groups, 1)
        self.padding_mode = padding_mode
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ShapeError(f"{layer}: padding must be 'same', 'valid', or numbers, got {padding!r}")
        if padding == "same" and self.stride != (1,) * rank:
            raise ShapeError(f"{layer}: padding='same' needs stride 1, got {self.stride}")
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ShapeError(f"{layer}: {name} must be divisible by groups, got {channels} and {self.groups}")
        modes = PADDING_MODES[:1] if transposed else PADDING_MODES
        if padding_mode not in modes:
            known = " or ".join(map(repr, modes))
            raise UnsupportedError(f"{layer}: padding_mode must be {known}, got {padding_mode!r}")
        ends = (self.in_channels, self.out_channels) if transposed else (self.out_channels, self.in_channels)
        shape = (ends[0], ends[1] // self.groups, *self.kernel_size)
        self.weight = empty_parameter(layer, shape, dtype, device)
        self.register_parameter("bias", empty_parameter(layer, (self.out_channels,), dtype, device) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial weights."""
        init.layer_default_(self.weight, self.bias)

    def extra_repr(self) -> str:
        settings = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        rank = len(self.kernel_size)
        for name, usual in (("padding", 0), ("dilation", 1), ("output_padding", 0)):
            value = getattr(self, name)
            if value != (usual,) * rank:
                settings += f", {name}={value}"
        if self.groups != 1:
            settings += f", groups={self.groups}"
        if self.bias is None:
            settings += ", bias=False"
        if self.padding_mode != "zeros":
            settings += f", padding_mode={self.padding_mode}"
        return settings


class _Conv(_ConvLayer):
    """A convolution of `rank` spatial axes."""

    rank: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrSeveral,
        stride: IntOrSeveral = 1,
        padding: IntOrSeveral | str = 0,
        dilation: IntOrSeveral = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            self.rank,
            in_channels,
            out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            transposed=False,
            output_padding=0,
            groups=groups,
            bias=bias,
            padding_mode=padding_mode,
            device=device,
            dtype=dtype,
        )

    def _border(self) -> list[int]:
        """The layer's padding as the sizes that `F.pad` takes."""
        border = []
        for i in reversed(range(self.rank)):
            total = self.dilation[i] * (self.kernel_size[i] - 1) if self.padding == "same" else 0
            before = total // 2 if isinstance(self.padding, str) else self.padding[i]
            border += [before, total - before if isinstance(self.padding, str) else before]
        return border

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = pad(input, self._border(), self.padding_mode), 0
        settings = self.stride, padding, self.dilation, self.groups
        return convolve(self.rank, input, self.weight, self.bias, *settings)


class Conv1d(_Conv):
    """Slide `out_channels` filters over series; (N, C_in, L) becomes (N, C_out, L_out); see Conv2d.

    The weight is (C_out, C_in / groups, K); sizes are one number.
    """

    rank = 1


class Conv2d(_Conv):
    """Slide `out_channels` filters over images; (N, C_in, H, W) becomes (N, C_out, H_out, W_out).

    Args:
        in_channels, out_channels: C_in and C_out.
        kernel_size: the filter's size, one number or (height, width).
        stride: how far the filter moves from one output to the next.
        padding: rows and columns added on each side; "same" keeps the size (with stride 1), "valid" adds none.
        dilation: distance between the filter's taps.
        groups: split the channels into independent groups; C_in groups of one channel are a depthwise convolution.
        bias: whether to add a learned bias to each output channel.
        padding_mode: how the padding is filled: "zeros", "reflect", "replicate" or "circular"; see `F.pad`.
        device: "cpu" (the default), "cuda", or "auto" for the GPU where there is one.
        dtype: float32 (the default) or float64.

    Attributes:
        weight: (C_out, C_in / groups, K_h, K_w), initially uniform in +-1 / sqrt(C_in / groups * K_h * K_w).
        bias: (C_out,), with the same distribution, or None.

    Raises:
        ShapeError: a size is not positive, or `groups` does not divide the channels.
        UnsupportedError: the padding_mode is unknown.
    """

    rank = 2


class Conv3d(_Conv):
    """Slide `out_channels` filters over volumes; (N, C_in, D, H, W) becomes (N, C_out, D_out, H_out, W_out).

    See Conv2d. The weight is (C_out, C_in / groups, K_d, K_h, K_w); sizes are one number or (depth, height, width).
    """

    rank = 3


class _ConvTranspose(_ConvLayer):
    """A transposed convolution of `rank` spatial axes, which `operation` computes."""

    rank: ClassVar[int]
    operation: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrSeveral,
        stride: IntOrSeveral = 1,
        padding: IntOrSeveral = 0,
        output_padding: IntOrSeveral = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntOrSeveral = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        layer = type(self).__name__
        if isinstance(padding, str):
            raise ShapeError(f"{layer}: padding must be numbers, got {padding!r}")
        super().__init__(
            self.rank,
            in_channels,
            out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            transposed=True,
            output_padding=output_padding,
            groups=groups,
            bias=bias,
            padding_mode=padding_mode,
            device=device,
            dtype=dtype,
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Convolve; `output_size`, for the spatial axes or for all axes, replaces output_padding."""
        extra = self.output_padding if output_size is None else self._output_padding(input, output_size)
        settings = self.stride, self.padding, extra, self.groups, self.dilation
        return type(self).operation(input, self.weight, self.bias, *settings)

    def _output_padding(self, x: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        wanted = tuple(output_size)[-self.rank :]
        if len(output_size) not in (self.rank, len(x.shape)):
            raise ShapeError(
                f"{type(self).__name__}: output_size must have {self.rank} or {len(x.shape)} sizes, got {output_size}"
            )
        extra = []
        for i, size in enumerate(tuple(x.shape)[-self.rank :]):
            reach = self.dilation[i] * (self.kernel_size[i] - 1) + 1
            least = (size - 1) * self.stride[i] - 2 * self.padding[i] + reach
            if not least <= wanted[i] < least + self.stride[i]:
                raise ShapeError(
                    f"{type(self).__name__}: output_size[{i}] must be from {least} to {least + self.stride[i] - 1} "
                    f"for an input of size {size}, got {wanted[i]}"
                )
            extra.append(wanted[i] - least)
        return tuple(extra)


class ConvTranspose1d(_ConvTranspose):
    """Add up scaled copies of filters in larger series; (N, C_in, L) becomes (N, C_out, L_out).

    See ConvTranspose2d; the weight is (C_in, C_out / groups, K).
    """

    rank, operation = 1, conv_transpose1d


class ConvTranspose2d(_ConvTranspose):
    """Add up scaled copies of filters in larger images; (N, C_in, H, W) becomes (N, C_out, H_out, W_out).

    Args:
        in_channels, out_channels, kernel_size, groups, bias, dilation, device, dtype: as for Conv2d.
        stride: the distance between the copies of a filter in the output.
        padding: how much is cut off on each side of the output.
        output_padding: rows and columns added at the end of the output; smaller than the stride or the dilation.
        padding_mode: only "zeros".

    Attributes:
        weight: (C_in, C_out / groups, K_h, K_w), initially uniform in +-1 / sqrt(C_out / groups * K_h * K_w).
        bias: (C_out,), with the same distribution, or None.
    """

    rank, operation = 2, conv_transpose2d


class ConvTranspose3d(_ConvTranspose):
    """Add up scaled copies of filters in larger volumes; (N, C_in, D, H, W) to (N, C_out, D_out, H_out, W_out).

    See ConvTranspose2d; the weight is (C_in, C_out / groups, K_d, K_h, K_w).
    """

    rank, operation = 3, conv_transpose3d
