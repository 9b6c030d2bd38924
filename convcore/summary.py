"""What a model is made of: one row per layer call, with output shape, parameters, multiply-adds and receptive field.

The model runs once on zeros while the `forward` of its leaf modules is observed. Receptive fields follow A. Araujo,
W. Norris and J. Sim, "Computing Receptive Fields of Convolutional Neural Networks" (Distill, 2019): a layer with kernel
k, dilation d and stride s turns a field of size r with neighbours `jump` input pixels apart into

    r' = r + (k - 1) * d * jump,    jump' = jump * s.

Which layer feeds which is read from the autograd graph, so branches need no special care: where several paths meet, the
largest field counts. The field may reach into the padding, and so can be larger than the image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from convcore import nn
from convcore.autograd import enable_grad, wrap

Pair = tuple[int, int]


@dataclass(frozen=True)
class Field:
    """The receptive field of one element of a tensor (height, width), and the grid on which neighbours lie."""

    size: Pair
    jump: Pair
    extent: Pair  # height and width of the tensor itself, or of the image that it was flattened from

    def after(self, window: Pair, stride: Pair, extent: Pair) -> Field:
        """The field behind a layer whose every output sees `window` inputs; dilation is included in `window`."""
        size = tuple(r + (k - 1) * j for r, k, j in zip(self.size, window, self.jump, strict=True))
        jump = tuple(j * s for j, s in zip(self.jump, stride, strict=True))
        return Field(size, jump, extent)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Layer:
    """One call of one layer."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int  # 0 where the layer was called before: shared weights count once
    multiply_adds: int
    receptive_field: Pair | None  # None where it cannot be told


@dataclass(frozen=True)
class Summary:
    """The layers of a model in the order of their calls. `print` shows a table."""

    model: str
    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    parameters: int
    buffers: int

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)

    def __str__(self) -> str:
        head = ("Layer", "Kind", "Output shape", "Parameters", "Multiply-adds", "Receptive field")
        rows = [
            (
                layer.name,
                layer.kind,
                by_x(layer.output_shape),
                f"{layer.parameters:,}" if layer.parameters else "-",
                f"{layer.multiply_adds:,}" if layer.multiply_adds else "-",
                self._field(layer.receptive_field),
            )
            for layer in self.layers
        ]
        total = ("Total", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}", "")
        widths = [max(len(row[i]) for row in [head, total, *rows]) for i in range(len(head))]
        rule = "-" * (sum(widths) + 2 * len(widths) - 2)

        def line(row: tuple[str, ...]) -> str:
            cells = [
                c.rjust(w) if i in (3, 4) else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
            ]
            return "  ".join(cells).rstrip()

        lines = [f"{self.model}, input {by_x(self.input_shape)}", line(head), rule, *map(line, rows), rule, line(total)]
        lines.append(f"buffers (running statistics, not trained): {self.buffers:,}")
        lines.append("multiply-adds are those of convolutions and linear layers; all: the field covers the whole input")
        return "\n".join(lines)

    def _field(self, field: Pair | None) -> str:
        if field is None:
            return "?"
        covers = all(r >= extent for r, extent in zip(field, self.input_shape[-2:], strict=True))
        return by_x(field) + (" (all)" if covers else "")


def by_x(shape: Sequence[int]) -> str:
    """A shape in the way the command line writes it: 1x28x28."""
    return "x".join(str(extent) for extent in shape)


def summary(model: nn.Module, input_shape: Sequence[int]) -> Summary:
    """Describe `model` as it works on an input of `input_shape` (N, C, H, W).

    The model's weights, statistics, gradients and modes are as before afterwards. Functions called between layers count
    as element-wise; where they change the spatial size, the receptive field behind them is shown as unknown.
    """
    observer = _Observer(model)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with observer.watching(), enable_grad():
            x = wrap(np.zeros(tuple(input_shape), np.float32)).requires_grad_()
            observer.begin(x)
            model(x)
    finally:
        for module, training in modes:
            module.training = training
    return Summary(
        type(model).__name__,
        tuple(input_shape),
        tuple(observer.layers),
        sum(parameter.array.size for parameter in model.parameters()),
        sum(buffer.array.size for buffer in model.buffers()),
    )


