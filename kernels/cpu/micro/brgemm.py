"""The micro-kernel: a batch-reduce matrix product whose result stays in registers until it is complete.

    C[m, j] = start[j] + D[m, j] + sum over t, l of A[taps[t] + m*a_row + l*a_col] * B[t*b_tap + l*b_row + j]

(D only if wanted: C itself, where a sum goes on, or what a network adds to a convolution), for any number of rows m
and up to 2 * VL columns j. Every convolution, matrix product and weight gradient of this library is a walk of addresses
around this one function. Sources: E. Georganas et al., "High-Performance Deep Learning via a Single Building Block"
(2020), section II, for the batch-reduce form; F. Van Zee and R. van de Geijn, "BLIS" (2015), section 5, for the
register tile.

Why it is fast. The rows are dealt to tiles. A tile has at most MR rows and NV vectors of columns, so MR * NV
accumulators, all of them in registers. One step of l loads NV vectors of B and MR single values of A and does MR * NV
fused multiply-adds: 2 + 12 loads for 24 of them on AVX-512, so the two FMA units set the pace and not the loads; and 24
independent chains of additions hide the FMA's latency of 4 cycles three times over. Beside them there is as little as
possible to decode: a pointer for each row and one offset for all of them, which one addition moves on. On a core that a
hyperthread shares, each has half of the 4 to 6 instructions a cycle, and every addition counts. What is left is the
price of beginning and ending a tile, which short sums feel: so the loop over tiles stands here and not in the callers,
the inner loop is not unrolled (it already has enough work for every unit), and only what must be masked is: a masked
store takes AMD's cores many cycles. Two streams of memory are asked for ahead: the tile's place in C, which may be far
away and is needed at its end, and the panel of B, which is new to L1 when its first tile reads it.

LLVM's own vectoriser does not find this form (it stays at 256-bit registers), so `_emit_tile` writes it as LLVM IR.
Its Python loops over m and v run while the kernel compiles: they unroll the tile.
"""

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from kernels.cpu.vector.emit import call_intrinsic, emit_prefetch, emit_stream, in_register, loop
from kernels.cpu.vector.target import REGISTER_BYTES, TILE_ROWS
from kernels.jit import inline, intrinsic
from kernels.machine_code import MachineCode

_INT = ir.IntType(64)

# How many rows of B are asked for before they are used: 48 steps of 24 multiply-adds are some 200 ns, longer than L3
# takes to answer (benchmarks/NOTES.md, "Products on AVX-512").
_ROWS_AHEAD = 48


