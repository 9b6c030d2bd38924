"""What the machine can do at most: the two lines of the roofline, each measured by the simplest loop that reaches it.

Source: S. Williams, A. Waterman and D. Patterson, "Roofline: An Insightful Visual Performance Model for Multicore
Architectures" (2009).
"""

from llvmlite import ir
from numba.core import cgutils, types

from kernels.cpu.vector.chunk import begin_chunk, end_chunk
from kernels.cpu.vector.target import REGISTER_BYTES, TILE_ROWS, TILE_VECTORS
from kernels.jit import intrinsic, kernel, prange

CHAINS = TILE_ROWS * TILE_VECTORS


@intrinsic
def _fma_chains(typing_context, x, out, out_offset, steps):
    """`steps` times, multiply-add in CHAINS independent vectors that stay in registers; their sum goes to out."""

    def codegen(context, builder, signature, arguments):
        x_value, out_value, offset, steps_value = arguments
        element = context.get_value_type(x.dtype)
        element_bits = 32 if isinstance(element, ir.FloatType) else 64
        lanes = 8 * REGISTER_BYTES // element_bits
        vector = ir.VectorType(element, lanes)
        name = f"llvm.fma.v{lanes}f{element_bits}"
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)

        def load(index):
            pointer = builder.gep(source, [ir.Constant(ir.IntType(64), index * lanes)], source_etype=element)
            return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=4, typ=vector)

        source = context.make_array(x)(context, builder, x_value).data
        factor = load(0)
        chains = [cgutils.alloca_once_value(builder, load(1 + i)) for i in range(CHAINS)]
        with cgutils.for_range(builder, steps_value):
            for chain in chains:
                builder.store(builder.call(fma, [builder.load(chain, typ=vector), factor, factor]), chain)
        total = builder.load(chains[0], typ=vector)
        for chain in chains[1:]:
            total = builder.fadd(total, builder.load(chain, typ=vector))
        target = builder.gep(context.make_array(out)(context, builder, out_value).data, [offset], source_etype=element)
        builder.store(total, builder.bitcast(target, vector.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(x, out, types.int64, types.int64), codegen


@kernel
def fma_peak(x, out, steps):
    """Multiply-adds and nothing else.

    Computes   steps * CHAINS * VL multiply-adds per row of out.
    Requires   x flat, (1 + CHAINS) * VL values below 1 in magnitude; out (tasks, VL).
    Writes     all of out.
    Parallel   over tasks.
    Why        no loads or stores in the loop, and enough independent chains to hide the latency.
    """
    flat = out.reshape(-1)
    for task in prange(out.shape[0]):
        mode = begin_chunk()
        _fma_chains(x, flat, task * out.shape[1], steps)
        end_chunk(mode)


@kernel
def copy_bandwidth(x, out):
    """Copy x to out.

    Computes   out[i] = x[i].
    Requires   x and out flat, of one length.
    Writes     all of out.
    Parallel   over 64 parts.
    Why        one stream in, one stream out.
    """
    parts = 64
    for part in prange(parts):
        mode = begin_chunk()
        for i in range(part * x.size // parts, (part + 1) * x.size // parts):
            out[i] = x[i]
        end_chunk(mode)
