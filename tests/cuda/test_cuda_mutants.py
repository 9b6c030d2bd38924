"""The kernels broken on purpose, line by line: the simulator notices each, whatever the results are.

Every barrier of every kernel is taken out once. So none is missing, and none is there in vain.
"""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from simulator import SimulationError, empty

from kernels.cuda import calls, jit, loss, norm, reduce
from kernels.cuda.calls import ConvSizes, Steps
from kernels.cuda.conv import half as conv16
from kernels.cuda.conv import implicit_gemm as conv_implicit_gemm
from kernels.cuda.linear import gemm
from kernels.cuda.linear import half as gemm16
from kernels.cuda.micro import layout
from kernels.cuda.micro import tile_half as tile16

pytestmark = pytest.mark.usefixtures("reverse_gpu")

BARRIER = "cuda.syncthreads()"
FOLDER = Path(jit.__file__).parent


def broken(module: ModuleType, old: str, new: str, occurrence: int = 0) -> Any:
    """The module, with the given occurrence of a text replaced."""
    assert module.__file__
    source = Path(module.__file__).read_text(encoding="utf-8")
    at = [match.start() for match in re.finditer(re.escape(old), source)][occurrence]
    result = ModuleType(module.__name__)
    count = len(jit.kernels)
    exec(compile(source[:at] + new + source[at + len(old) :], module.__file__, "exec"), vars(result))
    del jit.kernels[count:]
    return result


def run_gemm(module):
    a = np.ones(17, np.float32)
    module.gemm((1, 1, 1), a, a, empty(0), empty(1), 1, 1, 17, 17, 17, 1, 0, 1, 1, 0, 0)


SIZES = ConvSizes(1, 3, 3, 1, 3, 3, 1, 3, 3, 1, 1, 1, 1, 1, 1, 1)
TWO_SLICES = SIZES._replace(c_in=2)


def run_conv(module):
    x, weight = np.ones(18, np.float32), np.ones(18, np.float32)
    rest = *TWO_SLICES.images, *TWO_SLICES.window, 1
    module.conv2d_forward_implicit_gemm((1, 1, 1), x, weight, empty(0), empty(9), 9, *rest, 0)
    pixels = np.ones(32, np.float32)
    line = SIZES._replace(h_in=1, w_in=32, h_out=1, w_out=32)
    module.conv2d_grad_weight_implicit_gemm((1, 1, 1), pixels, pixels, empty(9), 32, *line.images, *line.window, 1, 32)


def run_gemm16(module):
    a, b = np.full((2, 40), 0x3C00, np.uint16), np.full((1, 40), 0x3C00, np.uint16)
    module.gemm_float16((1, 1, 1), a.ravel(), b.ravel(), empty(0), empty(2), 2, 1, 40, 64, 40, 40, 0, 0)


def run_conv16(module):
    x, filters = np.ones(72, np.uint16), np.ones(72, np.uint16)
    rest = *SIZES.images, *SIZES.window, 1
    module.conv2d_forward_float16((1, 1, 1), x, filters, empty(0), empty(9), 9, *rest)
    pixels = np.ones(8 * 40, np.uint16)
    line = SIZES._replace(h_in=1, w_in=40, h_out=1, w_out=40)
    module.conv2d_grad_weight_float16((1, 1, 1), pixels, pixels, empty(9), 40, *line.images, *line.window, 1, 40)


def run_sum(module):
    module.sum_blocks(1, np.ones(300, np.float32), empty(1), 300, 300)


def run_parts(module):
    module.sum_parts(1, np.ones(8, np.float32), empty(4), 4, 2)


def run_statistics(module):
    module.batch_norm_statistics((1, 1), np.ones(60, np.float32), empty(3), empty(3), 20, 3, 20)


def run_loss(module):
    x, target, weight = np.ones(5, np.float32), np.array([2]), np.ones(5, np.float32)
    module.cross_entropy_forward(1, x, target, weight, empty(1), empty(1), empty(1), empty(1), 5, 0, -100)


def run_transpose(module):
    module.transpose((1, 1, 1), np.ones(12, np.float32), empty(12), 3, 4)


RUNS = {
    gemm: run_gemm, gemm16: run_gemm16, conv_implicit_gemm: run_conv, conv16: run_conv16, reduce: run_sum,
    norm: run_statistics, loss: run_loss, layout: run_transpose,
}  # fmt: skip
BARRIERS = [
    (module, occurrence)
    for module in RUNS
    for occurrence in range(Path(str(module.__file__)).read_text(encoding="utf-8").count(BARRIER))
]


