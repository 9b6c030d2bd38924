"""The simulator notices kernels that are wrong: each of these is, in the way that its name says."""

from __future__ import annotations

import numpy as np
import pytest
from simulator import SimulationError, empty

from kernels.cuda import jit
from kernels.cuda.jit import Floats, cuda, f32, u32
from kernels.cuda.micro.vectors import load4


def marked(body, shared=256):
    """A kernel that is not listed among those of the package."""
    kernel = jit.Kernel(body, threads=64, registers=32, shared=shared)
    jit.kernels.remove(kernel)
    return kernel


def reverse(x: Floats, out: Floats):
    values = cuda.shared.array(64, f32)
    i = u32(cuda.threadIdx.x)
    values[i] = x[i]
    cuda.syncthreads()
    out[i] = values[u32(u32(63) - i)]


def without_barrier(x: Floats, out: Floats):
    values = cuda.shared.array(64, f32)
    i = u32(cuda.threadIdx.x)
    values[i] = x[i]
    out[i] = values[u32(u32(63) - i)]


def without_second_barrier(x: Floats, out: Floats):
    values = cuda.shared.array(64, f32)
    i = u32(cuda.threadIdx.x)
    for k in range(2):
        values[i] = x[i] * f32(k)
        cuda.syncthreads()
        out[i] = values[u32(u32(63) - i)]


def write_too_early(x: Floats, out: Floats):
    values = cuda.shared.array(64, f32)
    i = u32(cuda.threadIdx.x)
    values[i] = x[i]
    cuda.syncthreads()
    total = values[u32(0)]
    if i == u32(63):
        values[u32(0)] = total + f32(1)


def divergent_barrier(x: Floats, out: Floats):
    i = u32(cuda.threadIdx.x)
    if i < u32(32):
        cuda.syncthreads()
    out[i] = x[i]


def two_barriers(x: Floats, out: Floats):
    i = u32(cuda.threadIdx.x)
    if i < u32(32):
        cuda.syncthreads()
    else:
        cuda.syncthreads()
    out[i] = x[i]


def write_past_the_end(x: Floats, out: Floats):
    out[u32(u32(cuda.threadIdx.x) + u32(1))] = f32(1)


def read_before_the_start(x: Floats, out: Floats):
    i = u32(cuda.threadIdx.x)
    out[i] = x[jit.i32(i) - 1]


def uninitialised_shared(x: Floats, out: Floats):
    values = cuda.shared.array(64, f32)
    i = u32(cuda.threadIdx.x)
    out[i] = values[i]


def blocks_that_meet(x: Floats, out: Floats):
    i = u32(cuda.threadIdx.x)
    out[i] = x[i]


def unaligned_vector(x: Floats, out: Floats):
    out[u32(cuda.threadIdx.x)] = load4(x, u32(cuda.threadIdx.x))[0]


FAULTS = [
    (without_barrier, 1, "race, read without a barrier after a write|read before it is written"),
    (without_second_barrier, 1, "race, read without a barrier after a write"),
    (write_too_early, 1, "race, (written after a read without a barrier|read without a barrier after a write)"),
    (divergent_barrier, 1, "divergent barrier in divergent_barrier"),
    (two_barriers, 1, "divergent barrier in two_barriers"),
    (write_past_the_end, 1, r"out\[64\]: outside of 64 elements"),
    (read_before_the_start, 1, r"x\[-1\]: outside of 64 elements"),
    (uninitialised_shared, 1, "read before it is written"),
    (blocks_that_meet, 2, "race, written twice without a barrier, thread .* of block \\(1, 0, 0\\)"),
    (unaligned_vector, 1, "is not aligned to four floats"),
]


@pytest.mark.parametrize(("body", "blocks", "message"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_faults_are_noticed(gpu, body, blocks, message):
    with pytest.raises(SimulationError, match=message):
        marked(body)(blocks, np.zeros(64, np.float32), empty(64))


def test_a_right_kernel_passes(gpu):
    x, out = np.arange(64, dtype=np.float32), empty(64)
    marked(reverse)(1, x, out)
    np.testing.assert_array_equal(out, x[::-1])


def test_budgets_of_shared_memory_hold(gpu):
    with pytest.raises(SimulationError, match="256 bytes of shared memory, budget 255"):
        marked(reverse, shared=255)(1, empty(64), empty(64))
