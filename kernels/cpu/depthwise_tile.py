"""The micro-kernel of depthwise convolution: sums of products of vectors, channel by channel.

    C[l, m, k] (+)= start[k] + sum over i, j of A[l*a_line + m*a_row + i*a_i + j*a_j + k] * B[i*b_i + j*b_j + k]

for any number of lines l, rows m and channels k. Every channel has its own filter, so there is no matrix product: the
channels lie side by side and are the lanes of the vectors. All three passes are this one function:

- forward and gradient of the input: rows = pixels of the destination, (i, j) = filter taps, B = filters;
- gradient of the filters: lines and rows = filter taps, (i, j) = pixels, B = grad_out.

Why it is fast. A tile has up to 12 rows of one vector, all in registers. In general a step (i, j) loads one vector of B
and for each multiply-add one of A, and a core loads as many vectors per cycle as it multiplies. Where rows are pixels
one or two taps apart, neighbours read the same vectors: then a tile takes a whole row of taps at once, with its filters
in registers too, and 12 pixels under 3 taps need 17 loads for 36 multiply-adds. A filter of 3 x 3 is soon done, so what
surrounds a tile counts as much: the loops stand here and not in the callers; what a line reads and writes is fetched
while the line before it is computed; and the channels that fill no vector are covered by one that reaches back over its
neighbour, because a masked store takes AMD's cores many cycles.
"""

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from kernels.cpu.emit import call_intrinsic, loop
from kernels.cpu.target import REGISTER_BYTES, UNIT
from kernels.jit import intrinsic
from kernels.machine_code import MachineCode

ROWS = 12  # enough sums under way to hide the latency of an addition
FEWEST_NEIGHBOURS = 4  # rows that are worth a form of their own for a row of taps
LINE_BYTES = 64  # of a cache line

_INT = ir.IntType(64)
_ELEMENTS = (ir.FloatType(), ir.DoubleType())
_ARGUMENTS = (
    "lines", "rows", "channels", "a", "a_line", "a_row", "n_i", "a_i", "n_j", "a_j", "b", "b_i", "b_j",
    "c", "c_line", "c_row", "start", "accumulate",
)  # fmt: skip
_POINTERS = ("a", "b", "c", "start")
_SIGNATURE = ir.FunctionType(ir.VoidType(), [ir.PointerType() if name in _POINTERS else _INT for name in _ARGUMENTS])


