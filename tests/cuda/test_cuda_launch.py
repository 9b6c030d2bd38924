"""How kernels on the GPU are called: types of numbers, empty grids, and that nothing touches CUDA unasked."""

import numpy as np
import pytest
from simulator import empty

from kernels.cuda.elementwise import relu_forward
from kernels.cuda.jit import Kernel
from kernels.cuda.optim import sgd_step


@pytest.fixture
def launched(monkeypatch):
    """What would be launched: grids and arguments."""
    calls = []
    monkeypatch.setattr(Kernel, "launch", lambda kernel, grid, args: calls.append((kernel.__name__, grid, args)))
    return calls


def test_numbers_get_the_types_that_were_compiled_ahead(launched):
    param = empty(4)
    sgd_step(1, param, param, 4, 0.1, True, np.float64(1))
    ((name, grid, args),) = launched
    assert (name, grid) == ("sgd_step", (1,))
    assert args[0] is param
    assert [type(arg) for arg in args[2:]] == [np.uint32, np.float32, np.float32, np.float32]


def test_an_empty_grid_starts_nothing(launched):
    relu_forward(0, empty(0), empty(0), 0)
    assert launched == []


def test_a_wrong_number_of_arguments_is_refused():
    with pytest.raises(TypeError, match="relu_forward: takes 3 arguments, got 2"):
        relu_forward(1, empty(1), empty(1))


def test_sizes_beyond_32_bits_are_refused(launched):
    with pytest.raises(OverflowError):
        relu_forward(1, empty(1), empty(1), 2**32)


def test_nothing_touches_cuda_unasked(run_python):
    run_python("""
        import sys
        import convcore
        assert not {"numba.cuda", "kernels.cuda"} & set(sys.modules)
        import kernels.cuda.calls
        from kernels.cuda.jit import kernels
        assert kernels and not any(kernel.dispatcher.overloads for kernel in kernels)
    """)
