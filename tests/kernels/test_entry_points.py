"""Kernels are compiled whole: what they call has no machine code of its own, and others' functions are left alone."""

import re
import threading
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.codegen import JITCodeLibrary
from numba.core.registry import cpu_target

from kernels.entry_points import Body, WholeKernel
from kernels.jit import inline
from kernels.launch import kernel


@inline
def _largest(values, count):
    largest = values[0]
    for i in range(count):
        largest = max(largest, values[i])
    return largest


@inline
def _rows(matrix):
    return matrix.shape[0]


@kernel(_rows)
def _row_maxima(row, matrix, out):
    out[row] = _largest(matrix[row], matrix.shape[1])


def _check_row_maxima(matrix):
    out = np.zeros(len(matrix), matrix.dtype)
    _row_maxima(matrix, out)
    np.testing.assert_array_equal(out, matrix.max(axis=1))


def test_what_kernels_call_is_never_translated_by_itself():
    _check_row_maxima(np.random.default_rng(0).standard_normal((5, 7)))
    libraries = [result.library for result in _largest.overloads.values()]
    assert {type(library) for library in libraries} == {Body}
    kernels = [result.library for result in _row_maxima.entry.overloads.values()]
    assert {type(library) for library in kernels} == {WholeKernel}


def test_python_cannot_call_a_part_of_a_kernel():
    _check_row_maxima(np.ones((2, 3), np.float32))
    with pytest.raises(TypeError, match=re.escape("_largest is a part of kernels and has no machine code of its own")):
        _largest(np.ones(3, np.float32), 3)


def test_functions_of_others_share_what_numba_compiled_for_a_kernel():
    _check_row_maxima(np.arange(12, dtype=np.int64).reshape(3, 4))

    @numba.njit
    def larger(a, b):
        return max(a, b)  # the same function of Numba, with the same types

    assert larger(3, 4) == 4
    assert type(larger.overloads[larger.signatures[0]].library) is JITCodeLibrary


def test_functions_of_others_compile_beside_kernels():
    results = []

    @numba.njit
    def cube(value):
        return value * value * value

    others = threading.Thread(target=lambda: results.extend((cube(3), cube(0.5), cube(1 + 1j))))
    others.start()
    for dtype in (np.int8, np.int16, np.uint8):
        _check_row_maxima(np.arange(6).reshape(2, 3).astype(dtype))
    others.join()
    assert results == [27, 0.125, (1 + 1j) ** 3]


def test_a_kernel_that_does_not_compile_leaves_the_compiler_as_it_was():
    @kernel(1)
    def wrong(chunk, out):
        out.no_such_thing()

    with pytest.raises(numba.TypingError):
        wrong(np.zeros(1))
    context: Any = cpu_target.target_context
    assert type(context.codegen().create_library("plain")) is JITCodeLibrary