def test_all_modules_with_barriers_are_broken():
    with_barriers = {path for path in FOLDER.rglob("*.py") if BARRIER in path.read_text(encoding="utf-8")}
    assert {Path(str(module.__file__)) for module in RUNS} == with_barriers
    for module, run in RUNS.items():
        run(module)


@pytest.mark.parametrize(("module", "occurrence"), BARRIERS, ids=lambda value: getattr(value, "__name__", value))
def test_each_barrier_is_needed(module, occurrence):
    with pytest.raises(SimulationError, match=r"race|read before it is written"):
        RUNS[module](broken(module, BARRIER, "pass", occurrence))


@pytest.mark.parametrize(
    ("module", "old", "new", "run", "message"),
    [
        (reduce, "    if i < size:", "    if i <= size:", run_parts, "outside of"),
        (layout, "and u32(row + across) < rows", "", run_transpose, "read before it is written|outside of"),
        (gemm, "u32(m - first_row), u32(n", "u32(m + u32(1)), u32(n", run_gemm, "outside of"),
        (
            reduce, "        cuda.syncthreads()\n        if thread < half:\n",
            "        if thread < half:\n            cuda.syncthreads()\n", run_sum, "divergent barrier",
        ),
    ],
    ids=["one thread too many", "a side without bound", "one row too many", "a barrier inside a branch"],
)  # fmt: skip
def test_mutants_are_noticed(module, old, new, run, message):
    with pytest.raises(SimulationError, match=message):
        run(broken(module, old, new))


def test_results_that_are_only_wrong_are_noticed():
    """The comparison with the definitions can fail: a window shifted by one, without any access out of bounds."""
    x, out = np.arange(9, dtype=np.float32), empty(9)
    wrong = broken(conv_implicit_gemm, "position * stride - pad)", "position * stride - pad + 1)")
    weight = np.zeros(9, np.float32)
    weight[4] = 1
    rest = *SIZES.images, *SIZES.window, 1
    conv_implicit_gemm.conv2d_forward_implicit_gemm((1, 1, 1), x, weight, empty(0), out, 9, *rest, 0)
    np.testing.assert_array_equal(out, x)
    wrong.conv2d_forward_implicit_gemm((1, 1, 1), x, weight, empty(0), out, 9, *rest, 0)
    assert (out != x).any()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a0, a1, a2, a3, b0", "a0, a2, a1, a3, b0"),
        ("a2, a3, b0, b1", "a2, a3, b1, b0"),
        ("u32(upper + u32(8))", "u32(upper + u32(4))"),
        ("u32(upper + u32(8 * PITCH))", "u32(upper + u32(PITCH))"),
        ("a_first = u32(u32(own_rows() + group())", "a_first = u32(u32(own_rows() + member())"),
        ("u32(2) * member())\n        b_first", "u32(6) - u32(2) * member())\n        b_first"),
        ("sums[s + 1], sums[s + 2], sums[s + 3] = mma(", "sums[s + 2], sums[s + 1], sums[s + 3] = mma("),
    ],
    ids=["A transposed", "B transposed", "columns of A", "rows of A", "groups", "members", "C transposed"],
)  # fmt: skip
def test_fragments_of_another_layout_are_noticed(old, new):
    """Nothing but the results can show that a thread hands over what another one should."""
    a, b = np.arange(16 * 32, dtype=np.float16) % 9, np.arange(8 * 32, dtype=np.float16) % 7
    count = len(jit.kernels)
    results = []
    for module in (tile16, broken(tile16, old, new)):
        out = empty(128)
        kernel = gemm16.make_gemm("gemm", module.multiply_float16, gemm16.WITH_TENSOR_CORES)
        bits = a.view(np.uint16), b.view(np.uint16)
        kernel((1, 1, 1), *bits, empty(0), out, 16, 8, 32, 32, 32, 32, 0, 0)
        results.append(out.reshape(16, 8))
    del jit.kernels[count:]
    expected = a.reshape(16, 32).astype(np.float32) @ b.reshape(8, 32).T.astype(np.float32)
    np.testing.assert_array_equal(results[0], expected)
    assert (results[1] != expected).any()


def test_gemm_takes_every_term(floats):
    """The slice beyond the end of a sum adds nothing."""
    a, b, out = floats(1, 17), floats(17, 1), empty(1)
    calls.matmul(a.ravel(), b.ravel(), out, 1, 1, 17, Steps(17, 1), Steps(1, 1), empty)
    np.testing.assert_allclose(out, (a @ b)[0], rtol=1e-5)
