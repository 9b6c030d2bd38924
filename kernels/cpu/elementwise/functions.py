"""Functions of one element: y = f(x) on the flat memory of an array, whose shape and order of axes do not matter.

The two kernels of such a function differ from those of another only in what they do to a vector. So they are written
once, in `elementwise`, which makes them from two functions of vectors: the value, and the gradient of the input.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from kernels.cpu.vector.math import verf, vexp, vsigmoid, vtanh
from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.values import load_lanes, store_lanes, vlanes, vless_equal, vrelu, vselect, vsplat
from kernels.jit import inline
from kernels.launch import Kernel, kernel_named

CHUNK = 16 * 1024  # elements: 64 KiB of float32 in and as much out stay in a core's L2


class Elementwise(NamedTuple):
    """The kernels of one function: `forward(x, out, settings)`, `grad_input(grad_out, kept, grad_x, settings)`."""

    forward: Kernel
    grad_input: Kernel


@inline
def _chunks(x):
    return ceil_div(x.shape[0], CHUNK)


@inline
def _grad_chunks(grad_x):
    return ceil_div(grad_x.shape[0], CHUNK)


def elementwise(name: str, value: Callable[..., Any], gradient: Callable[..., Any]) -> Elementwise:
    """The kernels `<name>_forward` and `<name>_grad_input`.

    Args:
        name: of the function, unique among all kernels.
        value: f(v), as `value(x, v, settings)` with a vector v, an array x of its element type and the function's
            settings, a tuple of numbers.
        gradient: g * f'(v), as `gradient(x, g, kept, settings)`; kept is v or f(v), as the caller keeps one or the
            other for this function.
    """

    @kernel_named(f"{name}_forward", _chunks)
    def forward(chunk, x, out, settings):
        """A function of every element.

        Computes: out[i] = f(x[i]); x and out (length). Denormals count as 0.
        Requires: C-contiguous 1-D arrays of one length and dtype; out may be x.
        Writes: out.
        Parallel over: chunks of CHUNK elements.
        Why it is fast: one read and one write; blends, not branches; polynomials on whole vectors, no call of libm.
        """
        size = x.shape[0]
        lanes = vlanes(x)
        end = min((chunk + 1) * CHUNK, size)
        for i in range(chunk * CHUNK, end, lanes):
            store_lanes(value(x, load_lanes(x, i, end - i), settings), out, i, end - i)

    @kernel_named(f"{name}_grad_input", _grad_chunks)
    def grad_input(chunk, grad_out, kept, grad_x, settings):
        """The gradient of a function of every element.

        Computes: grad_x[i] = grad_out[i] * f'(x[i]), from kept[i] = x[i] or f(x[i]); all (length).
        Requires: C-contiguous 1-D arrays of one length and dtype; grad_x may be grad_out.
        Writes: grad_x.
        Parallel over: chunks of CHUNK elements.
        Why it is fast: two reads and one write, whatever the derivative is made of.
        """
        size = kept.shape[0]
        lanes = vlanes(kept)
        end = min((chunk + 1) * CHUNK, size)
        for i in range(chunk * CHUNK, end, lanes):
            left = end - i
            g = gradient(kept, load_lanes(grad_out, i, left), load_lanes(kept, i, left), settings)
            store_lanes(g, grad_x, i, left)

    return Elementwise(forward, grad_input)


@inline
def _relu(x, v, settings):
    return vrelu(v)


@inline
def _relu_gradient(x, g, out, settings):
    zero = vsplat(x, 0)
    return vselect(vless_equal(out, zero), zero, g)  # NaN in out lets the gradient pass


@inline
def _exp(x, v, settings):
    return vexp(x, v)


@inline
def _exp_gradient(x, g, out, settings):
    return g * out


@inline
def _tanh(x, v, settings):
    return vtanh(x, v)


@inline
def _tanh_gradient(x, g, out, settings):
    return g * (vsplat(x, 1) - out * out)


@inline
def _sigmoid(x, v, settings):
    return vsigmoid(x, v)


@inline
def _sigmoid_gradient(x, g, out, settings):
    return g * (out * (vsplat(x, 1) - out))


@inline
def _erf(x, v, settings):
    return verf(x, v)


@inline
def _erf_gradient(x, g, v, settings):
    return g * (vsplat(x, TWO_OVER_ROOT_PI) * vexp(x, vsplat(x, 0) - v * v))


TWO_OVER_ROOT_PI = 1.1283791670955126

# The first four keep their output for the gradient, erf its input.
relu = elementwise("relu", _relu, _relu_gradient)
exp = elementwise("exp", _exp, _exp_gradient)
tanh = elementwise("tanh", _tanh, _tanh_gradient)
sigmoid = elementwise("sigmoid", _sigmoid, _sigmoid_gradient)
erf = elementwise("erf", _erf, _erf_gradient)
