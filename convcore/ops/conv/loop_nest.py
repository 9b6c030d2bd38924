"""The loops of the direct, grouped and depthwise kernels: which destinations read which sources, axis by axis.

The forward pass and the gradient of the input are the same loops over *destinations* that read *sources*: outputs that
read the input, or inputs that receive from grad_out. Kernels get them as tables of integers; here is what their columns
are called, in the order of `kernels/cpu/conv/loop_table.py`.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from convcore.ops.conv.geometry import ONE_PLANE, Axis, ConvGeometry, once_per_geometry
from convcore.ops.core.budget import ceil_div


class Phase(NamedTuple):
    """A row of a table of phases: destinations, `dst_step` apart, that read through the same taps."""

    dst: int  # the first destination
    count: int  # how many
    first_tap: int  # in the order of phases
    taps: int  # how many


@dataclass(frozen=True)
class AxisLoop:
    """The loop over one dimension.

    Attributes:
        phases: (n_phases, 4) integers, a `Phase` in each row.
        offsets: for each tap in phase order, the source index that the first destination reads.
        taps: for each tap in phase order, its index in the filter.
        src_step, dst_step: how far source and destination advance from one destination of a phase to the next.
    """

    phases: np.ndarray
    offsets: np.ndarray
    taps: np.ndarray
    src_step: int
    dst_step: int

    @functools.cached_property
    def rows(self) -> list[Phase]:
        """The rows of the table of phases."""
        return [Phase(*row) for row in self.phases.tolist()]

    @property
    def taps_by_phase(self) -> list[np.ndarray]:
        """The taps of each phase."""
        return [self.taps[p.first_tap : p.first_tap + p.taps] for p in self.rows]

    @functools.cached_property
    def consecutive(self) -> bool:
        """Whether the offsets within each phase are consecutive, so that the taps of a filter row can be merged."""
        return all(np.all(np.diff(self.offsets[p.first_tap : p.first_tap + p.taps]) == 1) for p in self.rows)

    @functools.cached_property
    def most(self) -> int:
        """The most destinations of a phase."""
        return max(p.count for p in self.rows)


def forward_loop(axis: Axis) -> AxisLoop:
    """destination = output: one phase with all taps, in the order of the source."""
    taps = np.arange(axis.kernel)
    phases = np.array([Phase(dst=0, count=axis.size_out, first_tap=0, taps=axis.kernel)])
    return AxisLoop(phases, taps * axis.dilation - axis.pad_before, taps, axis.stride, 1)


def grad_input_loop(axis: Axis) -> AxisLoop:
    """destination = input: one phase per remainder of (input index + pad_before) modulo the stride.

    Input i receives from output o through tap t when i + pad = o * stride + t * dilation. Phase p has the inputs
    i = start + j * stride with (i + pad) % stride == p, hence the taps with (t * dilation) % stride == p, and
    o = j + (start + pad - t * dilation) / stride. Falling t gives rising o. Phases without taps, of which a large
    stride has any number, are left out: their inputs were stepped over.
    """
    by_phase: dict[int, list[int]] = {}
    for t in reversed(range(axis.kernel)):
        by_phase.setdefault(t * axis.dilation % axis.stride, []).append(t)
    phases, offsets, taps = [], [], []
    for p, reaching in sorted(by_phase.items()):
        start = (p - axis.pad_before) % axis.stride
        count = ceil_div(axis.size_in - start, axis.stride)
        if count <= 0:
            continue
        phases.append(Phase(start, count, len(taps), len(reaching)))
        offsets += [(start + axis.pad_before - t * axis.dilation) // axis.stride for t in reaching]
        taps += reaching
    return AxisLoop(
        np.array(phases, np.int64).reshape(-1, 4), np.array(offsets, np.int64), np.array(taps, np.int64),
        1, axis.stride,
    )  # fmt: skip


@dataclass(frozen=True)
class LoopNest:
    """The loops over a volume; an image is a volume of one plane."""

    k_h: int
    depth: AxisLoop
    height: AxisLoop
    width: AxisLoop

    @functools.cached_property
    def steps(self) -> np.ndarray:
        """[[src_step, dst_step] of depth, height, width]."""
        return np.array([[loop.src_step, loop.dst_step] for loop in (self.depth, self.height, self.width)])

    @functools.cached_property
    def destinations(self) -> int:
        """How many are written; those of a gradient of the input that the stride steps over are not."""
        return math.prod([sum(p.count for p in loop.rows) for loop in (self.depth, self.height, self.width)])

    @functools.cached_property
    def reaches_nothing(self) -> bool:
        """Whether there are no taps: the stride steps over every pixel, and only padding was read."""
        return 0 in (self.depth.taps.size, self.height.taps.size, self.width.taps.size)

    @functools.cached_property
    def taps(self) -> tuple[np.ndarray, np.ndarray]:
        """The filter's taps (row, column) in the order of phases that the direct kernel expects.

        Rows are counted over the planes of the filter: row r of plane q has the number q * k_h + r.
        """
        rows, columns = [], []
        phases = self.depth.taps_by_phase, self.height.taps_by_phase, self.width.taps_by_phase
        for taps_of_phase in itertools.product(*phases):
            for q, r, s in itertools.product(*taps_of_phase):
                rows.append(q * self.k_h + r)
                columns.append(s)
        return np.array(rows, np.int64), np.array(columns, np.int64)


@once_per_geometry
def forward_nest(geometry: ConvGeometry) -> LoopNest:
    """The loops of the forward pass over depth, height and width."""
    axes = geometry.depth or ONE_PLANE, geometry.height, geometry.width
    return LoopNest(geometry.k_h, *[forward_loop(axis) for axis in axes])


@once_per_geometry
def grad_input_nest(geometry: ConvGeometry) -> LoopNest:
    """The loops of the gradient of the input over depth, height and width."""
    axes = geometry.depth or ONE_PLANE, geometry.height, geometry.width
    return LoopNest(geometry.k_h, *[grad_input_loop(axis) for axis in axes])


def tap_step(axis: Axis, to_input: bool) -> int:
    """How far the source advances from tap to tap of a phase; with `to_input` for the gradient of the input.

    There the taps of one phase lie stride / gcd(stride, dilation) apart in the filter, hence this far in grad_out.
    """
    return axis.dilation // (math.gcd(axis.stride, axis.dilation) if to_input else 1)


class Span(NamedTuple):
    """A row of a table of spans: destinations, `dst_step` apart, that read the same taps, all inside of the source."""

    dst: int  # the first destination
    count: int  # how many destinations
    first_tap: int
    taps: int  # how many
    src: int  # the source index that the first destination reads with the first tap


@dataclass(frozen=True)
class SpanLoop:
    """The loop over one dimension, its phases cut at the borders of the source.

    Attributes:
        spans: (n_spans, 5) integers, a `Span` in each row.
        taps: for each tap in the order of the spans, its index in the filter.
        src_step, dst_step: how far source and destination advance within a span.
        tap_step: how far the source advances from tap to tap.
    """

    spans: np.ndarray
    taps: np.ndarray
    src_step: int
    dst_step: int
    tap_step: int


@functools.lru_cache(maxsize=4096)
def span_loop(axis: Axis, to_input: bool) -> SpanLoop:
    """The loop of the forward pass, or with `to_input` that of the gradient of the input."""
    loop, size_src = (grad_input_loop(axis), axis.size_out) if to_input else (forward_loop(axis), axis.size_in)
    spans: list[Span] = []
    for phase in loop.rows:
        offsets = loop.offsets[phase.first_tap : phase.first_tap + phase.taps]
        reading = None
        for j in range(phase.count):
            # Offsets rise, so the taps inside the source are a range.
            first, end = np.searchsorted(offsets, (-j * loop.src_step, size_src - j * loop.src_step)).tolist()
            if (first, end) == reading:
                spans[-1] = spans[-1]._replace(count=spans[-1].count + 1)
            else:
                reading = first, end
                source = int(offsets[first]) + j * loop.src_step if first < end else 0
                spans.append(Span(phase.dst + j * loop.dst_step, 1, phase.first_tap + first, end - first, source))
    step = tap_step(axis, to_input)
    return SpanLoop(np.array(spans, np.int64), loop.taps, loop.src_step, loop.dst_step, step)


@functools.lru_cache(maxsize=4096)
def bands(axis: Axis, to_input: bool, most_rows: int) -> np.ndarray:
    """The spans of the height cut into bands of at most `most_rows` destinations, in rising order."""
    loop = span_loop(axis, to_input)
    cut = []
    for span in [Span(*row) for row in loop.spans.tolist()]:
        cuts = ceil_div(span.count, most_rows)
        for begin, end in ((i * span.count // cuts, (i + 1) * span.count // cuts) for i in range(cuts)):
            dst, src = span.dst + begin * loop.dst_step, span.src + begin * loop.src_step
            cut.append(Span(dst, end - begin, span.first_tap, span.taps, src))
    return np.array(sorted(cut), np.int64)
