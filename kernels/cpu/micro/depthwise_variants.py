"""The variants of the depthwise tile that `depthwise_tile.py` selects from, as LLVM IR.

A *kind* of tile serves one size of groups, sums over the channels of a group or a sum for each, and perhaps rows that
share a row of taps with their neighbours. It has a *shape* for each number of lines and rows; all sums of a shape are
in registers.

Lane k of a source vector must hold channel c of the group of output channel k. With groups of one channel that is a
load. Groups that divide a vector are loaded and shuffled, differently for each c; if groups fill whole vectors, one
value is loaded into all lanes. Either is done once for all taps that read the pixel.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from kernels.cpu.vector.emit import Lanes, loop
from kernels.cpu.vector.target import UNIT

ROWS = 12  # enough sums under way to hide the latency of an addition
GROUPED_ROWS = 8  # the same for groups, whose shapes have more code: fewer, to compile less
FEWEST_NEIGHBOURS = 4  # rows that are worth a shape of their own for a row of taps
WIDE = 0  # the size of groups that fill whole vectors

_INT = ir.IntType(64)


@dataclass(frozen=True)
class Shape:
    """A shape of a tile.

    Attributes:
        lines, rows: how many the tile has.
        taps, step: where rows share a row of taps, how many, and how many of them a row is wide.
        channels: how many channels of a group have sums of their own; 0 where a sum runs over them.
    """

    lines: int
    rows: int
    taps: int = 0
    step: int = 0
    channels: int = 0


@dataclass(frozen=True)
class Kind:
    """A kind of tile; each is a function of its own.

    Attributes:
        name: of the function.
        shapes: what the function chooses from.
        group: channels of a group; `WIDE` if they fill whole vectors.
        masked: whether only the first `channels` lanes of one vector are computed.
    """

    name: str
    shapes: tuple[Shape, ...]
    group: int = 1
    masked: bool = False

    @property
    def most_rows(self) -> int:
        """How many rows a tile takes at most."""
        return max(shape.rows for shape in self.shapes)

    def most_lines(self, builder, rows):
        """How many lines a tile takes at most."""
        most = _INT(1)
        for lines in sorted({shape.lines for shape in self.shapes}):
            widest = max(shape.rows for shape in self.shapes if shape.lines == lines)
            most = builder.select(builder.icmp_signed("<=", rows, _INT(widest)), _INT(lines), most)
        return most

    def fits(self, builder, value):
        """Whether the arguments have this kind's row of taps."""
        shape = self.shapes[0]
        apart = builder.icmp_signed("==", value["a_row"], builder.mul(value["a_j"], _INT(shape.step)))
        taps = builder.icmp_signed("==", value["n_j"], _INT(shape.taps))
        enough = builder.icmp_signed(">=", value["rows"], _INT(shape.rows))
        return builder.and_(builder.and_(apart, taps), enough)


@dataclass(frozen=True)
class Family:
    """The kinds of tiles for one size of groups, for sums over its channels or for each of them."""

    group: int
    separate: bool
    any_steps: Kind
    masked: Kind | None
    neighbours: tuple[Kind, ...]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return (self.any_steps, *(() if self.masked is None else (self.masked,)), *self.neighbours)

    def takes(self, builder, value, lanes: int):
        """Whether this family serves the arguments."""
        if self.group == WIDE:
            group = builder.icmp_signed(">=", value["group"], _INT(lanes))
        else:
            group = builder.icmp_signed("==", value["group"], _INT(self.group))
        summed = builder.icmp_signed("==", value["c_c"], _INT(0))
        return builder.and_(group, builder.not_(summed) if self.separate else summed)


def _shapes(lines: dict[int, int], channels: int = 0) -> tuple[Shape, ...]:
    """The shapes with these numbers of lines (the keys) and up to these numbers of rows."""
    return tuple(Shape(n, m, channels=channels) for n, most in lines.items() for m in range(1, most + 1))


