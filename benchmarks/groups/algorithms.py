"""Does "auto" choose well? Convolutions around each threshold of the selection, by every algorithm that can do them."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.rivals.formats import channels_last
from benchmarks.row import OWN, row
from benchmarks.timing import Timing, compare
from convcore.ops.conv.geometry import conv_geometry
from convcore.ops.conv.table import PASSES, choose
from convcore.ops.core.filters import Filters
from convcore.testing.cases import ConvCase

NEVER_CHOSEN = "reference"  # the definition: accepts everything, comes last
HOPELESS = 3  # an algorithm whose best first try took this many times as long as the fastest is not measured
FIRST_TRIES = 3
SECONDS, PAUSE = 0.01, 0.002  # of a contestant's turn; a short pause is enough where all threads are one library's


def _square(name: str, n: int, c_in: int, size: int, c_out: int, kernel=3, **settings) -> ConvCase:
    padding = kernel // 2, kernel // 2
    return ConvCase(name, n, c_in, size, size, c_out, (kernel, kernel), padding=padding, **settings)


CASES = (
    # Winograd: from how many channels, and from how many tiles on.
    *(_square(f"channels-{c}", 2, c, 28, c) for c in (4, 8, 12, 16, 24)),
    *(_square(f"channels-{c_in}_to_{c_out}", 2, c_in, 28, c_out) for c_in, c_out in ((64, 8), (8, 64), (64, 12))),
    *(
        _square(f"image-{n}x{c}x{size}x{size}", n, c, size, c)
        for n, c in ((1, 16), (1, 64), (1, 256), (8, 64), (8, 256))
        for size in (2, 3, 4, 6, 8, 12)
    ),
    _square("image-8x64x1x1", 8, 64, 1, 64),
    _square("image-8x64x5x5", 8, 64, 5, 64),
    ConvCase("image-8x64x1x48", 8, 64, 1, 48, 64, (3, 3), padding=(1, 1)),
    # The gradient of the input of first layers: up to how many channels.
    *(_square(f"first_layer-{c}", 2, c, 56, 32) for c in (1, 3, 4, 6, 8)),
    *(_square(f"first_layer-{c}-7x7-stride", 2, c, 112, 32, kernel=7, stride=(2, 2)) for c in (3, 4, 6)),
    # Groups: of how many channels; also a single group with few results.
    *(_square(f"groups_of-{c}", 2, 64, 28, 64, groups=64 // c) for c in (2, 4, 8, 16)),
    *(_square(f"groups_of-{c}-stride", 2, 64, 28, 64, groups=64 // c, stride=(2, 2)) for c in (4, 8)),
    *(_square(f"groups_of-2_to_{c}", 2, 32, 28, 16 * c, groups=16) for c in (4, 8)),
    *(_square(f"one_group-{c}_filters", 2, 32, 28, c) for c in (1, 2, 4)),
    # Never measured against each other otherwise.
    _square("depthwise", 2, 64, 28, 64, groups=64),
    _square("depthwise-tiny", 1, 16, 4, 16, groups=16),
    _square("pointwise", 2, 64, 28, 64, kernel=1),
    _square("pointwise-tiny", 1, 16, 4, 16, kernel=1),
)
QUICK = ()


def contestants(case: ConvCase) -> Iterator[tuple[str, str, dict[str, Callable[[], Any]]]]:
    """For each pass: the name, the algorithm that "auto" chooses, and a call of every algorithm that can compute it."""
    rng = np.random.default_rng(0)
    x = channels_last(rng.standard_normal(case.x_shape, np.float32))
    weight = rng.standard_normal(case.weight_shape, np.float32)
    geometry = conv_geometry("conv2d", x, weight, **case.settings)
    grad_out = channels_last(rng.standard_normal(geometry.out_shape, np.float32))
    operands = {"forward": (x, Filters(weight)), "grad_input": (grad_out, weight), "grad_weight": (x, grad_out)}
    for pass_name, algorithms in PASSES.items():
        able = [a for a in algorithms if a.refuses(geometry, x.dtype) is None and a.name != NEVER_CHOSEN]
        chosen = choose(geometry, pass_name, "auto", x.dtype).name
        given = operands[pass_name]
        yield pass_name, chosen, {a.name: functools.partial(getattr(a, pass_name), *given, geometry) for a in able}


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _promising(calls: dict[str, Callable[[], Any]], chosen: str) -> dict[str, Callable[[], Any]]:
    """The calls worth measuring: the chosen algorithm, and those less than `HOPELESS` times as slow as the fastest."""
    first = {}
    for name, call in calls.items():
        call()  # compiles
        first[name] = min(_seconds(call) for _ in range(FIRST_TRIES))
    limit = HOPELESS * min(first.values())
    return {name: call for name, call in calls.items() if name == chosen or first[name] <= limit}


def rows(cases: Sequence[ConvCase], rounds: int, threads: int) -> Iterator[dict]:
    """A row for each pass of each case: the algorithm chosen, its time, and the other algorithms as rivals."""
    for case in cases:
        for pass_name, chosen, calls in contestants(case):
            values = compare(_promising(calls, chosen), rounds, SECONDS, PAUSE).values
            timing = Timing({OWN: values.pop(chosen), **values})
            yield {**row(case.name, pass_name, timing, {name: [name] for name in values}), "chosen": chosen}
