"""Convolution layers of real networks: each pass against PyTorch in the faster of its two memory formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.timing import compare
from convcore.ops.algorithms import select
from convcore.ops.conv_passes import PASSES
from convcore.ops.geometry import conv2d_geometry
from convcore.ops.layout import nhwc
from convcore.testing.cases import LAYER_CASES, ConvCase

FORMATS = {"torch NCHW": torch.contiguous_format, "torch channels_last": torch.channels_last}


def _torch_passes(case: ConvCase, x, weight, grad_out, memory_format) -> dict[str, Callable[[], Any]]:
    tensors = [torch.tensor(a).to(memory_format=memory_format) for a in (x, weight, grad_out)]
    tx, tw, tg = tensors
    padding = list(case.padding)
    settings = (list(case.stride), padding, list(case.dilation), False, [0, 0], case.groups)

    def forward():
        with torch.inference_mode():
            return torch.nn.functional.conv2d(tx, tw, None, case.stride, case.padding, case.dilation, case.groups)

    def backward(mask):
        with torch.inference_mode():
            return torch.ops.aten.convolution_backward(tg, tx, tw, None, *settings, mask)

    return {
        "forward": forward,
        "grad_input": lambda: backward([True, False, False]),
        "grad_weight": lambda: backward([False, True, False]),
    }


def _own_passes(x, weight, grad_out, geometry) -> dict[str, Callable[[], Any]]:
    # Activations between layers are channels-last; that is how they arrive here.
    x, grad_out = (nhwc(a).transpose(0, 3, 1, 2) for a in (x, grad_out))
    run = {name: select("conv2d", records, "auto", geometry, x.dtype).run for name, records in PASSES.items()}
    return {
        "forward": lambda: run["forward"](x, weight, None, geometry),
        "grad_input": lambda: run["grad_input"](grad_out, weight, geometry),
        "grad_weight": lambda: run["grad_weight"](x, grad_out, geometry),
    }


def rows(only: str = "", rounds: int = 7, cases: tuple[ConvCase, ...] = LAYER_CASES) -> Iterator[dict]:
    """One row per case and pass: seconds and GFLOP/s of both sides, and their ratio with its quartiles."""
    rng = np.random.default_rng(0)
    for case in cases:
        if only not in case.name:
            continue
        x = rng.standard_normal(case.x_shape, np.float32)
        weight = rng.standard_normal(case.weight_shape, np.float32)
        geometry = conv2d_geometry(x, weight, **case.settings)
        grad_out = rng.standard_normal(geometry.out_shape, np.float32)
        own = _own_passes(x, weight, grad_out, geometry)
        others = {name: _torch_passes(case, x, weight, grad_out, format) for name, format in FORMATS.items()}
        for pass_name in own:
            contestants = {"convcore": own[pass_name], **{name: passes[pass_name] for name, passes in others.items()}}
            timing = compare(contestants, rounds)
            opponent = timing.fastest(*FORMATS)
            ratio, low, high = timing.ratio(opponent, "convcore")
            flops = 2 * geometry.multiply_adds
            yield {
                "case": case.name,
                "pass": pass_name,
                "convcore_seconds": timing.median("convcore"),
                "torch_seconds": timing.median(opponent),
                "torch_format": opponent.removeprefix("torch "),
                "convcore_gflops": flops / timing.median("convcore") / 1e9,
                "torch_gflops": flops / timing.median(opponent) / 1e9,
                "ratio": ratio,
                "ratio_low": low,
                "ratio_high": high,
            }