def _neighbours(taps: int, step: int, group: int) -> Kind:
    # The filters of a row of taps, the accumulators and one vector of the source are in registers.
    most = min(ROWS if group == 1 else GROUPED_ROWS, UNIT.registers - 1 - taps)
    shapes = (Shape(1, rows, taps, step) for rows in range(FEWEST_NEIGHBOURS, most + 1))
    return Kind(f"{taps}_taps_step_{step}_group_{group}", tuple(shapes), group)


# Forward passes and gradients of the input: rows lie one or two taps apart. Fewer shapes for groups, to compile less.
_ROWS_OF_TAPS = ((2, 1), (3, 1), (3, 2), (5, 1), (5, 2), (4, 1), (7, 1))
_WIDE_ROWS_OF_TAPS = _ROWS_OF_TAPS[:5]
_SHUFFLED_ROWS_OF_TAPS = _ROWS_OF_TAPS[:3]


def _family(group: int, separate: bool, element) -> Family:
    lanes = Lanes.count(element)
    name = f"group_{group}" + ("_separate" if separate else "")
    masked = None
    if group == 1:
        shapes, taps = _shapes({1: ROWS, 2: 7, 3: 4}), _ROWS_OF_TAPS
        masked = Kind(f"{name}_masked", shapes, masked=True)
    elif not separate:
        shapes, taps = _shapes({1: ROWS // 2}), _WIDE_ROWS_OF_TAPS if group == WIDE else _SHUFFLED_ROWS_OF_TAPS
    elif group == WIDE:
        shapes, taps = _shapes({1: 1}, min(lanes, 8)), ()
    else:
        shapes, taps = _shapes({1: ROWS // group, 2: ROWS // 2 // group}, group), ()
    if not isinstance(element, ir.FloatType):  # for double precision only any steps, to compile less
        taps = ()
    neighbours = tuple(_neighbours(count, step, group) for count, step in taps)
    return Family(group, separate, Kind(name, shapes, group), masked, neighbours)


@functools.cache
def families(element) -> tuple[Family, ...]:
    """All families of an element type; the first is for groups of one channel."""
    sizes = [1]
    while sizes[-1] * 2 < Lanes.count(element):
        sizes.append(sizes[-1] * 2)
    pairs = [(size, separate) for size in (*sizes, WIDE) for separate in (False, True) if (size, separate) != (1, True)]
    return tuple(_family(size, separate, element) for size, separate in pairs)


def _emit_accumulators(lanes: Lanes, value: dict[str, Any], shape: Shape):
    """Emit the beginning of a tile; return its accumulators (stack slots that become registers) and its end."""
    builder = lanes.builder
    places = {}
    for n in range(shape.lines):
        line = lanes.at(value["c"], n, value["c_line"])
        for m in range(shape.rows):
            row = lanes.at(line, m, value["c_row"])
            for c in range(max(shape.channels, 1)):
                places[n, m, c] = lanes.at(row, c, value["c_c"])
    slots = {key: cgutils.alloca_once(builder, lanes.vector) for key in places}
    with builder.if_else(value["accumulate"]) as (resuming, beginning):
        with resuming:
            for key, slot in slots.items():
                builder.store(lanes.load(places[key]), slot)
        with beginning:
            first = lanes.load(value["start"])
            for slot in slots.values():
                builder.store(first, slot)

    def finish():
        for key, slot in slots.items():
            lanes.store(builder.load(slot, typ=lanes.vector), places[key])

    return slots, finish


def _emit_add(lanes: Lanes, a, b, slot) -> None:
    total = lanes.builder.load(slot, typ=lanes.vector)
    lanes.builder.store(lanes.fma(a, b, total), slot)


def _source(lanes: Lanes, group: int, pointer, c):
    """The vector whose lane k is channel c of the group of lane k; see the top of this file."""
    if group == WIDE:
        return lanes.splat(lanes.builder.load(lanes.at(pointer, c), typ=lanes.element))
    value = lanes.load(pointer)
    return value if group == 1 else lanes.shuffle(value, [k // group * group + c for k in range(lanes.lanes)])


def _emit_for_channels(lanes: Lanes, value: dict[str, Any], group: int, work: Callable[[Any], None]) -> None:
    """Emit `work` for each channel of a group."""
    if group == WIDE:
        with loop(lanes.builder, value["group"]) as c:
            work(c)
    else:
        for c in range(group):
            if c > 0:  # no instruction, but LLVM then loads a source again instead of keeping all of them
                lanes.builder.fence("acq_rel", "singlethread")
            work(c)


def _emit_any_steps(lanes: Lanes, value: dict[str, Any], shape: Shape, group: int) -> None:
    """Emit a tile for any steps (i, j): one vector of B for all rows."""
    builder = lanes.builder
    slots, finish = _emit_accumulators(lanes, value, shape)

    def rows(a_j):
        for n in range(shape.lines):
            a = lanes.at(a_j, n, value["a_line"])
            for m in range(shape.rows):
                yield n, m, a
                a = lanes.at(a, value["a_row"])

    with loop(builder, value["n_i"]) as i:
        a_i, b_i = lanes.at(value["a"], i, value["a_i"]), lanes.at(value["b"], i, value["b_i"])
        with loop(builder, value["n_j"]) as j:
            a_j, b_j = lanes.at(a_i, j, value["a_j"]), lanes.at(b_i, j, value["b_j"])

            def add_channel(c):
                b = lanes.load(lanes.at(b_j, c, value["b_c"]))
                for n, m, a in rows(a_j):
                    _emit_add(lanes, _source(lanes, group, a, c), b, slots[n, m, 0])

            if shape.channels == 0:
                _emit_for_channels(lanes, value, group, add_channel)
            else:
                b = lanes.load(b_j)
                for n, m, a in rows(a_j):
                    for c in range(shape.channels):
                        _emit_add(lanes, _source(lanes, group, a, c), b, slots[n, m, c])
    finish()


def _emit_neighbours(lanes: Lanes, value: dict[str, Any], shape: Shape, group: int) -> None:
    """Emit a tile whose rows are `shape.step` taps apart: what one row reads with a tap, another reads with another."""
    slots, finish = _emit_accumulators(lanes, value, shape)
    with loop(lanes.builder, value["n_i"]) as i:
        a_i, b_i = lanes.at(value["a"], i, value["a_i"]), lanes.at(value["b"], i, value["b_i"])

        def add_channel(c):
            b_c = lanes.at(b_i, c, value["b_c"])
            b = [lanes.load(lanes.at(b_c, t, value["b_j"])) for t in range(shape.taps)]
            a = a_i
            for place in range((shape.rows - 1) * shape.step + shape.taps):
                readers = [(m, place - m * shape.step) for m in range(shape.rows)]
                readers = [(m, t) for m, t in readers if 0 <= t < shape.taps]
                if readers:
                    source = _source(lanes, group, a, c)
                    for m, t in readers:
                        _emit_add(lanes, source, b[t], slots[0, m, 0])
                a = lanes.at(a, value["a_j"])

        _emit_for_channels(lanes, value, group, add_channel)
    finish()


def _emit_shape(lanes: Lanes, value: dict[str, Any], shape: Shape, group: int) -> None:
    (_emit_neighbours if shape.taps else _emit_any_steps)(lanes, value, shape, group)


def emit_tile(builder, element, value: dict[str, Any], kind: Kind, lines, rows) -> None:
    """Emit the choice of a shape."""
    lanes = Lanes(builder, element, value["channels"] if kind.masked else None)
    done = builder.append_basic_block("tile_done")
    switch = builder.switch(builder.add(builder.mul(lines, _INT(ROWS + 1)), rows), done)
    for shape in kind.shapes:
        block = builder.append_basic_block("tile")
        switch.add_case(_INT(shape.lines * (ROWS + 1) + shape.rows), block)
        builder.position_at_end(block)
        if kind.group == WIDE and shape.channels > 0:
            with loop(builder, builder.sdiv(value["group"], _INT(shape.channels))) as part:
                first = builder.mul(part, _INT(shape.channels))
                moved = {"a": lanes.at(value["a"], first), "c": lanes.at(value["c"], first, value["c_c"])}
                _emit_shape(lanes, {**value, **moved}, shape, kind.group)
        else:
            _emit_shape(lanes, value, shape, kind.group)
        builder.branch(done)
    builder.position_at_end(done)
