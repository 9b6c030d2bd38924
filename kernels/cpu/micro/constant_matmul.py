"""Small constant matrices times lines of vectors: the step of which Winograd's transforms are made.

A line is a number of vectors that lie a fixed step apart in memory. `line_product` gives a function that loads one,
multiplies it by a matrix and stores the result; the matrix is a constant of the code, so zeros cost nothing, ones no
multiplication. Where the points of a matrix come in pairs p and -p, what the two have in common is computed once:

    rows     M[i + 1, j] = (-1)^j M[i, j]:  even = sum over even j, odd = sum over odd j;  even + odd, even - odd
    columns  M[i, j + 1] = (-1)^i M[i, j]:  v[j] + v[j + 1] serves the even rows, v[j] - v[j + 1] the odd ones

A matrix and its transpose take one of the two each. For m = 4 this needs 13 operations for the 36 entries of B^T.
"""

from collections.abc import Mapping
from fractions import Fraction

from llvmlite import ir
from numba.core import cgutils, types

from kernels.cpu.vector.emit import call_intrinsic, emit_stream
from kernels.cpu.vector.values import Vector
from kernels.jit import intrinsic

Matrix = tuple[tuple[Fraction, ...], ...]

_INT = ir.IntType(64)


def _sign(number: int) -> int:
    return -1 if number % 2 else 1


def _sum(builder, terms):
    """The sum of coefficient * vector; None for no terms."""
    terms = sorted(((c, v) for c, v in terms if c), key=lambda term: term[0] != 1)  # a 1 needs no multiplication
    if not terms:
        return None
    (first, total), *rest = terms
    kind = total.type

    def constant(value: Fraction):
        return ir.Constant(kind, [float(value)] * kind.count)

    if first != 1:
        total = builder.fmul(constant(first), total)
    for coefficient, vector in rest:
        if abs(coefficient) == 1:
            total = (builder.fadd if coefficient == 1 else builder.fsub)(total, vector)
        else:
            total = call_intrinsic(builder, "llvm.fmuladd.{}", kind, kind, [constant(coefficient), vector, total])
    return total


def emit_product(builder, matrix: Matrix, vectors: list) -> list:
    """Emit matrix times `vectors`; the result is one vector for each row."""
    height, width = len(matrix), len(matrix[0])
    columns = [[row[j] for row in matrix] for j in range(width)]
    by_parity = {0: list(vectors), 1: list(vectors)}  # what the even and the odd rows multiply
    used = [True] * width
    for j in range(width - 1):
        if columns[j + 1] == [_sign(i) * c for i, c in enumerate(columns[j])]:
            by_parity[0][j] = builder.fadd(vectors[j], vectors[j + 1])
            by_parity[1][j] = builder.fsub(vectors[j], vectors[j + 1])
            used[j + 1] = False

    def row_sum(i: int, parities=(0, 1)):
        chosen = [j for j in range(width) if used[j] and j % 2 in parities]
        return _sum(builder, [(matrix[i][j], by_parity[i % 2][j]) for j in chosen])

    result: list = []
    while len(result) < height:
        i = len(result)
        paired = all(used) and i + 1 < height and list(matrix[i + 1]) == [_sign(j) * c for j, c in enumerate(matrix[i])]
        if paired:
            even, odd = row_sum(i, (0,)), row_sum(i, (1,))
            result += [builder.fadd(even, odd), builder.fsub(even, odd)]
        else:
            result.append(row_sum(i))
    return result


class _Line:
    """Vectors a step apart in a flat array, as LLVM sees them."""

    def __init__(self, context, builder, array_type, array, at, step):
        self.builder, self.at, self.step = builder, at, step
        self.pointer = context.make_array(array_type)(context, builder, array).data
        self.vector = context.get_value_type(Vector(array_type.dtype))
        self.align = array_type.dtype.bitwidth // 8

    def address(self, number: int):
        index = self.builder.add(self.at, self.builder.mul(self.step, _INT(number)))
        pointer = self.builder.gep(self.pointer, [index], source_etype=self.vector.element)
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def load(self, count: int) -> list:
        return [self.builder.load(self.address(i), align=self.align, typ=self.vector) for i in range(count)]

    def stream(self, number: int, value) -> None:
        emit_stream(self.builder, value, self.address(number))

    def load_lanes(self, number: int, mask):
        given = [self.address(number), mask, ir.Constant(self.vector, None)]
        return call_intrinsic(self.builder, "llvm.masked.load.{}.p0", self.vector, self.vector, given)

    def store(self, number: int, value, mask=None) -> None:
        if mask is None:
            self.builder.store(value, self.address(number), align=self.align)
        else:
            given = [value, self.address(number), mask]
            call_intrinsic(self.builder, "llvm.masked.store.{}.p0", self.vector, ir.VoidType(), given)


