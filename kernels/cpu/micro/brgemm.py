"""The micro-kernel: a batch-reduce matrix product whose result stays in registers until it is complete.

    C[m, j] = start[j] + D[m, j] + sum over t, l of A[taps[t] + m*a_row + l*a_col] * B[t*b_tap + l*b_row + j]

for any number of rows m and up to 2 * VL columns j. D is optional: C itself where a sum goes on, or the residual of a
convolution's epilogue. Every convolution, matrix product and weight gradient of this library is a loop nest of
addresses around this one function. Sources: E. Georganas et al., "High-Performance Deep Learning via a Single Building
Block" (2020), section II, for the batch-reduce form; F. Van Zee and R. van de Geijn, "BLIS" (2015), section 5, for the
register tile.

Why it is fast. The rows are split evenly into tiles. A tile has at most MR rows and NV vectors of columns, so MR * NV
accumulators, all of them in registers. One step of l loads NV vectors of B and MR single values of A and does MR * NV
fused multiply-adds: 2 + 12 loads for 24 of them on AVX-512, so the two FMA units set the pace and not the loads; and 24
independent chains of additions hide the FMA's latency of 4 cycles three times over. Little else is left to decode: a
pointer for each row, and one offset that a single addition advances for all rows. On a core shared by two hyperthreads,
each has half of the 4 to 6 instructions a cycle, so every addition counts. What remains is the cost of beginning and
ending a tile, which dominates short sums: so the loop over tiles is here and not in the callers, the inner loop is not
unrolled (it already has enough work for every unit), and only the last vector of a row is masked, because a masked
store takes AMD's cores many cycles. Two streams of memory are prefetched: the tile's elements of C, which may be far
away and are needed at the end of the tile, and the panel of B, which is not in L1 yet when the first tile reads it.

LLVM's own vectoriser does not find this form (it stays at 256-bit registers), so `_emit_tile` writes LLVM IR. The
Python loops over m and v run while the kernel compiles: they unroll the tile.
"""

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from kernels.cpu.vector.emit import Lanes, array_pointer, emit_prefetch, in_register, loop
from kernels.cpu.vector.split import emit_split
from kernels.cpu.vector.target import TILE_ROWS
from kernels.jit import intrinsic
from kernels.machine_code import MachineCode

_INT = ir.IntType(64)

# How many rows ahead B is prefetched: 48 steps of 24 multiply-adds are some 200 ns, longer than L3 takes to answer
# (benchmarks/NOTES.md, "Products on AVX-512").
_ROWS_AHEAD = 48


@dataclass
class _Tile:
    """One tile's operands as LLVM values: pointers, strides in elements, sizes, flags."""

    lanes: Lanes
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
    add_d: Any
    relu: Any
    stream: Any

    def __post_init__(self):
        self.builder = self.lanes.builder
        self.whole = self.builder.icmp_signed("==", self.columns, _INT(self.vectors * self.lanes.lanes))

    def last_mask(self):
        """The lanes of the last vector that are columns of C: lane < columns - (NV - 1) * VL."""
        return self.lanes.first(self.builder.sub(self.columns, _INT((self.vectors - 1) * self.lanes.lanes)))

    def place(self, row, v: int):
        """The address of vector v of a row."""
        return self.lanes.at(row, v * self.lanes.lanes)

    def load(self, row, v: int, mask=None):
        """Vector v of a row; of the last vector, with a mask, only the lanes that are columns: memory may end there."""
        return self.lanes.load(self.place(row, v), mask if v == self.vectors - 1 else None)

    def store(self, value, row, v: int, mask=None) -> None:
        self.lanes.store(value, self.place(row, v), mask if v == self.vectors - 1 else None)

    def for_whole_and_partial(self, work) -> None:
        """Run `work(mask)` with no mask where the columns fill their vectors, else with that of the last one."""
        with self.builder.if_else(self.whole) as (whole, partial):
            with whole:
                work(None)
            with partial:
                work(self.last_mask())


