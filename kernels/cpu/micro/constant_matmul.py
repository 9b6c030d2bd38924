"""Small constant matrices times vectors: Winograd's transforms are made of such products.

`constant_product` gives a function that loads vectors a fixed step apart in memory, multiplies them by a matrix and
stores the result. The matrix is a constant of the code: a 0 costs nothing, a 1 no multiplication. Where the points of a
matrix come in pairs p and -p, what the two have in common is computed once:

    rows     M[i + 1, j] = (-1)^j M[i, j]:  even = sum over even j, odd = sum over odd j;  even + odd, even - odd
    columns  M[i, j + 1] = (-1)^i M[i, j]:  v[j] + v[j + 1] serves the even rows, v[j] - v[j + 1] the odd ones

A matrix and its transpose take one of the two each. For m = 4 this needs 13 operations for the 36 entries of B^T.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from kernels.cpu.vector.emit import Lanes, array_pointer
from kernels.cpu.vector.values import Vector, lanes_of
from kernels.jit import intrinsic

Matrix = tuple[tuple[Fraction, ...], ...]

_INT = ir.IntType(64)


def _sign(number: int) -> int:
    return -1 if number % 2 else 1


def _sum(lanes: Lanes, terms):
    """The sum of coefficient * vector; None for no terms."""
    builder = lanes.builder
    terms = sorted(((c, v) for c, v in terms if c), key=lambda term: term[0] != 1)  # a 1 needs no multiplication
    if not terms:
        return None
    (first, total), *rest = terms

    def constant(value: Fraction):
        return ir.Constant(lanes.vector, [float(value)] * lanes.lanes)

    if first != 1:
        total = builder.fmul(constant(first), total)
    for coefficient, vector in rest:
        if abs(coefficient) == 1:
            total = (builder.fadd if coefficient == 1 else builder.fsub)(total, vector)
        else:
            total = lanes.muladd(constant(coefficient), vector, total)
    return total


def emit_product(lanes: Lanes, matrix: Matrix, vectors: list) -> list:
    """Emit matrix times `vectors`; the result is one vector for each row."""
    builder = lanes.builder
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
        return _sum(lanes, [(matrix[i][j], by_parity[i % 2][j]) for j in chosen])

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


@dataclass
class _Strided:
    """Vectors a step apart in a flat array."""

    lanes: Lanes
    begin: Any  # a pointer
    step: Any

    def address(self, number: int):
        return self.lanes.at(self.begin, number, self.step)

    def load(self, count: int) -> list:
        return [self.lanes.load(self.address(i)) for i in range(count)]


def _strided(context, builder, array_type, array, at, step) -> _Strided:
    lanes = lanes_of(context, builder, Vector(array_type.dtype))
    return _Strided(lanes, array_pointer(context, builder, array_type, array, at), step)


def _for_each_size(builder, m, matrices: Mapping[int, Matrix], emit) -> None:
    """Emit `emit(matrix)` for each m, and the choice between them at run time."""
    done = builder.append_basic_block("product_done")
    switch = builder.switch(m, done)
    for size, matrix in matrices.items():
        block = builder.append_basic_block(f"product_{size}")
        switch.add_case(_INT(size), block)
        builder.position_at_end(block)
        emit(matrix)
        builder.branch(done)
    builder.position_at_end(done)


def constant_product(matrices: Mapping[int, Matrix]):
    """A function (m, source, at, step, target, to, to_step): multiplies vectors by matrices[m].

    target[to + i * to_step] = sum over j of M[i, j] * source[at + j * step], for vectors.
    """

    @intrinsic
    def product(typing_context, m, source, at, step, target, to, to_step):
        def codegen(context, builder, sig, args):
            origin = _strided(context, builder, source, *args[1:4])
            goal = _strided(context, builder, target, *args[4:7])

            def emit(matrix):
                for i, value in enumerate(emit_product(origin.lanes, matrix, origin.load(len(matrix[0])))):
                    goal.lanes.store(value, goal.address(i))

            _for_each_size(builder, args[0], matrices, emit)
            return context.get_dummy_value()

        index = types.int64
        return types.void(index, source, index, index, target, index, index), codegen

    return product


def output_product(matrices: Mapping[int, Matrix]):
    """The last product of a tile, with the epilogue of the convolution.

    A function (m, source, at, step, target, to, to_step, residual, has_residual, lowest, rows, count, stream, check).
    It multiplies as `constant_product` does, adds the vectors at the same places of `residual` if `has_residual`,
    clamps to `lowest` from below (NaN stays NaN), and stores what lies inside the image: the first `rows` results, of
    each the first `count` lanes. If `stream`, whole vectors are stored past the caches. 0 times each result, before it
    is clamped, is added to the vector source[check], which stays 0 while all are finite.
    """

    @intrinsic
    def product(
        typing_context, m, source, at, step, target, to, to_step, residual, has_residual, lowest, rows, count, stream,
        check,
    ):  # fmt: skip
        def codegen(context, builder, sig, args):
            origin = _strided(context, builder, source, *args[1:4])
            goal = _strided(context, builder, target, *args[4:7])
            other = _strided(context, builder, residual, args[7], *args[5:7])
            added, limit, row_count, used, streams, check_at = args[8:14]
            checked = array_pointer(context, builder, source, args[1], check_at)
            lanes = origin.lanes
            whole, mask = builder.icmp_signed(">=", used, _INT(lanes.lanes)), lanes.first(used)

            def emit(matrix):
                check_slot = cgutils.alloca_once_value(builder, lanes.load(checked))
                for i, value in enumerate(emit_product(lanes, matrix, origin.load(len(matrix[0])))):
                    inside = builder.icmp_signed("<", _INT(i), row_count)
                    slot = cgutils.alloca_once_value(builder, value)
                    with builder.if_then(inside):
                        with builder.if_then(added):
                            builder.store(builder.fadd(value, lanes.load(other.address(i), mask)), slot)
                        total = builder.load(slot, typ=lanes.vector)
                        finite_so_far = builder.load(check_slot, typ=lanes.vector)
                        builder.store(lanes.muladd(total, lanes.zero, finite_so_far), check_slot)
                        below = builder.fcmp_ordered("<=", total, limit)
                        clamped = builder.select(below, limit, total)
                        with builder.if_else(whole) as (full, partial):
                            with full, builder.if_else(streams) as (streamed, stored):
                                with streamed:
                                    lanes.stream(clamped, goal.address(i))
                                with stored:
                                    lanes.store(clamped, goal.address(i))
                            with partial:
                                lanes.store(clamped, goal.address(i), mask)
                lanes.store(builder.load(check_slot, typ=lanes.vector), checked)

            _for_each_size(builder, args[0], matrices, emit)
            return context.get_dummy_value()

        index, flag = types.int64, types.boolean
        return types.void(
            index, source, index, index, target, index, index, residual, flag, lowest, index, index, flag, index
        ), codegen

    return product
