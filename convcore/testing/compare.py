"""Comparison of values with a tolerance; the error shows the worst difference."""

from __future__ import annotations

from typing import Any

import numpy as np

from convcore.autograd import Variable

# (rtol, atol) by the dtype of `actual`: torch's defaults.
DEFAULTS = {"float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}


def assert_close(
    actual: Any,
    expected: Any,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_dtype: bool = True,
) -> None:
    """Raise AssertionError unless |actual - expected| <= atol + rtol * |expected| for every element.

    Args:
        actual, expected: tensors, NumPy arrays or numbers of one shape and, with `check_dtype`, of one dtype.
        rtol, atol: tolerances, both or neither; by default 1.3e-6 and 1e-5 for float32, 1e-7 and 1e-7 for
            float64, and 0 for everything else.
        equal_nan: whether NaN equals NaN.
    """
    if (rtol is None) != (atol is None):
        raise ValueError("assert_close: give both rtol and atol, or neither")
    a, e = _array(actual), _array(expected)
    if a.shape != e.shape:
        raise AssertionError(f"shapes differ: actual {a.shape}, expected {e.shape}")
    if check_dtype and a.dtype != e.dtype:
        raise AssertionError(f"dtypes differ: actual {a.dtype}, expected {e.dtype}")
    if rtol is None or atol is None:
        rtol, atol = DEFAULTS.get(str(a.dtype), (0.0, 0.0))
    # Differences are computed in float64, so that they do not overflow or wrap around.
    wide_a, wide_e = a.astype(np.float64), e.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = np.abs(wide_a - wide_e)
        allowed = atol + rtol * np.abs(wide_e)
        close = (a == e) | ((difference <= allowed) & np.isfinite(wide_e))
    if equal_nan:
        close |= np.isnan(wide_a) & np.isnan(wide_e)
    if close.all():
        return
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = np.where(close, -1.0, np.nan_to_num(difference / allowed, nan=np.inf))
    worst = np.unravel_index(int(np.argmax(excess)), a.shape)
    index = tuple(int(i) for i in worst)
    raise AssertionError(
        f"{int((~close).sum())} of {a.size} elements differ by more than atol={atol:g} + rtol={rtol:g} * |expected|; "
        f"the worst, at {index}: actual {a[worst]!r}, expected {e[worst]!r}, "
        f"difference {difference[worst]:.3g}, allowed {allowed[worst]:.3g}"
    )


def _array(value: Any) -> np.ndarray:
    return value.array if isinstance(value, Variable) else np.asarray(value)
