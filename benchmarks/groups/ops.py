"""The operations around convolutions, forward and backward, and optimiser steps: they are limited by memory.

`traffic` is what an operation must move if nothing stays in a cache: each tensor counts once for every time it is
read or written, in units of the input's size. The tables' shares of the copy bandwidth are computed from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import convcore
from benchmarks.rivals.formats import TORCH_FORMATS, channels_last
from benchmarks.row import check_same, row
from benchmarks.timing import compare


@dataclass(frozen=True)
class LayerCase:
    """A layer made from either library's `nn`, with the traffic and flops of the forward pass and of both passes."""

    name: str
    shape: tuple[int, ...]
    build: Callable[[Any], Any]
    traffic: tuple[float, float]
    flops: tuple[float, float] | None = None
    classes: int = 0  # more than 0: the layer is a loss and takes labels


@dataclass(frozen=True)
class OptimiserCase:
    """An optimiser by name with its settings; traffic per parameter."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    optimiser: str
    settings: tuple[tuple[str, Any], ...]
    traffic: float


IMAGES = (8, 64, 112, 112)
LINEAR_FLOPS = 2.0 * 256 * 3136 * 512
WEIGHTS = ((512, 512, 3, 3), (512, 256, 3, 3), (1000, 512), (512,))

SMALL = (64, 64, 14, 14)  # 3 MB: within the last cache


def _residual(nn: Any) -> Any:
    """relu(x + y); y is a parameter of the input's shape, channels-last in memory as the output of a convolution."""
    library = convcore if nn is convcore.nn else torch
    n, c, h, w = IMAGES

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.other = nn.Parameter(library.ones((n, h, w, c)).permute(0, 3, 1, 2))

        def forward(self, x):
            return nn.functional.relu(x + self.other)

    return Residual()


CASES: tuple[LayerCase | OptimiserCase, ...] = (
    LayerCase("relu", IMAGES, lambda nn: nn.ReLU(), (2, 5)),
    LayerCase("relu-small", SMALL, lambda nn: nn.ReLU(), (2, 5)),
    # Add, then rectify: 3 and 2. Backward: the mask, 3; both operands get the same gradient.
    LayerCase("residual", IMAGES, _residual, (5, 8)),
    LayerCase("sigmoid", IMAGES, lambda nn: nn.Sigmoid(), (2, 5)),
    LayerCase("silu", IMAGES, lambda nn: nn.SiLU(), (2, 5)),
    LayerCase("gelu", IMAGES, lambda nn: nn.GELU(), (2, 5)),
    LayerCase("hardswish", IMAGES, lambda nn: nn.Hardswish(), (2, 5)),
    LayerCase("max_pool2d", IMAGES, lambda nn: nn.MaxPool2d(2), (1.25, 2.5)),
    LayerCase("max_pool2d-overlapping", IMAGES, lambda nn: nn.MaxPool2d(3, 2, 1), (1.25, 2.5)),
    LayerCase("avg_pool2d", IMAGES, lambda nn: nn.AvgPool2d(2), (1.25, 2.5)),
    LayerCase("max_pool2d-small", SMALL, lambda nn: nn.MaxPool2d(2), (1.25, 2.5)),
    LayerCase("avg_pool2d-small", SMALL, lambda nn: nn.AvgPool2d(2), (1.25, 2.5)),
    LayerCase("adaptive_avg_pool2d", (64, 256, 13, 13), lambda nn: nn.AdaptiveAvgPool2d(6), (1.2, 2.4)),
    LayerCase("global_avg_pool2d", (64, 512, 14, 14), lambda nn: nn.AdaptiveAvgPool2d(1), (1, 2)),
    # Forward: once for the statistics, once to normalise, one write. Backward: twice x and grad_out, one write.
    LayerCase("batch_norm-train", IMAGES, lambda nn: nn.BatchNorm2d(64), (3, 8)),
    LayerCase("batch_norm-train-small", SMALL, lambda nn: nn.BatchNorm2d(64), (3, 8)),
    # In eval mode the backward pass still sums the gradients of weight and bias, while it writes that of x.
    LayerCase("batch_norm-eval", IMAGES, lambda nn: nn.BatchNorm2d(64).eval(), (2, 5)),
    # Input 256x3136, weight 512x3136, output 256x512, in units of the input.
    LayerCase(
        "linear", (256, 3136), lambda nn: nn.Linear(3136, 512), (3.16, 9.5), flops=(LINEAR_FLOPS, 3 * LINEAR_FLOPS)
    ),
    LayerCase("softmax", (4096, 1000), lambda nn: nn.Softmax(1), (2, 5)),
    LayerCase("cross_entropy", (4096, 1000), lambda nn: nn.CrossEntropyLoss(), (1, 3), classes=1000),
    OptimiserCase("sgd", WEIGHTS, "SGD", (("lr", 1e-4),), 3),
    OptimiserCase("sgd-momentum", WEIGHTS, "SGD", (("lr", 1e-4), ("momentum", 0.9)), 5),
    OptimiserCase("adam", WEIGHTS, "Adam", (("lr", 1e-4),), 7),
    OptimiserCase("adam-small", ((64, 64, 3, 3), (64,), (64,)) * 8, "Adam", (("lr", 1e-4),), 7),
    OptimiserCase("adamw", WEIGHTS, "AdamW", (("lr", 1e-4),), 7),
)
QUICK = ("relu", "max_pool2d", "batch_norm-train", "linear", "cross_entropy", "adam")


