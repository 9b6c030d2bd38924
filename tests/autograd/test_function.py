"""Functions of the user: conventions, mistakes, what is saved, and second derivatives."""

from typing import Any

import numpy as np
import pytest

import convcore
from convcore.autograd import Function, grad, once_differentiable, wrap
from convcore.errors import DTypeError, GraphError, ShapeError, UnsupportedError


def leaf(*values: float) -> Any:
    return convcore.tensor(values, requires_grad=True)


def function(backward, forward=None):
    """A Function of one tensor that doubles it, with the given backward."""
    members = {"forward": staticmethod(forward or (lambda ctx, x: x * 2)), "backward": staticmethod(backward)}
    return type("Mine", (Function,), members)


class Cube(Function):
    """x**3 with a gradient of differentiable operations"""

    @staticmethod
    def forward(ctx, x, scale=1.0):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return x * x * x * scale

    @staticmethod
    def backward(ctx, grad_out):
        (x,) = ctx.saved_tensors
        return grad_out * 3 * x * x * ctx.scale, None


def test_a_function_of_the_user():
    x = leaf(2.0, 3.0)
    y = Cube.apply(x, 2.0)
    assert repr(y.grad_fn) == "<CubeBackward>"
    assert not y.is_leaf
    y.sum().backward()
    assert x.grad.tolist() == [24, 54]
    (g,) = grad(Cube.apply(x, 1.0).sum(), x, create_graph=True)
    assert grad(g.sum(), x)[0].tolist() == [12, 18]


def test_nothing_is_recorded_inside_forward():
    seen = []

    def forward(ctx, x):
        y = x * 2
        seen.append((convcore.is_grad_enabled(), y.requires_grad))
        return y

    y = function(lambda ctx, g: g * 2, forward).apply(leaf(1.0))
    assert seen == [(False, False)]
    assert y.requires_grad


def test_recording_is_restored_after_an_error():
    def forward(ctx, x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        function(None, forward).apply(leaf(1.0))
    assert convcore.is_grad_enabled()
    with pytest.raises(ZeroDivisionError):
        function(lambda ctx, g: 1 / 0).apply(leaf(1.0)).backward()
    assert convcore.is_grad_enabled()


def test_several_inputs_and_outputs():
    class SumAndIndices(Function):
        @staticmethod
        def forward(ctx, a, b, note):
            ctx.needed = ctx.needs_input_grad
            indices = wrap(np.arange(2))
            ctx.mark_non_differentiable(indices)
            return a + b, a * 2, indices

        @staticmethod
        def backward(ctx, grad_sum, grad_double, grad_indices):
            assert ctx.needed == (True, False, False)
            assert grad_indices.dtype == convcore.int64
            return grad_sum + grad_double * 2, None, None

    a, b = leaf(1.0, 2.0), convcore.ones(2)
    total, double, indices = SumAndIndices.apply(a, b, "a note")
    assert not indices.requires_grad
    total.sum().backward(retain_graph=True)  # `double` is not used: its gradient arrives as zeros
    assert a.grad.tolist() == [1, 1]
    (total.sum() + double.sum()).backward()
    assert a.grad.tolist() == [4, 4]


def test_unused_outputs_may_arrive_as_none():
    seen = []

    class Two(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, first, second):
            seen.append((first is None, second is None))
            return second * 2

    Two.apply(leaf(1.0))[1].backward()
    assert seen == [(True, False)]


@pytest.mark.parametrize(
    ("backward", "error", "message"),
    [
        (
            lambda ctx, g: wrap(np.zeros((3, 1), np.float32)),
            ShapeError,
            r"Mine.backward: the gradient of argument 0 must have its shape and dtype, \(2,\) float32, got \(3, 1\)",
        ),
        (lambda ctx, g: g.double(), ShapeError, r"\(2,\) float32, got \(2,\) float64"),
        (lambda ctx, g: (g, g), GraphError, r"must return one gradient .* of forward's 1 arguments, returned 2"),
        (lambda ctx, g: (), GraphError, r"forward's 1 arguments, returned 0"),
        (lambda ctx, g: g.array, DTypeError, "Mine.backward: gradients must be tensors, got ndarray"),
    ],
)
def test_mistakes_in_backward(backward, error, message):
    y = function(backward).apply(leaf(1.0, 2.0))
    with pytest.raises(error, match=message):
        y.sum().backward()


def test_mistakes_in_forward():
    with pytest.raises(GraphError, match=r"Mine.forward: returned one of its arguments; return a copy"):
        function(None, lambda ctx, x: x).apply(leaf(1.0))
    with pytest.raises(DTypeError, match=r"Mine.forward: must return tensors, returned ndarray"):
        function(None, lambda ctx, x: x.array).apply(leaf(1.0))


def test_none_is_no_gradient():
    x = leaf(1.0)
    function(lambda ctx, g: None).apply(x).backward()
    assert x.grad is None


def test_arguments_that_need_no_gradient_get_none():
    x, w = leaf(2.0), convcore.ones(1)
    (x * w).backward()
    assert w.grad is None


def test_once_differentiable_refuses_second_derivatives():
    @once_differentiable
    def backward(ctx, grad_out):
        assert not convcore.is_grad_enabled()
        return wrap(grad_out.array * 2)

    x = leaf(1.0)
    y = function(backward).apply(x)
    (g,) = grad((y * y).sum(), x, create_graph=True)
    assert g.tolist() == [8]
    with pytest.raises(UnsupportedError, match="backward: Mine has no second derivative here"):
        g.sum().backward()
    z = function(backward).apply(x)
    z.backward()
    assert x.grad.tolist() == [2]
    assert not x.grad.requires_grad


def test_once_differentiable_with_several_gradients():
    class Pair(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        @once_differentiable
        def backward(ctx, grad_out):
            return wrap(grad_out.array.copy()), None

    a, b = leaf(1.0), leaf(1.0)
    ga, gb = grad(Pair.apply(a, b), [a, b], create_graph=True, allow_unused=True)
    assert ga.tolist() == [1]
    assert gb is None
    with pytest.raises(UnsupportedError, match="Pair has no second derivative"):
        grad(ga.sum(), a)
    unrelated = leaf(3.0)
    assert grad((ga * unrelated).sum(), unrelated)[0].tolist() == [1]


def test_saved_output_gives_second_derivatives():
    x = convcore.tensor([0.3, -0.7], dtype=convcore.float64, requires_grad=True)
    (g,) = grad(x.tanh().sum(), x, create_graph=True)
    (h,) = grad(g.sum(), x)
    t = np.tanh([0.3, -0.7])
    np.testing.assert_allclose(h.array, -2 * t * (1 - t * t), rtol=1e-12)


def test_saving_none_and_non_tensors():
    class Maybe(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(None, x)
            return x * 2

        @staticmethod
        def backward(ctx, grad_out):
            nothing, x = ctx.saved_tensors
            assert nothing is None
            return grad_out * 2 + x * 0

    x = leaf(1.0)
    Maybe.apply(x).backward()
    assert x.grad.tolist() == [2]


def test_interface_functions_must_be_written():
    class Empty(Function):
        pass

    with pytest.raises(NotImplementedError):
        Empty.apply(leaf(1.0))
