"""Launches, steps and programs: the same results, whatever the arguments are, and errors that say what is wrong."""

import re

import numpy as np
import pytest

from kernels import frame
from kernels.jit import inline
from kernels.launch import kernel
from kernels.program import CHUNKS_PER_CALL, Program


@inline
def _rows(out):
    return out.shape[0]


@kernel(_rows)
def _weighted_row(chunk, x, factor, settings, extra, shift, is_shifted, out):
    for i in range(out.shape[1]):
        value = x[chunk, i] * factor + settings[0] * settings[1][0]
        if is_shifted:
            value += shift
        out[chunk, i] = value


@kernel(3)
def _add_chunk(chunk, out):
    out[chunk] += chunk + 1


@kernel(_rows)
def _add_row(chunk, x, out):
    for i in range(out.shape[1]):
        out[chunk, i] += x[chunk, i]


ARRAYS = {
    "C order": np.arange(12.0).reshape(3, 4),
    "columns": np.arange(12.0).reshape(4, 3).T,
    "every second": np.arange(48.0).reshape(6, 8)[::2, ::2],
    "float32": np.arange(12, dtype=np.float32).reshape(3, 4),
    "int32": np.arange(-6, 6, dtype=np.int32).reshape(3, 4),
    "uint8": np.arange(250, 262, dtype=np.int64).astype(np.uint8).reshape(3, 4),
    "no rows": np.empty((0, 4)),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("factor", [2, -3, 0.25, np.float32(0.5), True], ids=repr)
def test_arguments_reach_the_chunks_whatever_they_are(name, factor):
    x = ARRAYS[name]
    launched, planned = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
    args = x, factor, (1.5, (2,)), None, np.int16(-7), True
    _weighted_row(*args, launched)
    Program([_weighted_row.step(*args, planned)]).run()
    np.testing.assert_array_equal(launched, x.astype(np.float64) * factor + 3 - 7)
    np.testing.assert_array_equal(planned, launched)


def test_a_text_is_no_argument():
    with pytest.raises(Exception, match=r"a kernel's argument is an array, a number, a bool, a tuple of these or None"):
        _add_chunk("text")


def test_chunks_follow_from_arguments_of_the_kernel():
    message = "_of_another: the function of its chunks takes ['out'], but its arguments are ['x']"
    with pytest.raises(TypeError, match=re.escape(message)):

        @kernel(_rows)
        def _of_another(chunk, x):
            x[chunk] = 0


def test_a_program_runs_its_steps_in_order_again_and_again():
    a, b = np.zeros((2, 3)), np.ones((2, 3))
    program = Program([_add_row.step(b, a), _add_row.step(a, b)] * 3)
    for _ in range(4):
        program.run()
    expected_a, expected_b = 0, 1
    for _ in range(12):
        expected_a += expected_b
        expected_b += expected_a
    assert (a == expected_a).all()
    assert (b == expected_b).all()


def test_a_program_without_steps_does_nothing():
    Program([]).run()


def test_a_long_program_lets_python_run_in_between():
    out = np.zeros((CHUNKS_PER_CALL // 2, 1))
    program = Program([_add_row.step(np.ones_like(out), out)] * 5)
    assert [calls for _, calls in program._calls] == [2, 2, 1]
    program.run()
    assert (out == 5).all()


def test_slots_are_counted_as_they_are_written():
    values = np.zeros((2, 3)), np.zeros((3, 2)).T, 1, (2.0, (True, None)), None
    assert frame.most_slots(values) >= 1 + 3 + 5 + 1 + 2


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_chunk_without_memory_raises_and_the_next_launch_is_whole(run_python, tiny_kernels, tiny_cache, threads):
    code = """
import numpy as np
from kernels.cpu.tiny import with_buffers
from kernels.program import Program
x, out = np.arange(8.0).reshape(8, 1), np.zeros(8)
sizes = np.full(8, 10)
huge = sizes.copy()
huge[5] = 1 << 60
for attempt in (lambda: with_buffers(x, huge, out), Program([with_buffers.step(x, huge, out)] * 2).run):
    try:
        attempt()
    except MemoryError as error:
        print(error)
    out[:] = -1
    with_buffers(x, sizes, out)
    assert (out == x[:, 0]).all(), out
"""
    options = {"path": tiny_kernels, "NUMBA_CACHE_DIR": tiny_cache, "NUMBA_NUM_THREADS": threads}
    expected = "with_buffers: no memory for the buffers of a chunk\nno memory for the buffers of a chunk\n"
    assert run_python(code, **options).stdout == expected


def test_bounds_are_checked_where_that_is_asked_for(run_python, tiny_kernels, tiny_cache):
    code = """
import numpy as np
from kernels.cpu.tiny import row_sums, with_buffers
from kernels.program import Program
x, out = np.ones((8, 3)), np.zeros(8)
row_sums(x, out)
program = Program([row_sums.step(x, out)])
assert (out == 3).all()
out[:] = 0
program.run()
assert (out == 3).all()
for attempt in (lambda: row_sums(x, out[:7]), Program([row_sums.step(x, out[:7])]).run):
    try:
        attempt()
    except IndexError as error:
        print(error)
"""
    options = {"path": tiny_kernels, "NUMBA_CACHE_DIR": tiny_cache, "NUMBA_BOUNDSCHECK": "1"}
    assert run_python(code, **options).stdout == "index is out of bounds\n" * 2
