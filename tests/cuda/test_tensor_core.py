"""The emulated instruction by itself: every element has one holder, products are products, and warps stay together."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensor_core
from simulator import SimulationError, empty
from tensor_core import A, B, C

from kernels.cuda import jit
from kernels.cuda.jit import Floats, cuda, f32, u32
from kernels.cuda.micro.mma import instruction, mma_float16

KINDS = "float16", "bfloat16"


@pytest.mark.parametrize(("places", "shape"), [(A, (16, 16)), (B, (16, 8)), (C, (16, 8))], ids="ABC")
def test_every_element_has_one_holder(places, shape):
    count = np.zeros(shape, int)
    np.add.at(count, places, 1)
    assert (count == 1).all()


def words(kind: str, matrix: np.ndarray, places: tuple) -> np.ndarray:
    return np.ascontiguousarray(tensor_core.bits(kind, matrix)[places]).view("<u4")


@pytest.mark.parametrize("kind", KINDS)
def test_a_warp_multiplies(kind, rng):
    """Small integers are exact in all types."""
    a, b, c = (rng.integers(-8, 9, shape).astype(np.float32) for shape in ((16, 16), (16, 8), (16, 8)))
    held = words(kind, a, A), words(kind, b, B), c[C]
    d = np.empty((16, 8), np.float32)
    d[C] = tensor_core.mma(kind, [(*held[0][lane], *held[1][lane], *held[2][lane]) for lane in range(32)])
    np.testing.assert_array_equal(d, a @ b + c)


def test_the_text_of_the_instruction():
    """Registers in the order of the ISA: four of D, then of A, two of B, four of C."""
    text = instruction("f16")
    assert text.startswith("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 ")
    assert re.findall(r"\$(\d+)", text) == [str(i) for i in range(14)]


def alone(out: Floats):
    thread = u32(cuda.threadIdx.x)
    if thread < u32(31):
        d = mma_float16(u32(0), u32(0), u32(0), u32(0), u32(0), u32(0), f32(0), f32(0), f32(0), f32(0))
        out[thread] = d[0]


def in_two_places(out: Floats):
    thread = u32(cuda.threadIdx.x)
    zero = u32(0)
    if thread < u32(16):
        d = mma_float16(zero, zero, zero, zero, zero, zero, f32(0), f32(0), f32(0), f32(0))
    else:
        d = mma_float16(zero, zero, zero, zero, zero, zero, f32(0), f32(0), f32(0), f32(0))
    out[thread] = d[0]


@pytest.mark.parametrize("body", [alone, in_two_places])
def test_warps_stay_together(gpu, body):
    kernel = jit.Kernel(body, threads=32, registers=32, shared=0)
    jit.kernels.remove(kernel)
    with pytest.raises(SimulationError, match="divergent instruction of a warp"):
        kernel(1, empty(32))
