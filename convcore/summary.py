"""Model summaries: one row per layer call, with output shape, parameters, multiply-adds and receptive field.

The model runs once on zeros while the `forward` of its leaf modules is observed. Receptive fields follow A. Araujo,
W. Norris and J. Sim, "Computing Receptive Fields of Convolutional Neural Networks" (Distill, 2019): a layer with kernel
k, dilation d and stride s maps a field of size r and a distance `jump` between neighbours, in input pixels, to

    r' = r + (k - 1) * d * jump,    jump' = jump * s,    p' = p + padding * jump,

where p is the distance by which the field of the first output starts before the image. jump is also called effective
stride, and p effective padding.

The connections of the layers are read from the autograd graph, so branches need no special case: where several paths
meet, the largest field counts. A field may include padding, and so be larger than the image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convcore import nn
from convcore.autograd import enable_grad, wrap
from convcore.nn.base.modes import evaluating
from convcore.ops.core.budget import ceil_div

Pair = tuple[int, int]


@dataclass(frozen=True)
class Field:
    """The receptive field of one element of a tensor (height, width), and the grid of all elements."""

    size: Pair
    jump: Pair
    extent: Pair  # height and width of the tensor, or of the image that it was flattened from
    padding: Pair = (0, 0)  # the distance by which the first field starts before the image

    def after(self, window: Pair, stride: Pair, extent: Pair, padding: Pair = (0, 0)) -> Field:
        """The field after a layer with windows of size `window`, dilation included."""
        size = tuple(r + (k - 1) * j for r, k, j in zip(self.size, window, self.jump, strict=True))
        jump = tuple(j * s for j, s in zip(self.jump, stride, strict=True))
        before = tuple(p + q * j for p, q, j in zip(self.padding, padding, self.jump, strict=True))
        return Field(_pair(size), _pair(jump), extent, _pair(before))


@dataclass(frozen=True)
class Layer:
    """One call of one layer."""

    name: str
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    kernel: Pair | None
    parameters: int  # 0 if the layer was called before: shared weights count once
    multiply_adds: int
    field: Field | None  # None if unknown
    nbytes: int  # of the output

    @property
    def receptive_field(self) -> Pair | None:
        """Height and width of the receptive field of one output element."""
        return None if self.field is None else self.field.size

    @property
    def effective_stride(self) -> Pair | None:
        """The distance between neighbouring outputs, in pixels of the image."""
        return None if self.field is None else self.field.jump

    @property
    def effective_padding(self) -> Pair | None:
        """The distance by which the field of the first output starts before the image."""
        return None if self.field is None else self.field.padding


@dataclass(frozen=True)
class Summary:
    """The layers of a model in the order of their calls. `print` shows a table."""

    model: str
    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    parameters: int
    trainable: int
    buffers: int
    nbytes: int  # of the parameters

    @property
    def multiply_adds(self) -> int:
        """The total of all layers."""
        return sum(layer.multiply_adds for layer in self.layers)

    def __str__(self) -> str:
        head = (
            *("Layer", "Kind", "Input shape", "Output shape", "Kernel", "Parameters", "Multiply-adds"),
            *("Receptive field", "Stride", "Padding"),
        )
        rows = [
            (
                layer.name,
                layer.kind,
                by_x(layer.input_shape),
                by_x(layer.output_shape),
                "-" if layer.kernel is None else by_x(layer.kernel),
                f"{layer.parameters:,}" if layer.parameters else "-",
                f"{layer.multiply_adds:,}" if layer.multiply_adds else "-",
                self._field(layer.receptive_field),
                "?" if layer.field is None else by_x(layer.field.jump),
                "?" if layer.field is None else by_x(layer.field.padding),
            )
            for layer in self.layers
        ]
        total = ("Total", "", "", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}", "", "", "")
        widths = [max(len(row[i]) for row in [head, total, *rows]) for i in range(len(head))]
        rule = "-" * (sum(widths) + 2 * len(widths) - 2)

        def line(row: tuple[str, ...]) -> str:
            cells = [
                c.rjust(w) if i in (5, 6) else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
            ]
            return "  ".join(cells).rstrip()

        lines = [f"{self.model}, input {by_x(self.input_shape)}", line(head), rule, *map(line, rows), rule, line(total)]
        lines.append(f"trainable: {self.trainable:,}, frozen: {self.parameters - self.trainable:,}")
        lines.append(f"buffers (running statistics, not trained): {self.buffers:,}")
        outputs = sum(layer.nbytes for layer in self.layers)
        lines.append(f"memory: parameters {self.nbytes / 1e6:.2f} MB, outputs of all layers {outputs / 1e6:.2f} MB")
        lines.append("multiply-adds are those of convolutions, linear layers and attention")
        lines.append(
            "field, its stride and its padding are in pixels of the input; all: the field covers the whole input"
        )
        return "\n".join(lines)

    def _field(self, field: Pair | None) -> str:
        if field is None:
            return "?"
        covers = all(r >= extent for r, extent in zip(field, self.input_shape[-2:], strict=True))
        return by_x(field) + (" (all)" if covers else "")


def by_x(shape: Sequence[int]) -> str:
    """A shape in the notation of the command line: 1x28x28."""
    return "x".join(str(extent) for extent in shape)


def summary(model: nn.Module, input_shape: Sequence[int]) -> Summary:
    """Describe `model` on an input of `input_shape` (N, C, H, W).

    The model's weights, statistics, gradients and modes are unchanged. Functions called between layers are assumed to
    be elementwise; if they change the spatial size, the receptive field after them is unknown.
    """
    observer = _Observer(model)
    with evaluating(model), observer.watching(), enable_grad():
        x = wrap(np.zeros(tuple(input_shape), np.float32)).requires_grad_()
        observer.begin(x)
        model(x)
    return Summary(
        type(model).__name__,
        tuple(input_shape),
        tuple(observer.layers),
        sum(parameter.array.size for parameter in model.parameters()),
        sum(parameter.array.size for parameter in model.parameters() if parameter.requires_grad),
        sum(buffer.array.size for buffer in model.buffers()),
        sum(parameter.array.nbytes for parameter in model.parameters()),
    )


class _Observer:
    """Wraps the `forward` of every leaf module and records its outputs."""

    def __init__(self, model: nn.Module):
        whole = [name for name, module in model.named_modules() if isinstance(module, nn.MultiheadAttention)]
        self.leaves = [
            (name, module)
            for name, module in model.named_modules()
            if name in whole or not (list(module.children()) or name.rpartition(".")[0] in whole)
        ]
        self.layers: list[Layer] = []
        self.fields: dict[Any, Field | None] = {}  # by the graph node of a tensor, or the tensor if it is the input
        self.seen: set[int] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Set `forward` on each instance, which hides the method of the class, and remove it again."""
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

        def observed(x: Any, *args: Any, **kwargs: Any) -> Any:
            out = forward(x, *args, **kwargs)
            self._note(name, module, x, out[0] if isinstance(out, tuple) else out)
            return out

        return observed

    def _note(self, name: str, module: nn.Module, x: Any, out: Any) -> None:
        field = field_behind(module, self._field_of(x), x.array.shape, out.array.shape)
        if out.node is not None:
            self.fields[out.node] = field
        self.layers.append(
            Layer(
                name,
                type(module).__name__,
                x.array.shape,
                out.array.shape,
                _pair(module.kernel_size) if hasattr(module, "kernel_size") else None,
                sum(p.array.size for p in module.parameters() if id(p) not in self.seen),
                multiply_adds(module, x.array.shape, out.array.shape),
                field,
                out.array.nbytes,
            )
        )
        self.seen.update(id(parameter) for parameter in module.parameters())

    def _field_of(self, x: Any) -> Field | None:
        """The largest field of the layers that `x` was computed from, found by a walk up the graph.

        Factors of channels, as in squeeze-and-excitation, have no spatial axes: the grid is then that of the image.
        """
        found = []
        pending, visited = [x if x.node is None else x.node], set()
        while pending:
            node = pending.pop()
            if node in self.fields:
                found.append(self.fields[node])
            elif node not in visited and hasattr(node, "edges"):
                visited.add(node)
                for edge in node.edges:
                    if edge is not None:
                        pending.append(edge[0] if isinstance(edge, tuple) else edge)
        known = [field for field in found if field is not None]
        if not known or len(known) != len(found):
            return None
        widest = max(known, key=lambda field: field.size)
        shape = x.array.shape
        if len(shape) < 4:
            return widest if len(shape) < 3 else None
        grids = [field for field in known if field.extent in (shape[2:], shape[1:3])]  # channels may be last
        if not grids or not all(field in grids or field.extent == (1, 1) for field in known):
            return None
        return replace(max(grids, key=lambda field: field.size), size=widest.size)