@dataclass
class _Tile:
    """One tile's operands as LLVM values (pointers, strides in elements, sizes), and the few ways to touch them."""

    builder: Any
    element: Any  # LLVM's float or double
    vectors: int  # NV
    mask_b: bool
    a: Any
    a_row: Any
    a_col: Any
    taps: Any
    n_taps: Any
    length: Any
    b: Any
    b_tap: Any
    b_row: Any
    c: Any
    c_row: Any
    columns: Any
    start: Any
    d: Any
    adds: Any
    relu: Any
    past: Any

    def __post_init__(self):
        self.element_bytes = 4 if isinstance(self.element, ir.FloatType) else 8
        self.lanes = REGISTER_BYTES // self.element_bytes
        self.vector = ir.VectorType(self.element, self.lanes)
        self.zero = ir.Constant(self.vector, None)
        self.whole = self.builder.icmp_signed("==", self.columns, ir.Constant(_INT, self.vectors * self.lanes))

    def last_mask(self):
        """The lanes of the last vector that are columns of C: lane < columns - (NV - 1) * VL."""
        lane_type = ir.VectorType(_INT, self.lanes)
        used = self.builder.sub(self.columns, ir.Constant(_INT, (self.vectors - 1) * self.lanes))
        lane = ir.Constant(lane_type, list(range(self.lanes)))
        return self.builder.icmp_signed("<", lane, self.splat(used, lane_type))

    def splat(self, value, vector_type):
        undefined = ir.Constant(vector_type, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def at(self, pointer, index, stride=None):
        """The address `index * stride` elements behind a pointer."""
        index = ir.Constant(_INT, index) if isinstance(index, int) else index
        offset = index if stride is None else self.builder.mul(index, stride)
        return self.builder.gep(pointer, [offset], source_etype=self.element)

    def load(self, row, v: int, mask=None):
        """Vector v of a row; of the last vector, with a mask, only the lanes that are columns: memory may end there."""
        pointer = self.builder.bitcast(self.at(row, v * self.lanes), self.vector.as_pointer())
        if mask is None or v < self.vectors - 1:
            return self.builder.load(pointer, align=self.element_bytes, typ=self.vector)
        return self.call("llvm.masked.load.{}.p0", self.vector, [pointer, mask, self.zero])

    def store(self, value, row, v: int, mask=None) -> None:
        pointer = self.builder.bitcast(self.at(row, v * self.lanes), self.vector.as_pointer())
        if mask is None or v < self.vectors - 1:
            self.builder.store(value, pointer, align=self.element_bytes)
        else:
            self.call("llvm.masked.store.{}.p0", ir.VoidType(), [value, pointer, mask])

    def call(self, name, result, arguments):
        return call_intrinsic(self.builder, name, self.vector, result, arguments)

    def for_whole_and_partial(self, work) -> None:
        """Run `work(mask)` with no mask where the columns fill their vectors, else with that of the last one."""
        with self.builder.if_else(self.whole) as (whole, partial):
            with whole:
                work(None)
            with partial:
                work(self.last_mask())


def _emit_tile(tile: _Tile, rows: int) -> None:
    """Emit the tile with `rows` rows. Its accumulators are stack slots, which LLVM turns into registers."""
    builder = tile.builder
    grid = [(m, v) for m in range(rows) for v in range(tile.vectors)]
    accumulator = {mv: cgutils.alloca_once(builder, tile.vector) for mv in grid}
    c_rows = [tile.at(tile.c, m, tile.c_row) for m in range(rows)]
    d_rows = [tile.at(tile.d, m, tile.c_row) for m in range(rows)]

    def add_d(mask):
        for m, v in grid:
            total = builder.fadd(builder.load(accumulator[m, v], typ=tile.vector), tile.load(d_rows[m], v, mask))
            builder.store(total, accumulator[m, v])

    def finish(mask):
        for m, v in grid:
            tile.store(builder.load(accumulator[m, v], typ=tile.vector), c_rows[m], v, mask)

    def finish_past():
        for m, v in grid:
            value = builder.load(accumulator[m, v], typ=tile.vector)
            emit_stream(builder, value, tile.at(c_rows[m], v * tile.lanes))

    streams = builder.and_(tile.past, tile.whole)
    with builder.if_then(builder.not_(streams), likely=True):
        for m, v in grid:
            emit_prefetch(builder, tile.at(c_rows[m], v * tile.lanes), True)
    with builder.if_then(builder.and_(tile.adds, builder.icmp_unsigned("!=", tile.c, tile.d))):
        for m, v in grid:
            emit_prefetch(builder, tile.at(d_rows[m], v * tile.lanes), False)
    first = [tile.load(tile.start, v) for v in range(tile.vectors)]
    for m, v in grid:
        builder.store(first[v], accumulator[m, v])

    b_mask = tile.last_mask() if tile.mask_b else None
    with loop(builder, tile.n_taps) as t:
        offset = builder.load(builder.gep(tile.taps, [t], source_etype=_INT), typ=_INT)
        a_tap = tile.at(tile.a, offset)
        a_rows = [in_register(builder, tile.at(a_tap, m, tile.a_row)) for m in range(rows)]
        b_tap = tile.at(tile.b, t, tile.b_tap)
        with loop(builder, tile.length) as l:
            b_row = tile.at(b_tap, l, tile.b_row)
            b = [tile.load(b_row, v, b_mask) for v in range(tile.vectors)]
            ahead = tile.at(b_row, _ROWS_AHEAD, tile.b_row)
            for v in range(tile.vectors):
                emit_prefetch(builder, tile.at(ahead, v * tile.lanes), False)
            for m in range(rows):
                value = builder.load(tile.at(a_rows[m], l, tile.a_col), typ=tile.element)
                a = tile.splat(value, tile.vector)
                for v in range(tile.vectors):
                    slot = accumulator[m, v]
                    total = builder.load(slot, typ=tile.vector)
                    builder.store(tile.call("llvm.fma.{}", tile.vector, [a, b[v], total]), slot)

    with builder.if_then(tile.adds):
        tile.for_whole_and_partial(add_d)
    with builder.if_then(tile.relu):
        for m, v in grid:
            value = builder.load(accumulator[m, v], typ=tile.vector)
            negative = builder.fcmp_ordered("<=", value, tile.zero)  # not for NaN, which passes
            builder.store(builder.select(negative, tile.zero, value), accumulator[m, v])
    with builder.if_else(streams, likely=False) as (streamed, stored):
        with streamed:
            finish_past()
        with stored:
            tile.for_whole_and_partial(finish)


def _symbol(element: ir.Type, mask_b: bool) -> str:
    return f"convcore_brgemm_{element}" + ("_masked" if mask_b else "")


def _signature() -> ir.FunctionType:
    """Sizes and strides are 64-bit integers; the names are those of `_ARGUMENTS`."""
    pointers = {"a", "taps", "b", "c", "start", "d"}
    return ir.FunctionType(ir.VoidType(), [ir.PointerType() if name in pointers else _INT for name in _ARGUMENTS])


_ARGUMENTS = (
    "rows", "a", "a_row", "a_col", "taps", "n_taps", "length", "b", "b_tap", "b_row", "c", "c_row", "columns", "start",
    "d", "adds", "relu", "past",
)  # fmt: skip
_VARIANTS = [(element, mask_b) for element in (ir.FloatType(), ir.DoubleType()) for mask_b in (False, True)]


def _emit_rows(builder, element, mask_b: bool, vectors: int, value: dict[str, Any]) -> None:
    """Emit the loop over tiles: `rows` dealt to ceil(rows / TILE_ROWS) of them, as evenly as possible.

    Even tiles waste least: 14 rows as 7 + 7 keep the FMA units busier than 12 + 2.
    """
    value = dict(value)
    rows = value.pop("rows")
    pointers = {name: cgutils.alloca_once_value(builder, value[name]) for name in ("a", "c", "d")}
    tiles = builder.sdiv(builder.add(rows, _INT(TILE_ROWS - 1)), _INT(TILE_ROWS))
    fewest = builder.sdiv(rows, builder.select(builder.icmp_signed(">", tiles, _INT(0)), tiles, _INT(1)))
    larger = builder.sub(rows, builder.mul(fewest, tiles))  # so many tiles have one row more
    with loop(builder, tiles) as index:
        tile_rows = builder.add(fewest, builder.zext(builder.icmp_signed("<", index, larger), _INT))
        for name, slot in pointers.items():
            value[name] = builder.load(slot, typ=ir.PointerType())
        done = builder.append_basic_block("tile_done")
        switch = builder.switch(tile_rows, done)
        for count in range(1, TILE_ROWS + 1):
            block = builder.append_basic_block(f"tile_{count}x{vectors}")
            switch.add_case(_INT(count), block)
            builder.position_at_end(block)
            _emit_tile(_Tile(builder, element, vectors, mask_b, **value), count)
            builder.branch(done)
        builder.position_at_end(done)
        for name, slot in pointers.items():
            step = builder.mul(tile_rows, value["a_row" if name == "a" else "c_row"])
            builder.store(builder.gep(value[name], [step], source_etype=element), slot)


def _build(module: ir.Module) -> None:
    """Write one function per element type and kind of B, with a tile for every number of rows and vectors."""
    for element, mask_b in _VARIANTS:
        function = ir.Function(module, _signature(), _symbol(element, mask_b))
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        value: dict[str, Any] = dict(zip(_ARGUMENTS, function.args, strict=True))
        for flag in ("adds", "relu", "past"):
            value[flag] = builder.trunc(value[flag], ir.IntType(1))
        lanes = REGISTER_BYTES // (4 if isinstance(element, ir.FloatType) else 8)
        with builder.if_else(builder.icmp_signed(">", value["columns"], _INT(lanes))) as (wide, narrow):
            with wide:
                _emit_rows(builder, element, mask_b, 2, value)
            with narrow:
                _emit_rows(builder, element, mask_b, 1, value)
        builder.ret_void()


MachineCode("brgemm", [_symbol(*variant) for variant in _VARIANTS], _build)


@intrinsic
def brgemm(
    typing_context,
    rows, a, a_offset, a_row, a_col, taps, n_taps, length, b, b_offset, b_tap, b_row, c, c_offset, c_row, columns,
    start, start_offset, d, d_offset, adds, relu, past, mask_b,
):  # fmt: skip
    """Compute up to a panel's width of C.

    Computes   the formula at the top of this file, for m < rows and j < columns, with D if it `adds`; if `relu`,
               max(0, that), where NaN stays NaN.
    Requires   1 <= columns <= 2 * VL, a panel's width. Arrays are flat and contiguous; offsets and strides count
               elements. `mask_b` where B's rows may end after `columns`; without it they reach to full vectors, as
               those of a packed panel do. `start` is read to full vectors. D has the rows of C, `c_row` apart; it is C
               where sums go on, and is read only if it `adds`. `past` stores past the caches where the columns fill
               their vectors: of a C of STREAM_BYTES or more that is complete with this call.
    Writes     rows * columns elements of C, and nothing beside them.
    Parallel   not at all: callers give threads different tiles.
    Why        see the top of this file.
    """
    index = types.int64
    signature = types.void(
        index, a, index, index, index, taps, index, index, b, index, index, index, c, index, index, index,
        start, index, d, index, types.boolean, types.boolean, types.boolean, types.boolean,
    )  # fmt: skip

    def codegen(context, builder, signature, arguments):
        names = (
            "rows a a_offset a_row a_col taps n_taps length b b_offset b_tap b_row c c_offset c_row columns "
            "start start_offset d d_offset adds relu past mask_b"
        )
        value: dict[str, Any] = dict(zip(names.split(), arguments, strict=True))
        element = context.get_value_type(a.dtype)
        for name, array_type in (("a", a), ("taps", taps), ("b", b), ("c", c), ("start", start), ("d", d)):
            pointer = context.make_array(array_type)(context, builder, value[name]).data
            offset = value.get(f"{name}_offset")
            value[name] = pointer if offset is None else builder.gep(pointer, [offset], source_etype=element)
        for flag in ("adds", "relu", "past"):
            value[flag] = builder.zext(value[flag], _INT)
        masked, whole = (
            cgutils.get_or_insert_function(builder.module, _signature(), _symbol(element, mask))
            for mask in (True, False)
        )
        function = builder.select(value["mask_b"], masked, whole)
        given = [value[name] for name in _ARGUMENTS]
        builder.call(function, [builder.bitcast(v, t) for v, t in zip(given, _signature().args, strict=True)])
        return context.get_dummy_value()

    return signature, codegen


@inline
def split_evenly(total, parts, index):
    """The range [begin, end) of part `index` when `total` items are dealt to `parts` as evenly as possible.

    Even tiles waste least: 14 pixels as 7 + 7 keep the FMA units busier than 12 + 2.
    """
    size = total // parts
    larger = total % parts
    begin = index * size + min(index, larger)
    return begin, begin + size + (1 if index < larger else 0)
