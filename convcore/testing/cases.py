"""The named convolutions of tests and benchmarks: every kind of layer in every kind of shape.

`ConvCase` and its tables are for images; series, volumes and transposed convolutions are `SpatialCase`s.

Names are "<kind>-<shape>". Kinds: the first layer of a network, 1x1, 3x3, padding beyond the kernel, grouped,
depthwise, dilated, non-square. Shapes: plain (sizes that fill whole tiles), ragged (sizes that leave a remainder in
every tile), stride (a stride and a remainder).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ConvCase:
    """One convolution; sizes as in `conv2d`."""

    name: str
    n: int
    c_in: int
    h: int
    w: int
    c_out: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] | str = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return self.n, self.c_in, self.h, self.w

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return self.c_out, self.c_in // self.groups, *self.kernel

    @property
    def settings(self) -> dict:
        """The keyword arguments of conv2d."""
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    def __str__(self) -> str:
        return self.name


SMALL_CASES = (
    ConvCase("first_rgb-plain", 2, 3, 12, 12, 32, (3, 3), padding=(1, 1)),
    ConvCase("first_rgb-ragged", 1, 3, 11, 13, 17, (3, 3), padding=(1, 1)),
    ConvCase("first_rgb-stride", 2, 3, 19, 17, 37, (7, 7), stride=(2, 2), padding=(3, 3)),
    ConvCase("first_gray-plain", 2, 1, 14, 14, 32, (3, 3), padding=(1, 1)),
    ConvCase("first_gray-ragged", 3, 1, 9, 7, 6, (5, 5), padding=(2, 2)),
    ConvCase("pointwise-plain", 2, 32, 8, 12, 64, (1, 1)),
    ConvCase("pointwise-ragged", 1, 24, 7, 7, 40, (1, 1)),
    ConvCase("pointwise-stride", 2, 20, 9, 7, 33, (1, 1), stride=(2, 2)),
    ConvCase("pointwise-skipped_pixels", 1, 5, 11, 8, 7, (1, 1), stride=(3, 4), padding=(1, 0)),
    ConvCase("square3-plain", 1, 32, 12, 12, 64, (3, 3), padding=(1, 1)),
    ConvCase("square3-ragged", 2, 13, 7, 37, 19, (3, 3), padding=(1, 1)),
    ConvCase("square3-stride", 2, 16, 15, 13, 24, (3, 3), stride=(2, 2), padding=(1, 1)),
    ConvCase("square3-valid", 1, 6, 9, 8, 100, (3, 3), padding="valid"),
    ConvCase("square3-same", 1, 6, 9, 8, 10, (3, 3), padding="same"),
    ConvCase("over_padded-plain", 1, 4, 5, 5, 8, (3, 3), padding=(4, 4)),
    ConvCase("over_padded-ragged", 2, 3, 1, 2, 5, (2, 3), padding=(3, 5)),
    ConvCase("over_padded-stride", 1, 2, 3, 4, 5, (2, 2), stride=(3, 2), padding=(4, 3)),
    ConvCase("grouped-plain", 2, 32, 8, 8, 64, (3, 3), padding=(1, 1), groups=2),
    ConvCase("grouped-ragged", 1, 15, 7, 9, 21, (3, 3), padding=(1, 1), groups=3),
    ConvCase("grouped-stride", 2, 12, 9, 10, 8, (3, 3), stride=(2, 1), padding=(1, 0), groups=4),
    ConvCase("depthwise-plain", 1, 32, 8, 8, 32, (3, 3), padding=(1, 1), groups=32),
    ConvCase("depthwise-ragged", 2, 7, 9, 5, 7, (5, 5), padding=(2, 2), groups=7),
    ConvCase("depthwise-multiplier", 1, 5, 6, 7, 15, (3, 3), stride=(2, 2), padding=(1, 1), groups=5),
    ConvCase("dilated-plain", 1, 16, 12, 12, 32, (3, 3), padding=(2, 2), dilation=(2, 2)),
    ConvCase("dilated-ragged", 1, 5, 11, 14, 9, (3, 2), padding=(3, 1), dilation=(3, 4)),
    ConvCase("dilated-stride", 2, 4, 13, 12, 6, (3, 3), stride=(3, 2), padding=(2, 1), dilation=(2, 3)),
    ConvCase("dilated-same", 1, 3, 10, 9, 4, (3, 3), padding="same", dilation=(2, 1)),
    ConvCase("non_square-plain", 1, 8, 10, 16, 16, (1, 5), padding=(0, 2)),
    ConvCase("non_square-ragged", 1, 3, 13, 6, 5, (5, 2), padding=(2, 1)),
    ConvCase("non_square-stride", 2, 5, 14, 9, 11, (4, 3), stride=(1, 3), padding=(2, 0)),
    ConvCase("even_kernel-same", 1, 3, 7, 8, 4, (4, 2), padding="same"),
    ConvCase("whole_image-plain", 2, 8, 6, 5, 20, (6, 5)),
    ConvCase("stride_beyond_kernel", 1, 3, 17, 16, 5, (2, 2), stride=(5, 4)),
    ConvCase("stride_beyond_image", 1, 2, 1, 1, 3, (1, 1), stride=(5, 5), padding=(2, 2)),
    ConvCase("one_pixel", 1, 1, 1, 1, 1, (1, 1)),
    ConvCase("empty_batch", 0, 3, 8, 8, 4, (3, 3), padding=(1, 1)),
)
"""Small enough for the float64 reference; together they reach every branch of every kernel."""

LAYER_CASES = (
    ConvCase("digit_cnn-conv1", 64, 1, 28, 28, 32, (3, 3), padding=(1, 1)),
    ConvCase("digit_cnn-conv2", 64, 32, 14, 14, 64, (3, 3), padding=(1, 1)),
    ConvCase("simple_cnn-conv1", 8, 3, 224, 224, 32, (3, 3), padding=(1, 1)),
    ConvCase("simple_cnn-conv2", 8, 32, 112, 112, 64, (3, 3), padding=(1, 1)),
    ConvCase("simple_cnn-conv3", 8, 64, 56, 56, 128, (3, 3), padding=(1, 1)),
    ConvCase("resnet-stem", 8, 3, 224, 224, 64, (7, 7), stride=(2, 2), padding=(3, 3)),
    ConvCase("resnet-block1", 8, 64, 56, 56, 64, (3, 3), padding=(1, 1)),
    ConvCase("resnet-downsample", 8, 64, 56, 56, 128, (1, 1), stride=(2, 2)),
    ConvCase("resnet-bottleneck", 8, 256, 14, 14, 1024, (1, 1)),
    ConvCase("resnet-block4", 8, 512, 7, 7, 512, (3, 3), padding=(1, 1)),
    ConvCase("vgg-conv8", 2, 256, 28, 28, 512, (3, 3), padding=(1, 1)),
    ConvCase("mobilenet-depthwise", 8, 96, 56, 56, 96, (3, 3), padding=(1, 1), groups=96),
    ConvCase("mobilenet-depthwise5x5", 8, 240, 28, 28, 240, (5, 5), padding=(2, 2), groups=240),
    ConvCase("mobilenet-depthwise_stride", 8, 144, 56, 56, 144, (3, 3), stride=(2, 2), padding=(1, 1), groups=144),
    ConvCase("convnext-depthwise7x7", 8, 96, 56, 56, 96, (7, 7), padding=(3, 3), groups=96),
    ConvCase("mobilenet-expand", 8, 24, 56, 56, 144, (1, 1)),
    ConvCase("resnext-grouped", 8, 128, 28, 28, 128, (3, 3), padding=(1, 1), groups=32),
    ConvCase("resnext-grouped_stride", 8, 128, 56, 56, 128, (3, 3), stride=(2, 2), padding=(1, 1), groups=32),
)
"""Layers of real networks, at their real sizes."""


@dataclass(frozen=True)
class SpatialCase:
    """One convolution of series, images or volumes, or a transposed one; sizes as in `conv3d`, `conv_transpose3d`.

    Attributes:
        size, kernel, stride, padding, dilation: one number for each spatial axis.
        output_padding: None for a convolution; for a transposed convolution, one number for each spatial axis.
    """

    name: str
    n: int
    c_in: int
    size: tuple[int, ...]
    c_out: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...] | int = 1
    padding: tuple[int, ...] | int | str = 0
    dilation: tuple[int, ...] | int = 1
    groups: int = 1
    output_padding: tuple[int, ...] | int | None = None

    @property
    def op(self) -> str:
        """The name of the function."""
        return f"conv{'' if self.output_padding is None else '_transpose'}{len(self.size)}d"

    @property
    def x_shape(self) -> tuple[int, ...]:
        return self.n, self.c_in, *self.size

    @property
    def weight_shape(self) -> tuple[int, ...]:
        if self.output_padding is None:
            return self.c_out, self.c_in // self.groups, *self.kernel
        return self.c_in, self.c_out // self.groups, *self.kernel

    @property
    def settings(self) -> dict:
        """The keyword arguments of the function."""
        names = ("stride", "padding", "dilation", "groups", "output_padding")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"


SPATIAL_CASES = (
    SpatialCase("plain", 2, 16, (24,), 32, (3,), padding=1),
    SpatialCase("ragged", 1, 5, (37,), 19, (5,), padding=2),
    SpatialCase("stride", 3, 7, (31,), 11, (4,), stride=3, padding=1),
    SpatialCase("dilated", 1, 3, (29,), 6, (3,), padding=8, dilation=4),
    SpatialCase("grouped", 2, 6, (17,), 9, (3,), groups=3),
    SpatialCase("depthwise", 2, 8, (21,), 8, (5,), padding=2, groups=8),
    SpatialCase("pointwise", 2, 9, (13,), 4, (1,)),
    SpatialCase("same", 1, 2, (10,), 3, (4,), padding="same", dilation=3),
    SpatialCase("empty_batch", 0, 3, (8,), 4, (3,)),
    SpatialCase("plain", 1, 16, (4, 6, 6), 32, (3, 3, 3), padding=1),
    SpatialCase("ragged", 2, 5, (5, 7, 9), 19, (3, 3, 3), padding=1),
    SpatialCase("stride", 2, 4, (7, 9, 8), 9, (3, 3, 3), stride=2, padding=1),
    SpatialCase("non_cubic", 1, 3, (6, 5, 9), 7, (2, 1, 4), stride=(3, 1, 2), padding=(0, 2, 1)),
    SpatialCase("dilated", 1, 3, (9, 7, 8), 6, (3, 2, 3), padding=(3, 1, 0), dilation=(4, 1, 2)),
    SpatialCase("dilated_stride", 2, 2, (9, 8, 7), 5, (3, 3, 2), stride=(3, 2, 1), padding=2, dilation=(2, 3, 1)),
    SpatialCase("grouped", 1, 6, (4, 5, 6), 9, (2, 3, 3), padding=1, groups=3),
    SpatialCase("depthwise", 1, 5, (4, 5, 6), 5, (3, 3, 3), padding=1, groups=5),
    SpatialCase("over_padded", 1, 2, (1, 2, 3), 4, (2, 2, 2), padding=(4, 3, 5), stride=(3, 1, 2)),
    SpatialCase("stride_beyond_image", 1, 2, (1, 1, 1), 3, (1, 1, 1), stride=5, padding=2),
    SpatialCase("pointwise", 2, 9, (3, 4, 5), 20, (1, 1, 1)),
    SpatialCase("same", 1, 2, (5, 6, 7), 3, (2, 3, 4), padding="same", dilation=(1, 2, 1)),
    SpatialCase("whole_volume", 2, 3, (4, 3, 5), 6, (4, 3, 5)),
    SpatialCase("empty_batch", 0, 3, (4, 4, 4), 4, (3, 3, 3)),
    SpatialCase("plain", 2, 16, (9,), 8, (4,), stride=2, padding=1, output_padding=0),
    SpatialCase("output_padding", 1, 3, (7,), 5, (3,), stride=3, padding=2, output_padding=2),
    SpatialCase("dilated", 1, 4, (6,), 6, (3,), padding=1, dilation=4, groups=2, output_padding=3),
    SpatialCase("plain", 1, 16, (6, 6), 32, (3, 3), padding=1, output_padding=0),
    SpatialCase("stride", 2, 5, (5, 7), 9, (4, 3), stride=(2, 3), padding=(1, 0), output_padding=(1, 2)),
    SpatialCase("grouped", 1, 6, (4, 5), 9, (3, 2), stride=2, groups=3, output_padding=(0, 1)),
    SpatialCase("depthwise", 1, 8, (6, 5), 8, (3, 3), stride=2, padding=1, groups=8, output_padding=1),
    SpatialCase("dilated", 1, 2, (4, 3), 3, (2, 3), padding=(0, 2), dilation=(3, 2), output_padding=(2, 1)),
    SpatialCase("pointwise", 2, 6, (4, 3), 5, (1, 1), stride=2, output_padding=(1, 0)),
    SpatialCase("empty_batch", 0, 3, (4, 4), 4, (3, 3), output_padding=0),
    SpatialCase("plain", 1, 8, (3, 4, 4), 6, (3, 3, 3), padding=1, output_padding=0),
    SpatialCase("stride", 2, 3, (3, 4, 2), 5, (2, 3, 4), stride=(2, 3, 1), padding=(1, 0, 1), output_padding=(1, 2, 0)),
    SpatialCase("grouped", 1, 4, (2, 3, 4), 6, (3, 2, 2), stride=2, padding=1, groups=2, output_padding=1),
    SpatialCase("dilated", 1, 2, (3, 2, 4), 3, (2, 2, 3), padding=1, dilation=(3, 2, 1), output_padding=(2, 1, 0)),
)
"""Series, volumes and transposed convolutions, small enough for the float64 reference."""
