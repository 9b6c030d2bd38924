"""Arrays of drawn shapes and memory orders, and a call in both libraries that must agree in every way.

Numbers are small integers, so that sums and products are exact whatever their order.
"""

from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch
from hypothesis import strategies as st

from convcore import memory
from convcore.autograd import wrap

EXACT, ROUNDED = 0.0, 1e-9  # tolerance, absolute and relative, in float64


@st.composite
def memory_orders(draw: Any, ndim: int) -> Callable[[np.ndarray], np.ndarray]:
    """Lays an array out anew: axes in any order in memory, with gaps between elements, or backwards."""
    order = draw(st.permutations(range(ndim)))
    steps = [draw(st.sampled_from([1, 1, 1, 2, -1, -2])) for _ in range(ndim)]

    def lay_out(array: np.ndarray) -> np.ndarray:
        block = np.full([abs(steps[axis]) * array.shape[axis] for axis in order], np.nan, array.dtype)
        laid = block.transpose(np.argsort(order))[(..., *[slice(None, None, step) for step in steps])]
        laid[...] = array
        return laid

    return lay_out


@st.composite
def arrays(draw: Any, shape: Sequence[int]) -> np.ndarray:
    """Integers from -4 to 4 in float64, in any memory order."""
    numbers = np.random.default_rng(draw(st.integers(0, 99))).integers(-4, 5, tuple(shape)).astype(np.float64)
    return draw(memory_orders(len(shape)))(numbers)


def several(least: int, most: int, count: int) -> st.SearchStrategy:
    return st.tuples(*[st.integers(least, most)] * count)


def poisoned(shape: Any, dtype: Any) -> np.ndarray:
    """In place of `memory.empty`: what a kernel forgets to write shows."""
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 99, dtype)


def agrees(
    data: st.DataObject,
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    inputs: Sequence[np.ndarray],
    tolerance: float,
) -> None:
    """The output and, for a drawn cotangent in a drawn memory order, the gradients are torch's; the inputs stay."""
    originals = [x.copy() for x in inputs]
    tensors = [wrap(x).requires_grad_() for x in inputs]
    others = [torch.tensor(x.copy(), requires_grad=True) for x in originals]
    expected = theirs(*others)
    cotangent = data.draw(arrays(expected.shape), "cotangent")
    expected.backward(torch.tensor(cotangent.copy()))
    with mock.patch.object(memory, "empty", poisoned):
        out = ours(*tensors)
        assert out.shape == tuple(expected.shape)
        close(out.detach().numpy(), expected, tolerance)
        out.backward(wrap(cotangent))
        for tensor, other in zip(tensors, others, strict=True):
            assert tensor.grad is not None
            close(tensor.grad.numpy(), other.grad, tolerance)
    for x, original in zip(inputs, originals, strict=True):
        np.testing.assert_array_equal(x, original, err_msg="an input was changed")


def close(actual: np.ndarray, expected: Any, tolerance: float) -> None:
    np.testing.assert_allclose(actual, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
