"""The two limits of the machine, the lines of the roofline, each measured by the simplest loop that reaches it.

Source: S. Williams, A. Waterman and D. Patterson, "Roofline: An Insightful Visual Performance Model for Multicore
Architectures" (2009).
"""

from numba.core import cgutils, types

from kernels.cpu.vector.emit import array_pointer
from kernels.cpu.vector.target import TILE_ROWS, TILE_VECTORS
from kernels.cpu.vector.values import Vector, lanes_of
from kernels.jit import inline, intrinsic
from kernels.launch import kernel

CHAINS = TILE_ROWS * TILE_VECTORS


@intrinsic
def _fma_chains(typing_context, x, out, out_offset, steps):
    """`steps` times, multiply-add in CHAINS independent vectors that stay in registers; their sum goes to out."""

    def codegen(context, builder, signature, arguments):
        x_value, out_value, offset, steps_value = arguments
        lanes = lanes_of(context, builder, Vector(x.dtype))
        source = array_pointer(context, builder, x, x_value)
        factor = lanes.load(source)
        chains = [
            cgutils.alloca_once_value(builder, lanes.load(lanes.at(source, (1 + i) * lanes.lanes)))
            for i in range(CHAINS)
        ]
        with cgutils.for_range(builder, steps_value):
            for chain in chains:
                builder.store(lanes.fma(builder.load(chain, typ=lanes.vector), factor, factor), chain)
        total = builder.load(chains[0], typ=lanes.vector)
        for chain in chains[1:]:
            total = builder.fadd(total, builder.load(chain, typ=lanes.vector))
        lanes.store(total, array_pointer(context, builder, out, out_value, offset))
        return context.get_dummy_value()

    return types.void(x, out, types.int64, types.int64), codegen


PARTS = 64


@inline
def _rows(out):
    return out.shape[0]


@kernel(_rows)
def fma_peak(chunk, x, out, steps):
    """Multiply-adds and nothing else.

    Computes   steps * CHAINS * VL multiply-adds per row of out.
    Requires   x flat, (1 + CHAINS) * VL values below 1 in magnitude; out (chunks, VL).
    Writes     all of out.
    Parallel   over chunks.
    Why        no loads or stores in the loop, and enough independent chains to hide the latency.
    """
    flat = out.reshape(-1)
    _fma_chains(x, flat, chunk * out.shape[1], steps)


@kernel(PARTS)
def copy_bandwidth(chunk, x, out):
    """Copy x to out.

    Computes   out[i] = x[i].
    Requires   x and out flat, of one length.
    Writes     all of out.
    Parallel   over PARTS parts.
    Why        one stream in, one stream out.
    """
    for i in range(chunk * x.size // PARTS, (chunk + 1) * x.size // PARTS):
        out[i] = x[i]