class _Observer:
    """Stands around the `forward` of every leaf module and notes what comes out."""

    def __init__(self, model: nn.Module):
        self.leaves = [(name, module) for name, module in model.named_modules() if not list(module.children())]
        self.layers: list[Layer] = []
        self.fields: dict[Any, Field | None] = {}  # by the graph node of a tensor, or the tensor if it is the input
        self.seen: set[int] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Replace `forward` on each instance, which hides the class's own, and remove it again."""
        for name, module in self.leaves:
            vars(module)["forward"] = self._observed(name, module)
        try:
            yield
        finally:
            for _, module in self.leaves:
                del vars(module)["forward"]

    def begin(self, x: Any) -> None:
        self.fields[x] = Field((1, 1), (1, 1), x.array.shape[-2:])

    def _observed(self, name: str, module: nn.Module):
        forward = module.forward

        def observed(x: Any) -> Any:
            out = forward(x)
            self._note(name, module, x, out)
            return out

        return observed

    def _note(self, name: str, module: nn.Module, x: Any, out: Any) -> None:
        field = field_behind(module, self._field_of(x), out.array.shape)
        if out.node is not None:
            self.fields[out.node] = field
        self.layers.append(
            Layer(
                name,
                type(module).__name__,
                out.array.shape,
                sum(p.array.size for p in module.parameters() if id(p) not in self.seen),
                multiply_adds(module, x.array.shape, out.array.shape),
                None if field is None else field.size,
            )
        )
        self.seen.update(id(parameter) for parameter in module.parameters())

    def _field_of(self, x: Any) -> Field | None:
        """The largest field among the layers that `x` was computed from, found by walking up the graph."""
        found = []
        pending, visited = [x if x.node is None else x.node], set()
        while pending:
            place = pending.pop()
            if place in self.fields:
                found.append(self.fields[place])
            elif place not in visited and hasattr(place, "edges"):
                visited.add(place)
                for edge in place.edges:
                    if edge is not None:
                        pending.append(edge[0] if isinstance(edge, tuple) else edge)
        known = [field for field in found if field is not None]
        if not known or len(known) != len(found):
            return None
        widest = max(known, key=lambda field: field.size)
        spatial = x.array.shape[2:]
        return widest if not spatial or widest.extent == spatial else None


def field_behind(module: nn.Module, field: Field | None, out_shape: tuple[int, ...]) -> Field | None:
    """The receptive field of a layer's output, given that of its input."""
    if field is None:
        return None
    if isinstance(module, nn.Linear):  # sees every position that was flattened into its input
        return field.after(field.extent, (1, 1), (1, 1))
    if len(out_shape) < 4:  # flattened, or element-wise after that: each element is still that of one position
        return field
    extent = _pair(out_shape[2:])
    if hasattr(module, "kernel_size"):
        kernel, stride = _pair(module.kernel_size), _pair(module.stride)
        dilation = _pair(getattr(module, "dilation", 1))
        window = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
        return field.after(_pair(window), stride, extent)
    if extent == field.extent:
        return field
    if isinstance(module, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
        # Window i covers floor(i * in / out) to ceil((i + 1) * in / out): where that is uneven, the widest counts.
        axes = list(zip(field.extent, extent, strict=True))
        window = tuple(max(-(-(i + 1) * a // b) - i * a // b for i in range(b)) for a, b in axes)
        return field.after(_pair(window), _pair([a // b for a, b in axes]), extent)
    return None


def multiply_adds(module: nn.Module, x_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
    """Multiplications, each with its addition, of a convolution or linear layer; 0 for others."""
    if isinstance(module, nn.Conv2d):
        _, *taps = module.weight.array.shape  # C_in / groups, K_h, K_w
        return math.prod(out_shape) * math.prod(taps)
    if isinstance(module, nn.Linear):
        return math.prod(out_shape) * x_shape[-1]
    return 0


def _pair(value: int | Sequence[int]) -> Pair:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))
