"""The testers tested: right gradients pass, every kind of wrong one is caught and named."""

from typing import Any

import numpy as np
import pytest

import convcore
from convcore.autograd import Function, once_differentiable, wrap
from convcore.errors import DTypeError, GraphError, UnsupportedError
from convcore.testing import GradcheckError, assert_close, gradcheck, gradgradcheck


def normal(*shape: int, seed: int = 0) -> Any:
    array = np.random.default_rng(seed).standard_normal(shape)
    return convcore.tensor(array, requires_grad=True)


def matrix_function(backward):
    """x (2, 2) -> x @ w with a fixed, asymmetric w, and the given backward of (grad_out, w, x)."""
    w = convcore.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=convcore.float64)

    class Mine(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return wrap(x.array @ w.array)

        @staticmethod
        def backward(ctx, grad_out):
            return backward(grad_out, w, ctx.saved_tensors[0])

    return Mine.apply


def product(a: Any, b: Any) -> Any:
    """The matrix product by multiplication and sum."""
    return (a.unsqueeze(2) * b.unsqueeze(0)).sum(1)


def test_right_gradients_pass():
    assert gradcheck(matrix_function(lambda g, w, x: product(g, w.T)), normal(2, 2))
    assert gradcheck(lambda x, y: (x * y.exp()).sum(0), (normal(3, 2), normal(2)))
    assert gradcheck(lambda x: (x.exp(), x.sum()), normal(2, 2).T)
    assert gradcheck(lambda x: x * 2, normal(0, 3))
    assert gradcheck(lambda x: x.exp(), normal())
    assert gradcheck(lambda x, n: (x * n, x.argmax()), (normal(3), 3))
    assert gradgradcheck(lambda x, y: (x * y).tanh(), (normal(2), normal(2, seed=1)))
    assert gradgradcheck(matrix_function(lambda g, w, x: product(g, w.T)), normal(2, 2))


@pytest.mark.parametrize(
    "backward",
    [
        lambda g, w, x: product(g, w),  # not transposed
        lambda g, w, x: product(g, w.T).T,  # transposed once too often
        lambda g, w, x: product(g, w.T) * 1.01,  # a wrong factor
        lambda g, w, x: -product(g, w.T),  # a wrong sign
        lambda g, w, x: None,  # missing
        lambda g, w, x: product(g, w.T) * (x != x[0, 1]).double(),  # one element missing
        lambda g, w, x: product(g, w.T) + 1e-3,  # an offset
        lambda g, w, x: product(g, w.T) * float("nan"),
        lambda g, w, x: product(g.abs(), w.T),  # right for each single element, wrong for their sum
        lambda g, w, x: product((g != 0).double(), w.T),  # right for ones only
    ],
)
def test_wrong_gradients_are_caught(backward):
    with pytest.raises(GradcheckError, match=r"with respect to inputs\[0\] is wrong"):
        gradcheck(matrix_function(backward), normal(2, 2))


def test_the_message_names_input_element_and_values():
    class Mine(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b * 2

        @staticmethod
        def backward(ctx, grad_out):
            wrong = grad_out.clone()
            wrong[1, 0] = 7
            return grad_out, grad_out * 2 + (wrong - grad_out)

    message = (
        r"gradcheck: the gradient of element \(0, 0\) of output 0 with respect to inputs\[1\] is wrong "
        r"in 1 of 4 elements; at element \(1, 0\) it is 7 \(analytic\), but [-\d.e]+ \(numeric\)"
    )
    with pytest.raises(GradcheckError, match=message):
        gradcheck(Mine.apply, (normal(2, 2), normal(2, 2)))


def test_a_detached_output_is_caught():
    with pytest.raises(GradcheckError, match="is wrong"):
        gradcheck(lambda x: x.detach() * 2, normal(2))
    assert gradcheck(lambda x: x.detach() * 0, normal(2))


def test_an_unstable_backward_is_caught():
    calls = []

    def backward(g, w, x):
        calls.append(1)
        return product(g, w.T) * (1 + 1e-9 * len(calls))

    with pytest.raises(
        GradcheckError, match=r"two runs of the same backward give gradients of inputs\[0\] that differ"
    ):
        gradcheck(matrix_function(backward), normal(2, 2))
    calls.clear()
    assert gradcheck(matrix_function(backward), normal(2, 2), nondet_tol=1e-6)


def test_a_wrong_second_derivative_is_caught():
    class Mine(Function):
        """x**2, whose gradient is right but detached from x."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad_out):
            (x,) = ctx.saved_tensors
            return grad_out * 2 * x.detach()

    assert gradcheck(Mine.apply, normal(2))
    with pytest.raises(GradcheckError, match=r"with respect to inputs\[0\] is wrong"):
        gradgradcheck(Mine.apply, normal(2))


def test_a_refused_second_derivative_is_passed_on():
    class Mine(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        @once_differentiable
        def backward(ctx, grad_out):
            return wrap(grad_out.array * 2)

    with pytest.raises(UnsupportedError, match="Mine has no second derivative here"):
        gradgradcheck(Mine.apply, normal(2))


def test_inputs_stay_as_they_were():
    x = normal(3)
    before = x.array.copy()
    gradcheck(lambda x: x.exp(), x)
    np.testing.assert_array_equal(x.array, before)
    assert x.grad is None
    assert x.version.count == 0


def test_bad_inputs():
    with pytest.raises(DTypeError, match=r"gradcheck: inputs\[1\] must be float64, .* float32"):
        gradcheck(lambda x, y: x * y, (normal(1), convcore.ones(1, requires_grad=True)))
    with pytest.raises(GraphError, match="gradcheck: no input requires a gradient"):
        gradcheck(lambda x: x, convcore.ones(1))
    with pytest.raises(GraphError, match=r"gradcheck: inputs\[0\] is read-only"):
        gradcheck(lambda x: x * 1, normal(1).expand(3))


# assert_close


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        ([1.0, 2.0], [1.0, 2.1], r"1 of 2 elements differ .* the worst, at \(1,\): actual .*2.0.*, expected .*2.1"),
        ([[1.0, 5.0]], [[3.0, 4.0]], r"2 of 2 elements .* the worst, at \(0, 0\)"),
        ([1.0], [1.0, 1.0], r"shapes differ: actual \(1,\), expected \(2,\)"),
        ([1], [1.0], "dtypes differ: actual int64, expected float32"),
        ([float("nan")], [0.0], r"1 of 1 elements differ"),
        ([0.0], [float("nan")], r"1 of 1 elements differ"),
        ([float("nan")], [float("nan")], r"1 of 1 elements differ"),
        ([float("inf")], [float("-inf")], r"1 of 1 elements differ"),
        ([1e30], [float("inf")], r"1 of 1 elements differ"),
        ([3, 4], [3, 5], r"the worst, at \(1,\)"),
        ([1.0 + 1e-4], [1.0], r"1 of 1 elements differ by more than atol=1e-05 \+ rtol=1.3e-06"),
    ],
)
def test_assert_close_catches(actual, expected, message):
    with pytest.raises(AssertionError, match=message):
        assert_close(convcore.tensor(actual), convcore.tensor(expected))


def test_assert_close_accepts():
    assert_close(convcore.tensor([1.0, float("inf")]), convcore.tensor([1.0 + 1e-6, float("inf")]))
    assert_close(convcore.tensor([float("nan")]), np.array([np.nan], np.float32), equal_nan=True)
    assert_close(convcore.ones(2), np.ones(2), check_dtype=False)
    assert_close(convcore.ones(2), convcore.ones(2) * 1.05, rtol=0.1, atol=0.0)
    assert_close(convcore.zeros(0, 3), convcore.zeros(0, 3))
    assert_close(1.0, 1.0)
    with pytest.raises(ValueError, match="give both rtol and atol, or neither"):
        assert_close(1.0, 1.0, rtol=0.1)