def field_behind(
    module: nn.Module, field: Field | None, x_shape: tuple[int, ...], out_shape: tuple[int, ...]
) -> Field | None:
    """The receptive field of a layer's output, from that of the input."""
    if field is None:
        return None
    if isinstance(module, nn.Linear) and len(out_shape) == 2:  # reads all positions flattened into its input
        return field.after(field.extent, (1, 1), (1, 1))
    if len(out_shape) < 4:  # flattened, or elementwise after that: each element still has one position
        return field
    extent = _pair(out_shape[2:])
    if hasattr(module, "kernel_size"):
        kernel, stride = _pair(module.kernel_size), _pair(module.stride)
        dilation = _pair(getattr(module, "dilation", 1))
        window = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
        return field.after(_pair(window), stride, extent, _padding(module, x_shape, window))
    if field.extent in (extent, out_shape[1:3]):
        return field
    if isinstance(module, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
        # Window i covers floor(i * in / out) to ceil((i + 1) * in / out); the widest window counts.
        axes = list(zip(field.extent, extent, strict=True))
        window = tuple(max(ceil_div((i + 1) * a, b) - i * a // b for i in range(b)) for a, b in axes)
        return field.after(_pair(window), _pair([a // b for a, b in axes]), extent)
    return None


def multiply_adds(module: nn.Module, x_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
    """The multiply-adds of a convolution, linear layer or attention; 0 for others."""
    if isinstance(module, nn.Conv2d):
        _, *taps = module.weight.array.shape  # C_in / groups, K_h, K_w
        return math.prod(out_shape) * math.prod(taps)
    if isinstance(module, nn.Linear):
        return math.prod(out_shape) * x_shape[-1]
    if isinstance(module, nn.MultiheadAttention):  # four projections; queries times keys, weights times values
        length = x_shape[1 if module.batch_first else 0]
        return math.prod(x_shape) * (4 * module.embed_dim + 2 * length)
    return 0


def _padding(module: nn.Module, x_shape: tuple[int, ...], window: Sequence[int]) -> Pair:
    """The padding of a convolution or pooling before the first row and column."""
    if hasattr(module, "border"):  # the padding depends on the size
        left, _, top, _ = module.border(x_shape)
        return top, left
    if isinstance(module.padding, str):
        return _pair([(w - 1) // 2 if module.padding == "same" else 0 for w in window])
    return _pair(module.padding)


def _pair(value: int | Sequence[int]) -> Pair:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))
