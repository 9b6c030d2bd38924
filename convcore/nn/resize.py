"""Layers without parameters that pad, resize and rearrange series, images and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from convcore.nn.base.module import Module
from convcore.ops.image.interpolate import interpolate
from convcore.ops.image.pad import pad
from convcore.ops.image.pixel_shuffle import channel_shuffle, fold, pixel_shuffle, pixel_unshuffle, unfold
from convcore.tensor import Tensor

IntOrSeveral = int | Sequence[int]


class _Pad(Module):
    """Padding of `rank` spatial axes: one size for all sides, or two for each axis, the last axis first."""

    rank: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: IntOrSeveral):
        super().__init__()
        self.padding = (padding,) * (2 * self.rank) if isinstance(padding, int) else tuple(padding)

    def forward(self, input: Tensor) -> Tensor:
        return pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: IntOrSeveral, value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: IntOrSeveral):
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad):
    """Zeros around series (N, C, L); see `F.pad`."""

    rank = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around images (N, C, H, W); see `F.pad`."""

    rank = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around volumes (N, C, D, H, W); see `F.pad`."""

    rank = 3


class ConstantPad1d(_ConstantPad):
    """A constant around series (N, C, L); see `F.pad`."""

    rank = 1


class ConstantPad2d(_ConstantPad):
    """A constant around images (N, C, H, W); see `F.pad`."""

    rank = 2


class ConstantPad3d(_ConstantPad):
    """A constant around volumes (N, C, D, H, W); see `F.pad`."""

    rank = 3


class ReflectionPad1d(_Pad):
    """Values mirrored at the border around series (N, C, L); see `F.pad`."""

    rank = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """Values mirrored at the border around images (N, C, H, W); see `F.pad`."""

    rank = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """Values mirrored at the border around volumes (N, C, D, H, W); see `F.pad`."""

    rank = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """The outermost value repeated around series (N, C, L); see `F.pad`."""

    rank = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """The outermost value repeated around images (N, C, H, W); see `F.pad`."""

    rank = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """The outermost value repeated around volumes (N, C, D, H, W); see `F.pad`."""

    rank = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """Values from the opposite side around series (N, C, L); see `F.pad`."""

    rank = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """Values from the opposite side around images (N, C, H, W); see `F.pad`."""

    rank = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """Values from the opposite side around volumes (N, C, D, H, W); see `F.pad`."""

    rank = 3
    mode = "circular"


class Upsample(Module):
    """Resize (N, C, ...) to a size, or by a factor; see `F.interpolate`.

    Args:
        size: the new spatial sizes, one integer for all axes or one per axis.
        scale_factor: instead of size, the factor by which the spatial sizes grow.
        mode, align_corners, recompute_scale_factor: as for `F.interpolate`.
    """

    def __init__(
        self,
        size: IntOrSeveral | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ):
        super().__init__()
        self.size = size
        if isinstance(scale_factor, Sequence):
            self.scale_factor: Any = tuple([float(factor) for factor in scale_factor])
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        settings = self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        return interpolate(input, *settings)

    def extra_repr(self) -> str:
        given = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor!r}"
        return f"{given}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """`Upsample` of images with mode "nearest"."""

    def __init__(self, size: IntOrSeveral | None = None, scale_factor: float | Sequence[float] | None = None):
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """`Upsample` of images with mode "bilinear" and align_corners."""

    def __init__(self, size: IntOrSeveral | None = None, scale_factor: float | Sequence[float] | None = None):
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PixelShuffle(Module):
    """(.., C * r^2, H, W) becomes (.., C, H * r, W * r); see `F.pixel_shuffle`."""

    def __init__(self, upscale_factor: int):
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """(.., C, H * r, W * r) becomes (.., C * r^2, H, W); see `F.pixel_unshuffle`."""

    def __init__(self, downscale_factor: int):
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Interleave the channels of the groups: first the first channel of each; see `F.channel_shuffle`."""

    def __init__(self, groups: int):
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        return channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"


class Unfold(Module):
    """The windows of images as columns (im2col); see `F.unfold`."""

    def __init__(
        self,
        kernel_size: IntOrSeveral,
        dilation: IntOrSeveral = 1,
        padding: IntOrSeveral = 0,
        stride: IntOrSeveral = 1,
    ):
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, input: Tensor) -> Tensor:
        return unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Unfold):
    """Columns summed into images (col2im); see `F.fold`."""

    def __init__(
        self,
        output_size: IntOrSeveral,
        kernel_size: IntOrSeveral,
        dilation: IntOrSeveral = 1,
        padding: IntOrSeveral = 0,
        stride: IntOrSeveral = 1,
    ):
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"
