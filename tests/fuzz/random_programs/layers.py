"""Layers that fit an input's shape, as source text."""

from __future__ import annotations

from random_programs.writer import Writer

ACTIVATIONS = (
    "ReLU()", "ReLU(inplace=True)", "ReLU()", "LeakyReLU(0.1)", "LeakyReLU(0.2, inplace=True)", "ELU()",
    "ELU(inplace=True)", "GELU()", "SiLU()", "SiLU(inplace=True)", "Sigmoid()", "Tanh()", "Softplus()", "Hardswish()",
    "Hardswish(inplace=True)", "ReLU6()", "ReLU6(inplace=True)", "Mish()", "SELU()", "CELU(0.5)", "Softsign()",
    "Tanhshrink()", "LogSigmoid()", "Hardtanh(-0.5, 0.7)", "Softshrink(0.2)", "Hardshrink(0.2)", "Threshold(0.1, -0.3)",
    "Identity()", "Dropout(0.0)",
)  # fmt: skip


def layer(w: Writer, shape: tuple[int, ...]) -> str | None:
    """`nn.Conv2d(3, 8, 3)` or whatever fits this shape; None if the chosen kind does not."""
    if w.chance(0.3):
        return f"nn.{w.pick(ACTIVATIONS)}"
    if w.chance(0.02) and w.dtype == "float32":  # in float64 torch divides by 6 in float32
        return "nn.Hardsigmoid()"
    kinds = [dense] if len(shape) == 2 else [conv, conv, conv, conv, transposed, norm, norm, norm, pool, pool, spatial]
    if len(shape) in (2, 3):
        kinds += [norm, sequence, dense]
    return w.pick(kinds)(w, shape)


def _many(w: Writer, values: list[int], axes: int) -> str:
    """One number for all axes, or one for each."""
    if axes == 1 or w.chance(0.7):
        return str(w.pick(values))
    return str(tuple(w.pick(values) for _ in range(axes)))


def _channels(w: Writer, c_in: int, transposed: bool = False) -> tuple[int, int]:
    """(c_out, groups)"""
    if w.chance(0.25):
        return c_in * w.pick([1, 1, 2]), c_in
    groups = w.pick([g for g in range(1, c_in + 1) if c_in % g == 0]) if w.chance(0.25) else 1
    return groups * w.pick([1, 2, 3, 4, 4, 8, 16]), groups


def conv(w: Writer, shape: tuple[int, ...]) -> str | None:
    """A convolution: grouped, depthwise, dilated, strided, with any padding."""
    axes = len(shape) - 2
    if axes not in (1, 2, 3):
        return None
    c_out, groups = _channels(w, shape[1])
    if axes == 3 and c_out > 8:
        return None
    settings = [str(shape[1]), str(c_out), _many(w, [1, 2, 3, 3, 3, 5], axes)]
    if w.chance(0.6):
        settings.append(f"padding={w.pick(['1', '2', repr('same'), _many(w, [0, 1, 2], axes)])}")
    if w.chance(0.35):
        settings.append(f"stride={_many(w, [1, 2, 3], axes)}")
    if w.chance(0.2):
        settings.append(f"dilation={_many(w, [1, 2], axes)}")
    if groups > 1:
        settings.append(f"groups={groups}")
    if w.chance(0.3):
        settings.append("bias=False")
    if w.chance(0.1):
        settings.append(f"padding_mode={w.pick(['circular', 'reflect', 'replicate'])!r}")
    return f"nn.Conv{axes}d({', '.join(settings)})"


def transposed(w: Writer, shape: tuple[int, ...]) -> str | None:
    """A transposed convolution."""
    axes = len(shape) - 2
    if axes not in (1, 2, 3) or shape[2] > 12:
        return None
    c_out, groups = _channels(w, shape[1])
    stride = w.pick([1, 2, 2, 3])
    settings = [str(shape[1]), str(min(c_out, 8 * groups)), _many(w, [1, 2, 3, 4], axes), f"stride={stride}"]
    if w.chance(0.4):
        settings.append(f"padding={w.pick([0, 1])}")
    if w.chance(0.3) and stride > 1:
        settings.append("output_padding=1")
    if groups > 1:
        settings.append(f"groups={groups}")
    if w.chance(0.3):
        settings.append("bias=False")
    return f"nn.ConvTranspose{axes}d({', '.join(settings)})"