def _emit_tile(tile: _Tile, rows: int) -> None:
    """Emit the tile with `rows` rows. Its accumulators are stack slots, which LLVM turns into registers."""
    builder, lanes = tile.builder, tile.lanes
    grid = [(m, v) for m in range(rows) for v in range(tile.vectors)]
    accumulator = {mv: cgutils.alloca_once(builder, lanes.vector) for mv in grid}
    c_rows = [lanes.at(tile.c, m, tile.c_row) for m in range(rows)]
    d_rows = [lanes.at(tile.d, m, tile.c_row) for m in range(rows)]

    def add_d(mask):
        for m, v in grid:
            total = builder.fadd(builder.load(accumulator[m, v], typ=lanes.vector), tile.load(d_rows[m], v, mask))
            builder.store(total, accumulator[m, v])

    def store(mask):
        for m, v in grid:
            tile.store(builder.load(accumulator[m, v], typ=lanes.vector), c_rows[m], v, mask)

    def stream():
        for m, v in grid:
            lanes.stream(builder.load(accumulator[m, v], typ=lanes.vector), tile.place(c_rows[m], v))

    streams = builder.and_(tile.stream, tile.whole)
    with builder.if_then(builder.not_(streams), likely=True):
        for m, v in grid:
            emit_prefetch(builder, tile.place(c_rows[m], v), True)
    with builder.if_then(builder.and_(tile.add_d, builder.icmp_unsigned("!=", tile.c, tile.d))):
        for m, v in grid:
            emit_prefetch(builder, tile.place(d_rows[m], v), False)
    first = [tile.load(tile.start, v) for v in range(tile.vectors)]
    for m, v in grid:
        builder.store(first[v], accumulator[m, v])

    b_mask = tile.last_mask() if tile.mask_b else None
    with loop(builder, tile.n_taps) as t:
        offset = builder.load(builder.gep(tile.taps, [t], source_etype=_INT), typ=_INT)
        a_tap = lanes.at(tile.a, offset)
        a_rows = [in_register(builder, lanes.at(a_tap, m, tile.a_row)) for m in range(rows)]
        b_tap = lanes.at(tile.b, t, tile.b_tap)
        with loop(builder, tile.length) as l:
            b_row = lanes.at(b_tap, l, tile.b_row)
            b = [tile.load(b_row, v, b_mask) for v in range(tile.vectors)]
            ahead = lanes.at(b_row, _ROWS_AHEAD, tile.b_row)
            for v in range(tile.vectors):
                emit_prefetch(builder, tile.place(ahead, v), False)
            for m in range(rows):
                a = lanes.splat(builder.load(lanes.at(a_rows[m], l, tile.a_col), typ=lanes.element))
                for v in range(tile.vectors):
                    slot = accumulator[m, v]
                    builder.store(lanes.fma(a, b[v], builder.load(slot, typ=lanes.vector)), slot)

    with builder.if_then(tile.add_d):
        tile.for_whole_and_partial(add_d)
    with builder.if_then(tile.relu):
        for m, v in grid:
            value = builder.load(accumulator[m, v], typ=lanes.vector)
            negative = builder.fcmp_ordered("<=", value, lanes.zero)  # false for NaN, which passes
            builder.store(builder.select(negative, lanes.zero, value), accumulator[m, v])
    with builder.if_else(streams, likely=False) as (streamed, stored):
        with streamed:
            stream()
        with stored:
            tile.for_whole_and_partial(store)


def _symbol(element: ir.Type, mask_b: bool) -> str:
    return f"convcore_brgemm_{element}" + ("_masked" if mask_b else "")


def _signature() -> ir.FunctionType:
    """Sizes and strides are 64-bit integers; the names are those of `_ARGUMENTS`."""
    pointers = {"a", "taps", "b", "c", "start", "d"}
    return ir.FunctionType(ir.VoidType(), [ir.PointerType() if name in pointers else _INT for name in _ARGUMENTS])