def _for_each_size(builder, m, matrices: Mapping[int, Matrix], emit) -> None:
    """Emit `emit(matrix)` for each m, and the choice between them at run time."""
    done = builder.append_basic_block("line_done")
    switch = builder.switch(m, done)
    for size, matrix in matrices.items():
        block = builder.append_basic_block(f"line_{size}")
        switch.add_case(_INT(size), block)
        builder.position_at_end(block)
        emit(matrix)
        builder.branch(done)
    builder.position_at_end(done)


def line_product(matrices: Mapping[int, Matrix]):
    """A function (m, source, at, step, target, to, to_step): multiplies a line by matrices[m].

    target[to + i * to_step] = sum over j of M[i, j] * source[at + j * step], for vectors.
    """

    @intrinsic
    def product(typing_context, m, source, at, step, target, to, to_step):
        def codegen(context, builder, sig, args):
            origin = _Line(context, builder, source, *args[1:4])
            goal = _Line(context, builder, target, *args[4:7])

            def emit(matrix):
                for i, value in enumerate(emit_product(builder, matrix, origin.load(len(matrix[0])))):
                    goal.store(i, value)

            _for_each_size(builder, args[0], matrices, emit)
            return context.get_dummy_value()

        index = types.int64
        return types.void(index, source, index, index, target, index, index), codegen

    return product


def bounded_line_product(matrices: Mapping[int, Matrix]):
    """A function (m, source, at, step, target, to, to_step, addend, adds, limit, number, count, past, check): the last
    product of a tile.

    As `line_product`, but stores the first `number` results, of each the first `count` lanes; plus what stands at their
    places in `addend` if it `adds`; and `limit` where they are below it. A NaN stays NaN.
    If `past`, what fills whole vectors is stored past the caches.
    0 times each result, before `limit`, is added to the vector source[check], which so stays 0 while all are finite.
    """

    @intrinsic
    def product(
        typing_context, m, source, at, step, target, to, to_step, addend, adds, limit, number, count, past, check
    ):
        def codegen(context, builder, sig, args):
            origin = _Line(context, builder, source, *args[1:4])
            goal = _Line(context, builder, target, *args[4:7])
            other = _Line(context, builder, addend, args[7], *args[5:7])
            is_added, limit_value, wanted, used, streams, check_at = args[8:14]
            checked = _Line(context, builder, source, args[1], check_at, _INT(0))
            lane_count = origin.vector.count
            whole = builder.icmp_signed(">=", used, _INT(lane_count))
            numbers = ir.VectorType(_INT, lane_count)
            first = builder.insert_element(ir.Constant(numbers, ir.Undefined), used, ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), lane_count), [0] * lane_count)
            spread = builder.shuffle_vector(first, first, zeros)
            mask = builder.icmp_signed("<", ir.Constant(numbers, list(range(lane_count))), spread)

            def emit(matrix):
                zero, kind = ir.Constant(origin.vector, None), origin.vector
                check_slot = cgutils.alloca_once_value(builder, checked.load(1)[0])
                for i, value in enumerate(emit_product(builder, matrix, origin.load(len(matrix[0])))):
                    inside = builder.icmp_signed("<", _INT(i), wanted)
                    slot = cgutils.alloca_once_value(builder, value)
                    with builder.if_then(inside):
                        with builder.if_then(is_added):
                            builder.store(builder.fadd(value, other.load_lanes(i, mask)), slot)
                        total = builder.load(slot, typ=origin.vector)
                        terms = [total, zero, builder.load(check_slot, typ=kind)]
                        builder.store(call_intrinsic(builder, "llvm.fmuladd.{}", kind, kind, terms), check_slot)
                        below = builder.fcmp_ordered("<=", total, limit_value)
                        bounded = builder.select(below, limit_value, total)
                        with builder.if_else(whole) as (full, partial):
                            with full, builder.if_else(streams) as (streamed, stored):
                                with streamed:
                                    goal.stream(i, bounded)
                                with stored:
                                    goal.store(i, bounded)
                            with partial:
                                goal.store(i, bounded, mask)
                checked.store(0, builder.load(check_slot, typ=kind))

            _for_each_size(builder, args[0], matrices, emit)
            return context.get_dummy_value()

        index = types.int64
        return types.void(
            index,
            source,
            index,
            index,
            target,
            index,
            index,
            addend,
            types.boolean,
            limit,
            index,
            index,
            types.boolean,
            index,
        ), codegen

    return product
