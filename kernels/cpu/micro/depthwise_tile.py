"""The micro-kernel of depthwise convolution: sums of products of vectors, channel by channel.

    C[l, m, k] (+)= start[k] + sum over i, j and c < G of
                    A[l*a_line + m*a_row + i*a_i + j*a_j + k//G*G + c] * B[i*b_i + j*b_j + c*b_c + k]

for any number of lines l, rows m and channels k, in groups of G channels that see each other. In a depthwise
convolution G is 1: every channel has a filter of its own, so there is no matrix product. Channels are contiguous, and
are the lanes of the vectors. All three passes are this one function:

- forward and gradient of the input: rows = pixels of the destination, (i, j) = filter taps, B = filters;
- gradient of the filters: lines and rows = filter taps, (i, j) = pixels, B = grad_out. With b_c = 0 and c_c > 0 each
  channel c has sums of its own, C[l, m, c, k], c_c apart.

Why it is fast. A tile has up to 12 rows of one vector, all in registers. In general a step (i, j) loads one vector of B
and for each multiply-add one of A, and a core loads as many vectors per cycle as it multiplies. Where rows are pixels
one or two taps apart, neighbours read the same vectors: then a tile takes a whole row of taps at once, with its filters
in registers too, and 12 pixels under 3 taps need 17 loads for 36 multiply-adds. Groups cost a shuffle for each of these
loads, which a core executes beside its multiply-adds (`depthwise_variants.py`). A 3 x 3 filter takes few steps, so the
code around a tile counts as much: the loops are here and not in the callers; what a line reads and writes is prefetched
while the line before it is computed; and the channels that fill no vector are covered by a vector that reaches back
over its neighbour, because a masked store takes AMD's cores many cycles.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from kernels.cpu.micro.depthwise_variants import WIDE, Family, Kind, emit_tile, families
from kernels.cpu.vector.emit import Lanes, array_pointer, emit_prefetch, loop
from kernels.cpu.vector.split import emit_split
from kernels.cpu.vector.target import REGISTER_BYTES
from kernels.jit import intrinsic
from kernels.machine_code import MachineCode

LINE_BYTES = 64  # of a cache line

_INT = ir.IntType(64)
_ELEMENTS = (ir.FloatType(), ir.DoubleType())
_ARGUMENTS = (
    "lines", "rows", "channels", "group", "a", "a_line", "a_row", "n_i", "a_i", "n_j", "a_j", "b", "b_i", "b_j", "b_c",
    "c", "c_line", "c_row", "c_c", "start", "accumulate",
)  # fmt: skip
_POINTERS = ("a", "b", "c", "start")
_SIGNATURE = ir.FunctionType(ir.VoidType(), [ir.PointerType() if name in _POINTERS else _INT for name in _ARGUMENTS])


def _emit_prefetch(lanes: Lanes, value: dict[str, Any], a, c, rows) -> None:
    """Emit prefetches of what the next line will read and write at the place of this tile, one cache line a pixel."""
    builder = lanes.builder
    a = lanes.at(lanes.at(a, value["a_line"]), builder.sub(value["n_i"], _INT(1)), value["a_i"])
    c = lanes.at(c, value["c_line"])
    with loop(builder, rows) as m:
        emit_prefetch(builder, lanes.at(a, m, value["a_row"]), write=False)
        emit_prefetch(builder, lanes.at(c, m, value["c_row"]), write=True)


def _emit_loops(builder, element, value: dict[str, Any], kind: Kind) -> None:
    """Emit the loops over lines, tiles, blocks of channels and the vectors of a block.

    Memory is read in its own order, as prefetching needs it; a block is as wide as a cache line.
    """
    lanes = Lanes(builder, element)
    vectors = _INT(1) if kind.masked else builder.sdiv(value["channels"], _INT(lanes.lanes))
    per_line = _INT(max(1, LINE_BYTES // REGISTER_BYTES))
    blocks = builder.sdiv(builder.add(vectors, builder.sub(per_line, _INT(1))), per_line)
    groups, group_lines = emit_split(builder, value["lines"], kind.most_lines(builder, value["rows"]))
    tiles, tile_rows = emit_split(builder, value["rows"], _INT(kind.most_rows))
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
                    if kind.group == WIDE:  # the group of the vector's channels begins before them
                        channel = builder.mul(builder.add(first, v), _INT(lanes.lanes))
                        within = builder.srem(channel, value["group"])
                        moved["a"] = lanes.at(moved["a"], builder.neg(within))
                    emit_tile(builder, element, {**value, **moved}, kind, lines, rows)
            builder.store(builder.add(row, rows), row_slot)
        builder.store(builder.add(line, lines), line_slot)


def _emit_choice(builder, element, value: dict[str, Any], family: Family, functions) -> None:
    """Emit the choice of a kind, and the treatment of the channels that fill no vector."""
    lanes = Lanes(builder, element)
    vector = _INT(lanes.lanes)
    left = builder.srem(value["channels"], vector)
    whole = builder.sub(value["channels"], left)

    def call(function, begin, channels):
        moved = {name: lanes.at(value[name], begin) for name in _POINTERS}
        given = {**value, **moved, "channels": channels}
        builder.call(function, [given[name] for name in _ARGUMENTS])

    chosen = functions[family.any_steps]
    for kind in family.neighbours:
        chosen = builder.select(kind.fits(builder, value), functions[kind], chosen)
    with builder.if_then(builder.icmp_signed(">", whole, _INT(0))):
        call(chosen, _INT(0), whole)
    if family.masked is not None:
        with builder.if_then(builder.icmp_signed(">", left, _INT(0))):
            # A vector that reaches back; not where it would add to the sums of its neighbour a second time.
            adding = builder.icmp_signed("!=", value["accumulate"], _INT(0))
            narrow = builder.icmp_signed("==", whole, _INT(0))
            with builder.if_else(builder.or_(adding, narrow)) as (masked, back):
                with masked:
                    call(functions[family.masked], whole, left)
                with back:
                    call(chosen, builder.sub(value["channels"], vector), vector)


def _build(module: ir.Module) -> None:
    """Write a function for each kind of tile, and one for each element type that chooses among them."""
    for element in _ELEMENTS:
        functions = {}
        for kind in (kind for family in families(element) for kind in family.kinds):
            function = ir.Function(module, _SIGNATURE, f"{_symbol(element)}_{kind.name}")
            function.linkage = "internal"
            builder = ir.IRBuilder(function.append_basic_block("entry"))
            value: dict[str, Any] = dict(zip(_ARGUMENTS, function.args, strict=True))
            value["accumulate"] = builder.trunc(value["accumulate"], ir.IntType(1))
            _emit_loops(builder, element, value, kind)
            builder.ret_void()
            functions[kind] = function
        function = ir.Function(module, _SIGNATURE, _symbol(element))
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        value = dict(zip(_ARGUMENTS, function.args, strict=True))
        for family in families(element):
            with builder.if_then(family.takes(builder, value, Lanes.count(element))):
                _emit_choice(builder, element, value, family, functions)
        builder.ret_void()


def _symbol(element: ir.Type) -> str:
    return f"convcore_depthwise_{element}"


MachineCode("depthwise_tile", [_symbol(element) for element in _ELEMENTS], _build)


@intrinsic
def depthwise_tiles(
    typing_context,
    lines, rows, channels, group, a, a_offset, a_line, a_row, n_i, a_i, n_j, a_j, b, b_offset, b_i, b_j, b_c,
    c, c_offset, c_line, c_row, c_c, start, start_offset, accumulate,
):  # fmt: skip
    """Compute all of C.

    Computes   the formula at the top of this file, for l < lines, m < rows and k < channels.
    Requires   G = `group` is 1, or it divides VL or is a multiple of it and there is a multiple of VL channels. Arrays
               are flat and contiguous; offsets and strides count elements. `start` is read only when `accumulate` is
               false, and C only when it is true. A is not C.
    Writes     lines * rows * channels elements of C, and no other.
    Parallel   not at all: callers give threads different parts of C.
    Why        see the top of this file.
    """
    index = types.int64
    signature = types.void(
        index, index, index, index, a, index, index, index, index, index, index, index, b, index, index, index, index,
        c, index, index, index, index, start, index, types.boolean,
    )  # fmt: skip

    def codegen(context, builder, signature, arguments):
        names = (
            "lines rows channels group a a_offset a_line a_row n_i a_i n_j a_j b b_offset b_i b_j b_c "
            "c c_offset c_line c_row c_c start start_offset accumulate"
        )
        value: dict[str, Any] = dict(zip(names.split(), arguments, strict=True))
        element = context.get_value_type(a.dtype)
        for name, array_type in (("a", a), ("b", b), ("c", c), ("start", start)):
            value[name] = array_pointer(context, builder, array_type, value[name], value[f"{name}_offset"])
        value["accumulate"] = builder.zext(value["accumulate"], _INT)
        function = cgutils.get_or_insert_function(builder.module, _SIGNATURE, _symbol(element))
        builder.call(function, [value[name] for name in _ARGUMENTS])
        return context.get_dummy_value()

    return signature, codegen
