"""Values of 16 bits: rounding float32 to them, reading them, and matrices of them.

    float16    1 sign, 5 exponent, 10 fraction bits     up to 65504, 3 decimal digits
    bfloat16   1 sign, 8 exponent,  7 fraction bits     as far as float32: the upper half of one; 2 digits

Both round to the nearest, and of two equally near to the one whose last bit is 0. Arrays hold the bits, as uint16.
Source: IEEE 754-2019, section 3.6 (binary16); "BFLOAT16 - Hardware Numerics Definition", Intel (2018).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from kernels.cuda.jit import Count, Floats, Halves, Kernel, cuda, device, f32, intrinsic, kernel_named, types, u32
from kernels.cuda.micro.vectors import load4, store8

THREADS = 256
CHUNK = 8  # values in 16 bytes: rows are padded to a multiple of it, with zeros

_WORD, _SHORT, _HALF = ir.IntType(32), ir.IntType(16), ir.HalfType()


@intrinsic
def float_bits(typing_context, value):
    """The 32 bits of a float32."""
    return types.uint32(types.float32), lambda context, builder, signature, given: builder.bitcast(given[0], _WORD)


@intrinsic
def float_from_bits(typing_context, bits):
    """The float32 of 32 bits."""
    return (
        types.float32(types.uint32),
        lambda context, builder, signature, given: builder.bitcast(given[0], ir.FloatType()),
    )


@intrinsic
def round_float16(typing_context, value):
    """The bits of the float16 that is nearest to a float32, in a word."""

    def emit(context, builder, signature, given):
        return builder.zext(builder.bitcast(builder.fptrunc(given[0], _HALF), _SHORT), _WORD)

    return types.uint32(types.float32), emit


@intrinsic
def value_float16(typing_context, bits):
    """The value of the float16 in the lower half of a word."""

    def emit(context, builder, signature, given):
        return builder.fpext(builder.bitcast(builder.trunc(given[0], _SHORT), _HALF), ir.FloatType())

    return types.float32(types.uint32), emit


@device
def round_bfloat16(value):
    """The bits of the bfloat16 that is nearest to a float32, in a word.

    Adds almost half of the last kept bit, and that bit itself: the carry rounds up. NaN stays NaN: its upper half with
    the first bit of the fraction set.
    """
    bits = float_bits(value)
    if u32(bits & u32(0x7FFFFFFF)) > u32(0x7F800000):
        return u32(u32(bits >> u32(16)) | u32(0x40))
    return u32(u32(bits + u32(0x7FFF) + u32(u32(bits >> u32(16)) & u32(1))) >> u32(16))


@device
def value_bfloat16(bits):
    """The value of the bfloat16 in the lower half of a word."""
    return float_from_bits(u32(bits << u32(16)))


def _round_rows(name: str, rounded: Any) -> Kernel:
    @kernel_named(name, threads=THREADS, registers=40)
    def round_rows(x: Floats, out: Halves, rows: Count, columns: Count, padded: Count):
        """Round a matrix to 16 bits.

        Computes   out[r, c] = x[r, c] for c < columns, 0 for c from there to padded.
        Requires   x (rows, columns), out (rows, padded), aligned to 16 bytes; padded a multiple of 8, at least columns.
        Writes     all of out.
        Parallel   over rows and eights of columns: grid ceil(rows * padded / 8 / 256).
        Why        two reads and one write, 16 bytes each, where rows are whole fours; products move half the bytes.
        """
        e = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
        chunks = u32(padded // u32(CHUNK))
        row = u32(e // chunks)
        if row < rows:
            c = u32(u32(e - row * chunks) * u32(CHUNK))
            at = u32(row * columns + c)
            words = cuda.local.array(CHUNK, u32)
            if u32(at & u32(3)) == u32(0) and u32(c + u32(CHUNK)) <= columns:
                for half in range(0, CHUNK, 4):
                    values = load4(x, u32(at + u32(half)))
                    for i in range(4):
                        words[half + i] = rounded(values[i])
            else:
                for i in range(CHUNK):
                    value = f32(0)
                    if u32(c + u32(i)) < columns:
                        value = x[u32(at + u32(i))]
                    words[i] = rounded(value)
            store8(
                out, u32(row * padded + c), u32(words[0] | words[1] << u32(16)), u32(words[2] | words[3] << u32(16)),
                u32(words[4] | words[5] << u32(16)), u32(words[6] | words[7] << u32(16)),
            )  # fmt: skip

    return round_rows


def _pack_filters(name: str, rounded: Any) -> Kernel:
    @kernel_named(name, threads=THREADS, registers=40)
    def pack_filters(
        weight: Floats, filters: Halves, size: Count, c_out: Count, channels: Count, taps: Count, groups: Count,
        padded: Count, backward: Count,
    ):  # fmt: skip
        """Round filters to 16 bits, in the order in which a convolution reads them.

        Computes   filters[g, k, t, c] = weight[g * (c_out / groups) + k, c, t], c < channels; `backward`:
                   filters[g, c, t, k] = the same, k < c_out / groups; 0 from there to padded.
        Requires   weight (c_out, channels, taps); filters with `size` elements, whose last axis is `padded` long.
        Writes     all of filters.
        Parallel   over elements of filters: grid ceil(size / 256).
        Why        the sum of a convolution runs over taps and the last axis, so a filter is contiguous in memory.
        """
        e = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
        if e < size:
            per_group = u32(c_out // groups)
            inner = per_group if backward != u32(0) else channels
            outer = channels if backward != u32(0) else per_group
            line = u32(e // padded)
            last = u32(e - line * padded)
            block = u32(line // taps)
            tap = u32(line - block * taps)
            group = u32(block // outer)
            first = u32(block - group * outer)
            k = last if backward != u32(0) else first
            c = first if backward != u32(0) else last
            value = f32(0)
            if last < inner:
                value = weight[u32(((group * per_group + k) * channels + c) * taps + tap)]
            filters[e] = rounded(value)

    return pack_filters


round_rows_float16 = _round_rows("round_rows_float16", round_float16)
round_rows_bfloat16 = _round_rows("round_rows_bfloat16", round_bfloat16)
pack_filters_float16 = _pack_filters("pack_filters_float16", round_float16)
pack_filters_bfloat16 = _pack_filters("pack_filters_bfloat16", round_bfloat16)
