"""Activations, one element at a time, on the flat memory of an array: its shape and order of axes do not matter."""

from kernels.cpu.denormals import flush_denormals, restore_denormals
from kernels.cpu.simd import load_lanes, store_lanes, vlanes
from kernels.cpu.vector_math import vexp, vsigmoid, vtanh
from kernels.jit import kernel, prange

CHUNK = 16 * 1024  # elements: 64 KiB of float32 in and as much out stay in a core's L2


@kernel
def relu_forward(x, out):
    """Rectified linear unit.

    Computes: out[i] = x[i] if x[i] > 0 else 0, and NaN where x[i] is NaN; x and out (length). Denormals count as 0.
    Requires: C-contiguous 1-D arrays of one length and dtype.
    Writes: out.
    Parallel over: chunks of CHUNK elements.
    Why it is fast: it moves memory at full width; the choice is a blend, not a branch.
    """
    size = x.shape[0]
    chunks = (size + CHUNK - 1) // CHUNK
    zero = x.dtype.type(0)
    for chunk in prange(chunks):
        mode = flush_denormals()
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, size)):
            value = x[i]
            out[i] = zero if value <= zero else value
        restore_denormals(mode)


@kernel
def relu_grad_input(grad_out, out, grad_x):
    """Gradient of the rectified linear unit.

    Computes: grad_x[i] = 0 if out[i] <= 0 else grad_out[i]; all (length). NaN in out lets the gradient pass.
    Requires: C-contiguous 1-D arrays of one length and dtype; out as written by `relu_forward`.
    Writes: grad_x.
    Parallel over: chunks of CHUNK elements.
    Why it is fast: it needs the output only, which the next layer keeps anyway; a blend, not a branch.
    """
    size = out.shape[0]
    chunks = (size + CHUNK - 1) // CHUNK
    zero = out.dtype.type(0)
    for chunk in prange(chunks):
        mode = flush_denormals()
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, size)):
            gradient = grad_out[i]  # loaded in any case: a load under a condition would keep vectors away
            grad_x[i] = zero if out[i] <= zero else gradient
        restore_denormals(mode)


@kernel
def exp_forward(x, out):
    """The exponential function.

    Computes: out[i] = exp(x[i]); x and out (length).
    Requires: C-contiguous 1-D arrays of one length and dtype.
    Writes: out.
    Parallel over: chunks of CHUNK elements.
    Why it is fast: a polynomial on whole vectors, no call of libm.
    """
    size = x.shape[0]
    lanes = vlanes(x)
    for chunk in prange((size + CHUNK - 1) // CHUNK):
        mode = flush_denormals()
        end = min((chunk + 1) * CHUNK, size)
        for i in range(chunk * CHUNK, end, lanes):
            store_lanes(vexp(x, load_lanes(x, i, end - i)), out, i, end - i)
        restore_denormals(mode)


@kernel
def tanh_forward(x, out):
    """The hyperbolic tangent.

    Computes: out[i] = tanh(x[i]); x and out (length).
    Requires: C-contiguous 1-D arrays of one length and dtype.
    Writes: out.
    Parallel over: chunks of CHUNK elements.
    Why it is fast: a polynomial on whole vectors, no call of libm.
    """
    size = x.shape[0]
    lanes = vlanes(x)
    for chunk in prange((size + CHUNK - 1) // CHUNK):
        mode = flush_denormals()
        end = min((chunk + 1) * CHUNK, size)
        for i in range(chunk * CHUNK, end, lanes):
            store_lanes(vtanh(x, load_lanes(x, i, end - i)), out, i, end - i)
        restore_denormals(mode)


@kernel
def sigmoid_forward(x, out):
    """The logistic function.

    Computes: out[i] = 1 / (1 + exp(-x[i])); x and out (length).
    Requires: C-contiguous 1-D arrays of one length and dtype.
    Writes: out.
    Parallel over: chunks of CHUNK elements.
    Why it is fast: a polynomial on whole vectors, no call of libm.
    """
    size = x.shape[0]
    lanes = vlanes(x)
    for chunk in prange((size + CHUNK - 1) // CHUNK):
        mode = flush_denormals()
        end = min((chunk + 1) * CHUNK, size)
        for i in range(chunk * CHUNK, end, lanes):
            store_lanes(vsigmoid(x, load_lanes(x, i, end - i)), out, i, end - i)
        restore_denormals(mode)