class _Layer:
    """One side of a LayerCase: the layer, its input and the gradient of its output."""

    def __init__(self, module, x, labels, grad_out):
        self.module, self.x, self.grad_out = module, x, grad_out
        self.inputs = (x,) if labels is None else (x, labels)
        self.leaves = [x, *(module.parameters() if hasattr(module, "parameters") else ())]

    def forward(self):
        return self.module(*self.inputs)

    def forward_backward(self):
        for leaf in self.leaves:
            leaf.grad = None
        self.module(*self.inputs).backward(self.grad_out)
        return self.x.grad


def _layer_rows(case: LayerCase, rounds: int) -> Iterator[dict]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(case.shape, np.float32)
    labels = rng.integers(0, case.classes, case.shape[0]) if case.classes else None
    own_module, torch_module = case.build(convcore.nn), case.build(torch.nn)
    torch_module.load_state_dict({k: torch.tensor(np.array(v.numpy())) for k, v in own_module.state_dict().items()})

    torch_labels = None if labels is None else torch.tensor(labels)
    out = torch_module(torch.tensor(x), *(() if torch_labels is None else (torch_labels,)))
    grad_out = rng.standard_normal(tuple(out.shape), np.float32) if out.ndim else np.float32(0.7)

    def torch_side(name, memory_format):
        tensors = [torch.tensor(a) for a in (x, grad_out)]
        module = torch_module
        if name != "torch":
            tensors = [t.to(memory_format=memory_format) for t in tensors]
            module = case.build(torch.nn).to(memory_format=memory_format)
            module.load_state_dict(torch_module.state_dict())
        return _Layer(module, tensors[0].requires_grad_(), torch_labels, tensors[1])

    formats = TORCH_FORMATS if x.ndim == 4 else {"torch": None}
    own_tensors = [convcore.from_numpy(channels_last(np.asarray(a))) for a in (x, grad_out)]
    own_labels = None if labels is None else convcore.from_numpy(labels)
    own = _Layer(own_module, own_tensors[0].requires_grad_(), own_labels, own_tensors[1])
    others = {name: torch_side(name, memory_format) for name, memory_format in formats.items()}

    def own_forward():
        with convcore.no_grad():
            return own.forward()

    def torch_forward(side):
        def forward():
            with torch.inference_mode():
                return side.forward()

        return forward

    contestants: dict[str, dict[str, Callable[[], Any]]] = {
        "forward": {"convcore": own_forward, **{name: torch_forward(side) for name, side in others.items()}},
        "forward + backward": {
            "convcore": own.forward_backward,
            **{name: side.forward_backward for name, side in others.items()},
        },
    }
    for index, (work, functions) in enumerate(contestants.items()):
        own_result, torch_result = functions["convcore"](), functions[next(iter(others))]()
        check_same(f"ops {case.name} {work}", own_result.numpy(), torch_result.detach().numpy())
        timing = compare(functions, rounds)
        flops = case.flops[index] if case.flops else None
        yield row(case.name, work, timing, {"torch": list(others)}, flops=flops, traffic=case.traffic[index] * x.nbytes)


def _optimiser_rows(case: OptimiserCase, rounds: int) -> Iterator[dict]:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, *shape), np.float32) for shape in case.shapes]

    def step(library, **settings):
        parameters = [library.nn.Parameter(library.from_numpy(values.copy())) for values, _ in arrays]
        for parameter, (_, gradient) in zip(parameters, arrays, strict=True):
            parameter.grad = library.from_numpy(gradient.copy())
        return getattr(library.optim, case.optimiser)(parameters, **dict(case.settings), **settings).step

    contestants = {
        "convcore": step(convcore),
        "torch": step(torch),
        "torch foreach": step(torch, foreach=True),
        "torch fused": step(torch, fused=True),
    }
    timing = compare(contestants, rounds)
    count = sum(values[0].size for values in arrays)
    variants = ["torch", "torch foreach", "torch fused"]
    yield row(case.name, "step", timing, {"torch": variants}, traffic=case.traffic * 4 * count)


def rows(cases: Sequence[LayerCase | OptimiserCase], rounds: int, threads: int) -> Iterator[dict]:
    """Two rows per layer, "forward" without and "forward + backward" with autograd, and one per optimiser."""
    for case in cases:
        yield from _layer_rows(case, rounds) if isinstance(case, LayerCase) else _optimiser_rows(case, rounds)
