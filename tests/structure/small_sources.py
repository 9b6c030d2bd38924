"""What the tests of the rules share: a kernel that breaks none, and the short form of what a rule finds."""

GOOD_KERNEL = '''
"""Kernels."""
from kernels.cpu.vector.chunk import begin_chunk, end_chunk
from kernels.jit import kernel, prange


@kernel
def relu_forward(x, out):
    """Rectified linear unit.

    Computes: out[i] = max(x[i], 0).
    Requires: 1-D arrays.
    Writes: out.
    Parallel over: chunks.
    Why it is fast: it is.
    """
    for chunk in prange(4):
        mode = begin_chunk()
        for i in range(chunk, x.size, 4):
            if x[i] > 0:
                out[i] = x[i]
                continue
            out[i] = 0
        end_chunk(mode)
'''


def found(rule, sources):
    """The first words of what a rule finds: module, or module and name."""
    return [line.split(": ")[0] for line in rule(sources)]