@dataclass
class _Lanes:
    """Vectors of one element type, and the few ways to touch memory with them.

    With `used`, an LLVM integer, vectors are partial: only their first `used` lanes are read and written.
    """

    builder: Any
    element: Any  # LLVM's float or double
    used: Any = None

    def __post_init__(self):
        self.lanes = _lanes(self.element)
        self.vector = ir.VectorType(self.element, self.lanes)
        if self.used is not None:
            lane_type = ir.VectorType(ir.IntType(8 * REGISTER_BYTES // self.lanes), self.lanes)
            used = self.builder.trunc(self.used, lane_type.element) if lane_type.element != _INT else self.used
            used = self.builder.insert_element(ir.Constant(lane_type, ir.Undefined), used, ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
            used = self.builder.shuffle_vector(used, used, zeros)
            lane = ir.Constant(lane_type, list(range(self.lanes)))
            self.mask = self.builder.icmp_signed("<", lane, used)

    def at(self, pointer, index, stride=None):
        """The address `index * stride` elements behind a pointer."""
        index = _INT(index) if isinstance(index, int) else index
        offset = index if stride is None else self.builder.mul(index, stride)
        return self.builder.gep(pointer, [offset], source_etype=self.element)

    def load(self, pointer):
        if self.used is None:
            return self.builder.load(pointer, align=REGISTER_BYTES // self.lanes, typ=self.vector)
        given = [pointer, self.mask, ir.Constant(self.vector, None)]
        return call_intrinsic(self.builder, "llvm.masked.load.{}.p0", self.vector, self.vector, given)

    def store(self, value, pointer) -> None:
        if self.used is None:
            self.builder.store(value, pointer, align=REGISTER_BYTES // self.lanes)
        else:
            given = [value, pointer, self.mask]
            call_intrinsic(self.builder, "llvm.masked.store.{}.p0", self.vector, ir.VoidType(), given)

    def prefetch(self, pointer, write: bool) -> None:
        """Ask for a cache line that will be read or written soon."""
        kind = ir.IntType(32)
        signature = ir.FunctionType(ir.VoidType(), [ir.PointerType(), kind, kind, kind])
        function = cgutils.get_or_insert_function(self.builder.module, signature, "llvm.prefetch.p0")
        self.builder.call(function, [pointer, kind(int(write)), kind(3), kind(1)])

    def fma(self, a, b, c):
        """a * b + c, rounded once."""
        return call_intrinsic(self.builder, "llvm.fma.{}", self.vector, self.vector, [a, b, c])


def _lanes(element) -> int:
    return REGISTER_BYTES // (4 if isinstance(element, ir.FloatType) else 8)


@dataclass(frozen=True)
class _Shape:
    """A form of the tile: lines and rows, and for `_emit_neighbours` the taps and how many of them a row is wide."""

    lines: int
    rows: int
    taps: int = 0
    step: int = 0


def _emit_accumulators(lanes: _Lanes, value: dict[str, Any], shape: _Shape):
    """Emit the beginning of a tile; return its accumulators (stack slots that become registers) and its end."""
    builder = lanes.builder
    c_lines = [lanes.at(value["c"], n, value["c_line"]) for n in range(shape.lines)]
    c = {(n, m): lanes.at(c_lines[n], m, value["c_row"]) for n in range(shape.lines) for m in range(shape.rows)}
    slots = {nm: cgutils.alloca_once(builder, lanes.vector) for nm in c}
    with builder.if_else(value["accumulate"]) as (resuming, beginning):
        with resuming:
            for nm, slot in slots.items():
                builder.store(lanes.load(c[nm]), slot)
        with beginning:
            first = lanes.load(value["start"])
            for slot in slots.values():
                builder.store(first, slot)

    def finish():
        for nm, slot in slots.items():
            lanes.store(builder.load(slot, typ=lanes.vector), c[nm])

    return slots, finish


def _emit_add(lanes: _Lanes, a, b, slot) -> None:
    total = lanes.builder.load(slot, typ=lanes.vector)
    lanes.builder.store(lanes.fma(a, b, total), slot)


def _emit_any_steps(lanes: _Lanes, value: dict[str, Any], shape: _Shape) -> None:
    """Emit a tile for any steps (i, j): one vector of B for all rows."""
    builder = lanes.builder
    slots, finish = _emit_accumulators(lanes, value, shape)
    with loop(builder, value["n_i"]) as i:
        a_i, b_i = lanes.at(value["a"], i, value["a_i"]), lanes.at(value["b"], i, value["b_i"])
        with loop(builder, value["n_j"]) as j:
            a_j, b = lanes.at(a_i, j, value["a_j"]), lanes.load(lanes.at(b_i, j, value["b_j"]))
            for n in range(shape.lines):
                a = lanes.at(a_j, n, value["a_line"])
                for m in range(shape.rows):
                    _emit_add(lanes, lanes.load(a), b, slots[n, m])
                    a = lanes.at(a, value["a_row"])
    finish()


def _emit_neighbours(lanes: _Lanes, value: dict[str, Any], shape: _Shape) -> None:
    """Emit a tile whose rows are `shape.step` taps apart: what one row reads with a tap, another reads with another."""
    builder = lanes.builder
    slots, finish = _emit_accumulators(lanes, value, shape)
    with loop(builder, value["n_i"]) as i:
        a, b_i = lanes.at(value["a"], i, value["a_i"]), lanes.at(value["b"], i, value["b_i"])
        b = [lanes.load(lanes.at(b_i, t, value["b_j"])) for t in range(shape.taps)]
        for place in range((shape.rows - 1) * shape.step + shape.taps):
            readers = [(m, place - m * shape.step) for m in range(shape.rows)]
            readers = [(m, t) for m, t in readers if 0 <= t < shape.taps]
            if readers:
                source = lanes.load(a)
                for m, t in readers:
                    _emit_add(lanes, source, b[t], slots[0, m])
            a = lanes.at(a, value["a_j"])
    finish()


def _emit_dealt(builder, total, most):
    """Deal `total` items to the fewest parts of at most `most`: (parts, the size of part i as a function of i)."""
    parts = builder.sdiv(builder.add(total, builder.sub(most, _INT(1))), most)
    fewest = builder.sdiv(total, builder.select(builder.icmp_signed(">", parts, _INT(0)), parts, _INT(1)))
    larger = builder.sub(total, builder.mul(fewest, parts))  # so many parts have one item more
    return parts, lambda i: builder.add(fewest, builder.zext(builder.icmp_signed("<", i, larger), _INT))


@dataclass(frozen=True)
class _Kind:
    """A kind of tile; each is a function of its own.

    Attributes:
        name: the function's.
        shapes: the forms that it chooses from.
        masked: whether it computes only the first `channels` lanes of one vector.
    """

    name: str
    shapes: tuple[_Shape, ...]
    masked: bool = False

    def most_lines(self, builder, rows):
        """How many lines a tile takes at most."""
        most = _INT(1)
        for lines in sorted({shape.lines for shape in self.shapes}):
            widest = max(shape.rows for shape in self.shapes if shape.lines == lines)
            most = builder.select(builder.icmp_signed("<=", rows, _INT(widest)), _INT(lines), most)
        return most

    def fits(self, builder, value):
        """Whether sizes and strides are those that this kind takes."""
        shape = self.shapes[0]
        apart = builder.icmp_signed("==", value["a_row"], builder.mul(value["a_j"], _INT(shape.step)))
        taps = builder.icmp_signed("==", value["n_j"], _INT(shape.taps))
        enough = builder.icmp_signed(">=", value["rows"], _INT(shape.rows))
        return builder.and_(builder.and_(apart, taps), enough)


_LINES = {1: ROWS, 2: 7, 3: 4}  # a tile takes so many lines if it has up to so many rows
_ANY_SHAPES = tuple(_Shape(lines, rows) for lines, most in _LINES.items() for rows in range(1, most + 1))
_ANY = _Kind("any", _ANY_SHAPES)
_MASKED = _Kind("masked", _ANY_SHAPES, masked=True)


def _neighbours(taps: int, step: int) -> _Kind:
    # The filters of a row of taps, the accumulators and one vector of the source are in registers.
    most = min(ROWS, UNIT.registers - 1 - taps)
    shapes = (_Shape(1, rows, taps, step) for rows in range(FEWEST_NEIGHBOURS, most + 1))
    return _Kind(f"{taps}_taps_step_{step}", tuple(shapes))


# Forward passes and gradients of the input: rows lie one or two taps apart.
_NEIGHBOURS = tuple(_neighbours(taps, step) for taps, step in ((2, 1), (3, 1), (4, 1), (5, 1), (7, 1), (3, 2), (5, 2)))


def _emit_tile(builder, element, value: dict[str, Any], kind: _Kind, lines, rows) -> None:
    """Emit the choice of a form."""
    done = builder.append_basic_block("tile_done")
    switch = builder.switch(builder.add(builder.mul(lines, _INT(ROWS + 1)), rows), done)
    for shape in kind.shapes:
        block = builder.append_basic_block("tile")
        switch.add_case(_INT(shape.lines * (ROWS + 1) + shape.rows), block)
        builder.position_at_end(block)
        emit = _emit_neighbours if shape.taps else _emit_any_steps
        emit(_Lanes(builder, element, value["channels"] if kind.masked else None), value, shape)
        builder.branch(done)
    builder.position_at_end(done)


def _emit_prefetch(lanes: _Lanes, value: dict[str, Any], a, c, rows) -> None:
    """Emit prefetches of what the next line will read and write at the place of this tile, one cache line a pixel."""
    builder = lanes.builder
    a = lanes.at(lanes.at(a, value["a_line"]), builder.sub(value["n_i"], _INT(1)), value["a_i"])
    c = lanes.at(c, value["c_line"])
    with loop(builder, rows) as m:
        lanes.prefetch(lanes.at(a, m, value["a_row"]), write=False)
        lanes.prefetch(lanes.at(c, m, value["c_row"]), write=True)


def _emit_loops(builder, element, value: dict[str, Any], kind: _Kind) -> None:
    """Emit the loops over lines, tiles, blocks of channels and the vectors of a block.

    Memory is walked in its own order, as prefetching needs it; a block is as wide as a cache line.
    """
    lanes = _Lanes(builder, element)
    vectors = _INT(1) if kind.masked else builder.sdiv(value["channels"], _INT(lanes.lanes))
    per_line = _INT(max(1, LINE_BYTES // REGISTER_BYTES))
    blocks = builder.sdiv(builder.add(vectors, builder.sub(per_line, _INT(1))), per_line)
    groups, group_lines = _emit_dealt(builder, value["lines"], kind.most_lines(builder, value["rows"]))
    tiles, tile_rows = _emit_dealt(builder, value["rows"], _INT(max(shape.rows for shape in kind.shapes)))
    line_slot, row_slot = (cgutils.alloca_once(builder, _INT) for _ in range(2))
    builder.store(_INT(0), line_slot)
    with loop(builder, groups) as group:
        lines, line = group_lines(group), builder.load(line_slot, typ=_INT)
        a_line, c_line = (lanes.at(value[name], line, value[f"{name}_line"]) for name in ("a", "c"))
        builder.store(_INT(0), row_slot)
        with loop(builder, tiles) as tile:
            rows, row = tile_rows(tile), builder.load(row_slot, typ=_INT)
            a_row, c_row = lanes.at(a_line, row, value["a_row"]), lanes.at(c_line, row, value["c_row"])
            with loop(builder, blocks) as block:
                first = builder.mul(block, per_line)
                left = builder.sub(vectors, first)
                here = builder.select(builder.icmp_signed("<", left, per_line), left, per_line)
                given = {"a": a_row, "b": value["b"], "c": c_row, "start": value["start"]}
                given = {name: lanes.at(pointer, first, _INT(lanes.lanes)) for name, pointer in given.items()}
                _emit_prefetch(lanes, value, given["a"], given["c"], rows)
                with loop(builder, here) as v:
                    moved = {name: lanes.at(pointer, v, _INT(lanes.lanes)) for name, pointer in given.items()}
                    _emit_tile(builder, element, {**value, **moved}, kind, lines, rows)
            builder.store(builder.add(row, rows), row_slot)
        builder.store(builder.add(line, lines), line_slot)


def _emit_choice(builder, element, value: dict[str, Any], functions) -> None:
    """Emit the choice of a kind, and what becomes of the channels that fill no vector."""
    lanes = _Lanes(builder, element)
    vector = _INT(lanes.lanes)
    left = builder.srem(value["channels"], vector)
    whole = builder.sub(value["channels"], left)

    def call(function, begin, channels):
        moved = {name: lanes.at(value[name], begin) for name in _POINTERS}
        given = {**value, **moved, "channels": channels}
        builder.call(function, [given[name] for name in _ARGUMENTS])

    chosen = functions[_ANY]
    for kind in functions:
        if kind not in (_ANY, _MASKED):
            chosen = builder.select(kind.fits(builder, value), functions[kind], chosen)
    with builder.if_then(builder.icmp_signed(">", whole, _INT(0))):
        call(chosen, _INT(0), whole)
    with builder.if_then(builder.icmp_signed(">", left, _INT(0))):
        # A vector that reaches back; not where the sums of its neighbour would then be added twice.
        adding = builder.icmp_signed("!=", value["accumulate"], _INT(0))
        narrow = builder.icmp_signed("==", whole, _INT(0))
        with builder.if_else(builder.or_(adding, narrow)) as (masked, back):
            with masked:
                call(functions[_MASKED], whole, left)
            with back:
                call(chosen, builder.sub(value["channels"], vector), vector)


def _build(module: ir.Module) -> None:
    """Write the functions of each element type; for double precision only those for any steps, to compile less."""
    for element in _ELEMENTS:
        kinds = (_ANY, _MASKED, *(_NEIGHBOURS if isinstance(element, ir.FloatType) else ()))
        functions = {kind: ir.Function(module, _SIGNATURE, f"{_symbol(element)}_{kind.name}") for kind in kinds}
        for kind, function in functions.items():
            function.linkage = "internal"
            builder = ir.IRBuilder(function.append_basic_block("entry"))
            value: dict[str, Any] = dict(zip(_ARGUMENTS, function.args, strict=True))
            value["accumulate"] = builder.trunc(value["accumulate"], ir.IntType(1))
            _emit_loops(builder, element, value, kind)
            builder.ret_void()
        function = ir.Function(module, _SIGNATURE, _symbol(element))
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        _emit_choice(builder, element, dict(zip(_ARGUMENTS, function.args, strict=True)), functions)
        builder.ret_void()


def _symbol(element: ir.Type) -> str:
    return f"convcore_depthwise_{element}"


MachineCode("depthwise_tile", [_symbol(element) for element in _ELEMENTS], _build)


@intrinsic
def depthwise_tiles(
    typing_context,
    lines, rows, channels, a, a_offset, a_line, a_row, n_i, a_i, n_j, a_j, b, b_offset, b_i, b_j,
    c, c_offset, c_line, c_row, start, start_offset, accumulate,
):  # fmt: skip
    """Compute all of C.

    Computes   the formula at the top of this file, for l < lines, m < rows and k < channels.
    Requires   arrays are flat and contiguous; offsets and strides count elements. `start` is read only when
               `accumulate` is false, and C only when it is true. A is not C.
    Writes     lines * rows * channels elements of C, and nothing beside them.
    Parallel   not at all: callers give threads different parts of C.
    Why        see the top of this file.
    """
    index = types.int64
    signature = types.void(
        index, index, index, a, index, index, index, index, index, index, index, b, index, index, index,
        c, index, index, index, start, index, types.boolean,
    )  # fmt: skip

    def codegen(context, builder, signature, arguments):
        names = (
            "lines rows channels a a_offset a_line a_row n_i a_i n_j a_j b b_offset b_i b_j "
            "c c_offset c_line c_row start start_offset accumulate"
        )
        value: dict[str, Any] = dict(zip(names.split(), arguments, strict=True))
        element = context.get_value_type(a.dtype)
        for name, array_type in (("a", a), ("b", b), ("c", c), ("start", start)):
            pointer = context.make_array(array_type)(context, builder, value[name]).data
            value[name] = builder.gep(pointer, [value[f"{name}_offset"]], source_etype=element)
        value["accumulate"] = builder.zext(value["accumulate"], _INT)
        function = cgutils.get_or_insert_function(builder.module, _SIGNATURE, _symbol(element))
        given = [value[name] for name in _ARGUMENTS]
        builder.call(function, [builder.bitcast(v, t) for v, t in zip(given, _SIGNATURE.args, strict=True)])
        return context.get_dummy_value()

    return signature, codegen
