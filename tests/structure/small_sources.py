"""What the tests of the rules share: a kernel that breaks none, and the short form of what a rule finds."""

GOOD_KERNEL = '''
"""Kernels."""
from kernels.launch import kernel


@kernel(4)
def relu_forward(chunk, x, out):
    """Rectified linear unit.

    Computes: out[i] = max(x[i], 0).
    Requires: 1-D arrays.
    Writes: out.
    Parallel over: chunks.
    Why it is fast: it is.
    """
    for i in range(chunk, x.size, 4):
        if x[i] > 0:
            out[i] = x[i]
            continue
        out[i] = 0
'''


def found(rule, sources):
    """The first words of what a rule finds: module, or module and name."""
    return [line.split(": ")[0] for line in rule(sources)]
