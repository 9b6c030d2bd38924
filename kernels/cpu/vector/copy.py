"""Contiguous memory, copied and cleared a vector at a time.

LLVM does not vectorise the same loops over single values: it would have to prove that the two arrays do not overlap.
Copied value by value, the windows of a direct convolution took a fifth of its time (benchmarks/NOTES.md, "Zen 5").
"""

from kernels.cpu.vector.values import vlanes, vload, vload_part, vsplat, vstore, vstore_part
from kernels.jit import inline


@inline
def copy_line(source, offset, out, at, count):
    """out[at + i] = source[offset + i] for i < count."""
    lanes = vlanes(out)
    whole = count // lanes * lanes
    for i in range(0, whole, lanes):
        vstore(vload(source, offset + i), out, at + i)
    if whole < count:
        vstore_part(vload_part(source, offset + whole, count - whole), out, at + whole, count - whole)


@inline
def clear_line(out, at, count):
    """out[at + i] = 0 for i < count."""
    lanes = vlanes(out)
    whole = count // lanes * lanes
    zero = vsplat(out, 0)
    for i in range(0, whole, lanes):
        vstore(zero, out, at + i)
    if whole < count:
        vstore_part(zero, out, at + whole, count - whole)


@inline
def copy_padded(source, offset, out, at, count, padded):
    """out[at + i] = source[offset + i] for i < count, 0 for count <= i < padded; `padded` is a multiple of VL.

    Only whole vectors are stored: a masked store takes AMD's cores many cycles.
    """
    lanes = vlanes(out)
    whole = count // lanes * lanes
    for i in range(0, whole, lanes):
        vstore(vload(source, offset + i), out, at + i)
    if whole < count:
        vstore(vload_part(source, offset + whole, count - whole), out, at + whole)
        whole += lanes
    clear_line(out, at + whole, padded - whole)