_ARGUMENTS = (
    "rows", "a", "a_row", "a_col", "taps", "n_taps", "length", "b", "b_tap", "b_row", "c", "c_row", "columns", "start",
    "d", "add_d", "relu", "stream",
)  # fmt: skip
_VARIANTS = [(element, mask_b) for element in (ir.FloatType(), ir.DoubleType()) for mask_b in (False, True)]


def _emit_rows(builder, element, mask_b: bool, vectors: int, value: dict[str, Any]) -> None:
    """Emit the loop over tiles: the rows are split evenly into tiles of at most TILE_ROWS."""
    value = dict(value)
    pointers = {name: cgutils.alloca_once_value(builder, value[name]) for name in ("a", "c", "d")}
    tiles, rows_of = emit_split(builder, value.pop("rows"), _INT(TILE_ROWS))
    lanes = Lanes(builder, element)
    with loop(builder, tiles) as index:
        tile_rows = rows_of(index)
        for name, slot in pointers.items():
            value[name] = builder.load(slot, typ=ir.PointerType())
        done = builder.append_basic_block("tile_done")
        switch = builder.switch(tile_rows, done)
        for count in range(1, TILE_ROWS + 1):
            block = builder.append_basic_block(f"tile_{count}x{vectors}")
            switch.add_case(_INT(count), block)
            builder.position_at_end(block)
            _emit_tile(_Tile(lanes, vectors, mask_b, **value), count)
            builder.branch(done)
        builder.position_at_end(done)
        for name, slot in pointers.items():
            step = builder.mul(tile_rows, value["a_row" if name == "a" else "c_row"])
            builder.store(lanes.at(value[name], step), slot)


def _build(module: ir.Module) -> None:
    """Write one function per element type and kind of B, with a tile for each number of rows and vectors."""
    for element, mask_b in _VARIANTS:
        function = ir.Function(module, _signature(), _symbol(element, mask_b))
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        value: dict[str, Any] = dict(zip(_ARGUMENTS, function.args, strict=True))
        for flag in ("add_d", "relu", "stream"):
            value[flag] = builder.trunc(value[flag], ir.IntType(1))
        with builder.if_else(builder.icmp_signed(">", value["columns"], _INT(Lanes.count(element)))) as (wide, narrow):
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
    start, start_offset, d, d_offset, add_d, relu, stream, mask_b,
):  # fmt: skip
    """Compute up to a panel's width of C.

    Computes   the formula at the top of this file, for m < rows and j < columns, with D if `add_d`; if `relu`,
               max(0, that), where NaN stays NaN.
    Requires   1 <= columns <= 2 * VL, a panel's width. Arrays are flat and contiguous; offsets and strides count
               elements. With `mask_b`, rows of B may end after `columns`; without, they reach to full vectors, as those
               of a packed panel do. `start` is read to full vectors. D has the shape and `c_row` of C; D may be C, and
               is read only if `add_d`. With `stream`, full vectors are stored past the caches, visible to other threads
               after the launch: for a C of STREAM_BYTES or more that this call completes.
    Writes     rows * columns elements of C, and no other.
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
            "start start_offset d d_offset add_d relu stream mask_b"
        )
        value: dict[str, Any] = dict(zip(names.split(), arguments, strict=True))
        element = context.get_value_type(a.dtype)
        for name, array_type in (("a", a), ("taps", taps), ("b", b), ("c", c), ("start", start), ("d", d)):
            value[name] = array_pointer(context, builder, array_type, value[name], value.get(f"{name}_offset"))
        for flag in ("add_d", "relu", "stream"):
            value[flag] = builder.zext(value[flag], _INT)
        masked, whole = (
            cgutils.get_or_insert_function(builder.module, _signature(), _symbol(element, mask))
            for mask in (True, False)
        )
        function = builder.select(value["mask_b"], masked, whole)
        builder.call(function, [value[name] for name in _ARGUMENTS])
        return context.get_dummy_value()

    return signature, codegen
