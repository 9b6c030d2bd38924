"""Convolution layers of real networks: each pass against PyTorch in the faster of its two memory formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.rivals.formats import TORCH_FORMATS, channels_last
from benchmarks.row import check_same, row
from benchmarks.timing import Timing, compare
from convcore.ops.conv.geometry import conv_geometry
from convcore.ops.conv.table import PASSES, choose
from convcore.ops.core.filters import Filters
from convcore.testing.cases import LAYER_CASES, ConvCase

CASES = LAYER_CASES
QUICK = tuple(case.name for case in LAYER_CASES)


def _torch_passes(case: ConvCase, x, weight, grad_out, memory_format) -> dict[str, Callable[[], Any]]:
    tx, tw, tg = (torch.tensor(a).to(memory_format=memory_format) for a in (x, weight, grad_out))
    settings = (list(case.stride), list(case.padding), list(case.dilation), False, [0, 0], case.groups)

    def forward():
        with torch.inference_mode():
            return torch.nn.functional.conv2d(tx, tw, None, case.stride, case.padding, case.dilation, case.groups)

    def backward(mask):
        with torch.inference_mode():
            return torch.ops.aten.convolution_backward(tg, tx, tw, None, *settings, mask)

    return {
        "forward": forward,
        "grad_input": lambda: backward([True, False, False])[0],
        "grad_weight": lambda: backward([False, True, False])[1],
    }


def _own_passes(x, weight, grad_out, geometry) -> dict[str, Callable[[], Any]]:
    x, grad_out = channels_last(x), channels_last(grad_out)
    run = {name: getattr(choose(geometry, name, "auto", x.dtype), name) for name in PASSES}
    return {
        "forward": lambda: run["forward"](x, Filters(weight), geometry),
        "grad_input": lambda: run["grad_input"](grad_out, weight, geometry),
        "grad_weight": lambda: run["grad_weight"](x, grad_out, geometry),
    }


def rows(cases: Sequence[ConvCase], rounds: int, threads: int) -> Iterator[dict]:
    """A row for each pass of each case, and one for all three passes, in which torch keeps one memory format."""
    rng = np.random.default_rng(0)
    rivals = {"torch": list(TORCH_FORMATS)}
    for case in cases:
        x = rng.standard_normal(case.x_shape, np.float32)
        weight = rng.standard_normal(case.weight_shape, np.float32)
        geometry = conv_geometry("conv2d", x, weight, **case.settings)
        grad_out = rng.standard_normal(geometry.out_shape, np.float32)
        own = _own_passes(x, weight, grad_out, geometry)
        others = {name: _torch_passes(case, x, weight, grad_out, format) for name, format in TORCH_FORMATS.items()}
        flops = 2.0 * geometry.multiply_adds
        traffic = float(x.nbytes + weight.nbytes + grad_out.nbytes)  # each pass reads two of them, writes the third
        timings: list[Timing] = []
        for work in own:
            check_same(f"conv {case.name} {work}", own[work](), others["torch NCHW"][work]().numpy())
            contestants = {"convcore": own[work], **{name: passes[work] for name, passes in others.items()}}
            timings.append(compare(contestants, rounds))
            yield row(case.name, work, timings[-1], rivals, flops=flops, traffic=traffic)
        yield row(case.name, "all passes", Timing.total(timings), rivals, flops=3 * flops, traffic=3 * traffic)
