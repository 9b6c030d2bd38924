"""exp, tanh, sigmoid and erf against float64 (float32) and long double (float64), in units of the last place."""

import numpy as np
import pytest

from kernels.cpu.elementwise.functions import erf, exp, sigmoid, tanh
from kernels.reference import elementwise as reference

# Kernel, definition, and the largest error in units of the last place.
FUNCTIONS = [
    (exp.forward, reference.exp_forward, 1.1),
    (tanh.forward, reference.tanh_forward, 2.5),
    (sigmoid.forward, reference.sigmoid_forward, 2.5),
    (erf.forward, reference.erf_forward, 1.5),
]
NAMES = ["exp", "tanh", "sigmoid", "erf"]


def computed(kernel, x):
    out = np.full_like(x, np.nan)
    kernel(x, out, ())
    return out


def grid(dtype):
    """All kinds of numbers: every 3001st of the 2^32 floats, and dense where the functions are neither 0 nor 1."""
    if dtype == np.float32:
        numbers = np.arange(0, 2**32, 3001, dtype=np.uint64).astype(np.uint32).view(np.float32)
        return np.concatenate([numbers, np.linspace(-90, 90, 500_001, dtype=np.float32)])
    rng = np.random.default_rng(0)
    return np.concatenate([np.linspace(-720, 720, 300_001), rng.standard_normal(300_000) * 10.0 ** rng.integers(-6, 3)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kernel", "definition", "ulps"), FUNCTIONS, ids=NAMES)
def test_error_in_units_of_the_last_place(kernel, definition, ulps, dtype):
    x = grid(dtype)
    x = x[np.isfinite(x) & ((x == 0) | (abs(x) >= np.finfo(dtype).tiny))]
    right = definition(x.astype(np.float64 if dtype == np.float32 else np.longdouble))
    out = computed(kernel, x)
    with np.errstate(over="ignore"):
        rounded = right.astype(dtype)
    normal = (abs(right) >= np.finfo(dtype).tiny) & np.isfinite(rounded)
    error = abs(out[normal] - right[normal]) / np.spacing(abs(rounded[normal]))
    assert error.max() <= ulps, f"{error.max()} at {x[normal][error.argmax()]!r}"
    np.testing.assert_array_equal(out[np.isinf(rounded)], rounded[np.isinf(rounded)])
    assert not out[abs(right) < np.finfo(dtype).tiny].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kernel", "definition", "ulps"), FUNCTIONS, ids=NAMES)
def test_special_values_and_every_length(kernel, definition, ulps, dtype):
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30], dtype)
    with np.errstate(over="ignore"):
        right = definition(values.astype(np.float64)).astype(dtype)
    out = computed(kernel, values)
    np.testing.assert_array_equal(out, right)
    np.testing.assert_array_equal(np.signbit(out[1:]), np.signbit(right[1:]))
    for length in range(40):
        x = np.linspace(-2, 2, length).astype(dtype)
        buffer = np.full(length + 1, 7, dtype)
        kernel(x, buffer[:length], ())
        np.testing.assert_allclose(buffer[:length], definition(x.astype(np.float64)), rtol=1e-6)
        assert buffer[length] == 7


def test_a_long_double_is_longer_than_a_double():
    """Else the float64 test above would compare with errors of the same size."""
    assert np.finfo(np.longdouble).eps < np.finfo(np.float64).eps
