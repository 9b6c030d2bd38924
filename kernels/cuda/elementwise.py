"""Functions of one and of two elements, on the flat memory of arrays, whose shape and order of axes do not matter.

A thread takes four neighbours, with vector loads and stores; the last ones of an array may be fewer. Every array must
begin at a multiple of 16 bytes, as those of the allocator do.
"""

from __future__ import annotations

from typing import Any

from kernels.cuda.jit import Count, Floats, Kernel, cuda, device, f32, kernel_named, u32
from kernels.cuda.micro.vectors import load4, store4

THREADS = 256
PER_BLOCK = 4 * THREADS


def _unary(name: str, value: Any) -> Kernel:
    @kernel_named(name, threads=THREADS, registers=32)
    def forward(x: Floats, out: Floats, size: Count):
        """A function of every element.

        Computes   out[i] = f(x[i]).
        Requires   x, out (size), aligned to 16 bytes.
        Writes     out; it may be x.
        Parallel   over elements by four: grid ceil(size / PER_BLOCK).
        Why        one read and one write, 16 bytes a thread.
        """
        at = u32(u32(cuda.blockIdx.x) * u32(PER_BLOCK) + u32(cuda.threadIdx.x) * u32(4))
        if u32(at + u32(4)) <= size:
            x0, x1, x2, x3 = load4(x, at)
            store4(out, at, value(x0), value(x1), value(x2), value(x3))
        else:
            for i in range(at, size):
                out[u32(i)] = value(x[u32(i)])

    return forward


def _binary(name: str, value: Any, registers: int = 32) -> Kernel:
    @kernel_named(name, threads=THREADS, registers=registers)
    def forward(x: Floats, y: Floats, out: Floats, size: Count):
        """A function of every pair of elements.

        Computes   out[i] = f(x[i], y[i]).
        Requires   x, y, out (size), aligned to 16 bytes.
        Writes     out; it may be x or y.
        Parallel   over elements by four: grid ceil(size / PER_BLOCK).
        Why        two reads and one write, 16 bytes a thread.
        """
        at = u32(u32(cuda.blockIdx.x) * u32(PER_BLOCK) + u32(cuda.threadIdx.x) * u32(4))
        if u32(at + u32(4)) <= size:
            x0, x1, x2, x3 = load4(x, at)
            y0, y1, y2, y3 = load4(y, at)
            store4(out, at, value(x0, y0), value(x1, y1), value(x2, y2), value(x3, y3))
        else:
            for i in range(at, size):
                out[u32(i)] = value(x[u32(i)], y[u32(i)])

    return forward


@device
def _relu(x):
    return f32(0) if x <= f32(0) else x  # NaN stays NaN


@device
def _relu_gradient(g, out):
    return f32(0) if out <= f32(0) else g


@device
def _hardsigmoid(x):
    x = x + f32(3)
    x = f32(0) if x < f32(0) else x
    x = f32(6) if x > f32(6) else x
    return x * f32(1 / 6)


@device
def _hardsigmoid_gradient(g, x):
    return g * f32(1 / 6) if x > f32(-3) and x < f32(3) else f32(0)


@device
def _hardswish(x):
    return x * _hardsigmoid(x)


@device
def _hardswish_gradient(g, x):
    inside = g * (x * f32(1 / 3) + f32(0.5))
    inside = g if x >= f32(3) else inside
    return f32(0) if x <= f32(-3) else inside


@device
def _add(x, y):
    return x + y


@device
def _sub(x, y):
    return x - y


@device
def _mul(x, y):
    return x * y


@device
def _div(x, y):
    return f32(x / y)


relu_forward = _unary("relu_forward", _relu)
relu_grad_input = _binary("relu_grad_input", _relu_gradient)  # of grad_out and the output
hardsigmoid_forward = _unary("hardsigmoid_forward", _hardsigmoid)
hardsigmoid_grad_input = _binary("hardsigmoid_grad_input", _hardsigmoid_gradient)  # of grad_out and the input
hardswish_forward = _unary("hardswish_forward", _hardswish)
hardswish_grad_input = _binary("hardswish_grad_input", _hardswish_gradient)  # of grad_out and the input
add = _binary("add", _add)
sub = _binary("sub", _sub)
mul = _binary("mul", _mul)
div = _binary("div", _div, registers=40)