def norm(w: Writer, shape: tuple[int, ...]) -> str | None:
    """A normalisation."""
    axes, c, last_size = max(len(shape) - 2, 1), shape[1], shape[len(shape) - 1]
    groups = w.pick([g for g in range(1, c + 1) if c % g == 0])
    last = w.pick([1, 2]) if len(shape) > 2 else 1
    choices = [
        f"nn.BatchNorm{axes}d({c})", f"nn.BatchNorm{axes}d({c})", f"nn.BatchNorm{axes}d({c}, momentum=0.3, eps=1e-3)",
        f"nn.BatchNorm{axes}d({c}, affine=False)", f"nn.BatchNorm{axes}d({c}, momentum=None)",
        f"nn.BatchNorm{axes}d({c}, track_running_stats=False)",
        f"nn.GroupNorm({groups}, {c})", f"nn.LayerNorm({list(shape[-last:])})", f"nn.RMSNorm([{last_size}])",
        f"nn.InstanceNorm{axes}d({c}, affine=True)", f"nn.InstanceNorm{axes}d({c}, track_running_stats=True)",
        f"nn.LayerNorm({last_size}, bias=False)", "nn.LocalResponseNorm(3)",
    ]  # fmt: skip
    return w.pick(choices)


def pool(w: Writer, shape: tuple[int, ...]) -> str | None:
    """A pooling."""
    axes = len(shape) - 2
    if axes not in (1, 2, 3):
        return None
    window = f"{_many(w, [2, 2, 3], axes)}, {_many(w, [1, 2, 2], axes)}"
    padding = w.pick(["", "", ", padding=1", ", ceil_mode=True"])
    size = _many(w, [1, 1, 2, 3], axes)
    choices = [
        f"nn.MaxPool{axes}d({window}{padding})", f"nn.MaxPool{axes}d(2)", f"nn.AvgPool{axes}d({window}{padding})",
        f"nn.AvgPool{axes}d(3, 1, 1, count_include_pad=False)", f"nn.AdaptiveAvgPool{axes}d({size})",
        f"nn.AdaptiveMaxPool{axes}d({size})", f"nn.MaxPool{axes}d(3, stride=1, padding=1, dilation=1)",
    ]  # fmt: skip
    return w.pick(choices)


def spatial(w: Writer, shape: tuple[int, ...]) -> str | None:
    """What moves numbers about in images."""
    axes = len(shape) - 2
    modes = {1: ["nearest", "linear"], 2: ["nearest", "bilinear", "bicubic"], 3: ["nearest", "trilinear"]}.get(axes)
    if modes is None or max(shape[2:]) > 12:
        return None
    choices = [f"nn.Upsample(scale_factor=2, mode={w.pick(modes)!r})", f"nn.ReflectionPad{axes}d(1)"]
    choices += [f"nn.ReplicationPad{axes}d(1)", f"nn.ConstantPad{axes}d(1, 0.5)", "nn.Flatten(2)", "nn.Flatten()"]
    if axes == 2:
        choices += ["nn.PixelUnshuffle(2)", "nn.ZeroPad2d((1, 0, 2, 0))"]
        choices += ["nn.PixelShuffle(2)", "nn.ChannelShuffle(2)", "nn.Softmax2d()"]
    return w.pick(choices)


def dense(w: Writer, shape: tuple[int, ...]) -> str | None:
    """A linear layer for the last axis."""
    bias = w.pick(["", "", ", bias=False"])
    return f"nn.Linear({shape[-1]}, {w.pick([1, 3, 4, 8, 16])}{bias})"


def sequence(w: Writer, shape: tuple[int, ...]) -> str | None:
    """Layers for rows of vectors."""
    e = shape[-1]
    heads = w.pick([h for h in (1, 2, 4) if e % h == 0])
    choices = [f"nn.Softmax({len(shape) - 1})", "nn.LogSoftmax(-1)", "nn.PReLU()", f"nn.PReLU({shape[1]})"]
    if len(shape) == 3 and e <= 32 and shape[1] <= 32:
        choices += [
            f"nn.TransformerEncoderLayer({e}, {heads}, 8, dropout=0.0, batch_first=True)",
            f"nn.TransformerEncoderLayer({e}, {heads}, 8, dropout=0.0, norm_first=True, activation='gelu')",
        ]
    if e % 2 == 0:
        choices.append("nn.GLU(-1)")
    return w.pick(choices)
