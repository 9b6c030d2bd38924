"""The instruction of the tensor cores, and which thread holds which elements of the matrices.

    D (16 x 8) = A (16 x 16) B (16 x 8) + C (16 x 8),     mma.sync.aligned.m16n8k16.row.col.f32.{f16, bf16}

The 32 threads of a warp execute it together. A and B are of 16 bits, two values in a register, the first in the lower
half; C and D are of float32. Each thread brings its part of A, B and C and gets that of D. With g = lane / 4 and
t = lane % 4, element i of a thread's part is, as the PTX ISA has it (version 9, section 9.7.14.5.8, "Matrix Fragments
for mma.m16n8k16 with floating point type"):

    A, i = 0 .. 7    row g (i = 0, 1, 4, 5) or g + 8 (i = 2, 3, 6, 7)      column 2t + i % 2, + 8 from i = 4 on
    B, i = 0 .. 3    row 2t + i % 2, + 8 from i = 2 on                     column g
    C, i = 0 .. 3    row g, + 8 from i = 2 on                              column 2t + i % 2

             A  columns 2t, 2t+1   2t+8, 2t+9          B        column g         C, D   columns 2t, 2t+1
    row g       [  register 0  ]  [ register 2 ]       rows 2t, 2t+1   [0]       row g       [ c0, c1 ]
    row g + 8   [  register 1  ]  [ register 3 ]       rows 2t+8, +9   [1]       row g + 8   [ c2, c3 ]

So each register is a pair of neighbours along the sum: if both operands are in shared memory with the index of the sum
running fastest, a register is one word of it (kernels/cuda/micro/tile_half.py).

GPUs have it from generation 8.0 on. Those of 7.5 have only a shorter one, for float16 alone; they use the variant of
the tile that multiplies without it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from kernels.cuda.jit import intrinsic, types

GENERATION = (8, 0)  # the first that has the instruction

_RESULT = types.UniTuple(types.float32, 4)
_SIGNATURE = _RESULT(*[types.uint32] * 6, *[types.float32] * 4)
_CONSTRAINTS = ",".join(["=f"] * 4 + ["r"] * 6 + ["f"] * 4)


def instruction(kind: str) -> str:
    """Its text for operands of a type of PTX: registers of D, A, B and C."""
    return (
        f"mma.sync.aligned.m16n8k16.row.col.f32.{kind}.{kind}.f32 "
        "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
    )


def _emitter(kind: str) -> Any:
    """Emits the instruction."""
    float_, word = ir.FloatType(), ir.IntType(32)
    function = ir.FunctionType(ir.LiteralStructType([float_] * 4), [word] * 6 + [float_] * 4)

    def emit(context, builder, signature, arguments):
        # With a side effect and convergent: it must not be moved, for all threads of the warp must reach it.
        assembly = ir.InlineAsm(function, instruction(kind), _CONSTRAINTS, side_effect=True)
        result = builder.call(assembly, arguments, attrs=("convergent",))
        return context.make_tuple(builder, _RESULT, [builder.extract_value(result, i) for i in range(4)])

    return emit


_emit_float16, _emit_bfloat16 = _emitter("f16"), _emitter("bf16")


@intrinsic
def mma_float16(typing_context, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3):
    """This thread's (d0, d1, d2, d3) of A B + C, from its registers of A and B, words, and its values of C."""
    return _SIGNATURE, _emit_float16


@intrinsic
def mma_bfloat16(typing_context, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3):
    """This thread's (d0, d1, d2, d3) of A B + C, from its registers of A and B, words, and its values of C."""
    return _SIGNATURE, _emit_bfloat16
