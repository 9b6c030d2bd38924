"""The backward sweep: order, accumulation, what is kept and what is refused."""

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import torch

import convcore
from convcore.autograd import Function, grad
from convcore.errors import DTypeError, GraphError, ShapeError


def leaf(*values: float) -> Any:
    return convcore.tensor(values, requires_grad=True)


def grad_of(x: Any) -> Any:
    return x.grad.tolist()


class Counted(Function):
    """Twice x; counts how often backward runs."""

    calls = 0

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad_out):
        Counted.calls += 1
        return grad_out * 2


def test_gradients_add_up_over_backwards_and_uses():
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    kept: Any = x.grad
    (x * x).sum().backward()
    assert x.grad is kept  # added in place, as in torch
    assert kept.tolist() == [5, 7]
    y = leaf(1.0)
    y.sum().backward()
    y.grad = None
    (y * 2).sum().backward()
    assert grad_of(y) == [2]


def test_diamond():
    x, y = leaf(2.0), torch.tensor([2.0], requires_grad=True)
    for t in (x, y):
        a = t * 3
        b = a * a
        c = a + b
        (b * c + a).sum().backward()
    assert y.grad is not None
    assert x.grad.tolist() == y.grad.tolist()


def test_a_node_runs_once_after_everything_that_uses_it():
    x = leaf(1.0)
    y = Counted.apply(x)
    z = y
    for _ in range(60):  # 2**60 paths
        z = z + z
    Counted.calls = 0
    z.sum().backward()
    assert Counted.calls == 1
    assert x.grad.tolist() == [2.0**61]


def test_cost_is_linear_in_the_number_of_nodes():
    x = leaf(1.0)
    y = x
    Counted.calls = 0
    for _ in range(30):
        y = Counted.apply(y) + Counted.apply(y)
    y.sum().backward()
    assert Counted.calls == 60
    assert x.grad.tolist() == [4.0**30]


def test_deep_chains_need_no_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(5000):
        y = y + 1
    y.sum().backward()
    assert x.grad.tolist() == [1]
    z = x
    for _ in range(50_000):
        z = z + 0
    del z  # freeing the graph must not recurse either


def test_retain_graph():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    assert x.grad.tolist() == [12]
    y.backward()
    with pytest.raises(GraphError, match=r"graph through Mul was used before and freed; .* retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [18]


def test_a_freed_part_is_refused_also_inside_another_graph():
    x = leaf(3.0)
    y = x * x
    (y * 2).backward()
    with pytest.raises(GraphError, match="was used before and freed"):
        (y * 3).backward()


def test_no_grad_and_its_kin():
    x = leaf(1.0)
    with convcore.no_grad():
        assert not convcore.is_grad_enabled()
        y = x * 2
        with convcore.enable_grad():
            z = x * 2
        with convcore.set_grad_enabled(True):
            u = x * 2
        assert not convcore.is_grad_enabled()
    assert convcore.is_grad_enabled()
    assert (y.requires_grad, z.requires_grad, u.requires_grad) == (False, True, True)
    assert y.is_leaf

    @convcore.no_grad()
    def double(t):
        return t * 2

    assert not double(x).requires_grad
    convcore.set_grad_enabled(False)
    try:
        assert not (x * 2).requires_grad
    finally:
        convcore.set_grad_enabled(True)
    with pytest.raises(ZeroDivisionError), convcore.no_grad():
        raise ZeroDivisionError
    assert convcore.is_grad_enabled()


def test_recording_is_a_matter_of_each_thread():
    seen = []
    with convcore.no_grad():
        thread = threading.Thread(target=lambda: seen.append(convcore.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_detach_cuts_the_graph():
    x = leaf(2.0)
    y = x * x
    z = y.detach() * x
    z.backward()
    assert x.grad.tolist() == [4]
    assert not y.detach().requires_grad
    assert np.shares_memory(y.detach().array, y.array)


def test_retain_grad():
    x = leaf(2.0)
    y = x * 3
    y.retain_grad()
    z = y * y + y
    z.backward()
    assert y.grad is not None
    assert y.grad.tolist() == [13]
    assert (x * 1).grad is None
    with pytest.raises(GraphError, match="retain_grad: this tensor does not require a gradient"):
        convcore.ones(1).retain_grad()
    x.retain_grad()  # no effect on a leaf


def test_requires_grad():
    x = convcore.ones(2)
    assert not (x * 2).requires_grad
    assert x.requires_grad_() is x
    assert (x * 2).requires_grad
    x.requires_grad = False
    assert not (x * 2).requires_grad
    x.requires_grad_(True)
    with pytest.raises(GraphError, match=r"requires_grad: cannot be switched off on a computed tensor; use detach\(\)"):
        (x * 2).requires_grad_(False)
    assert not (x > 0).requires_grad
    assert not x.argmax().requires_grad


def test_backward_needs_a_gradient_unless_there_is_one_element():
    x = leaf(1.0, 2.0)
    y = x * 2
    with pytest.raises(GraphError, match=r"shape \(2,\) needs the argument `gradient`.*Did you mean loss.mean"):
        y.backward()
    y.backward(convcore.tensor([10.0, 100.0]))
    assert x.grad.tolist() == [20, 200]
    with pytest.raises(ShapeError, match=r"gradient must have the tensor's shape \(2,\), got \(3,\)"):
        (x * 2).backward(convcore.ones(3))
    with pytest.raises(DTypeError, match="gradient must have the tensor's dtype float32, got float64"):
        (x * 2).backward(convcore.ones(2, dtype=convcore.float64))
    with pytest.raises(DTypeError, match="gradient must be a tensor, got list"):
        (x * 2).backward([1.0, 1.0])  # pyright: ignore[reportArgumentType]
    with pytest.raises(GraphError, match="does not require a gradient and has no graph behind it"):
        convcore.ones(1).backward()
    one = convcore.ones(1, 1, requires_grad=True)
    one.backward()
    assert one.grad is not None
    assert one.grad.tolist() == [[1]]


def test_grad_can_be_set_but_only_to_what_fits():
    x = leaf(1.0, 2.0)
    x.grad = convcore.ones(2)
    x.sum().backward()
    assert x.grad.tolist() == [2, 2]
    with pytest.raises(
        ShapeError, match=r"grad: must have the shape and dtype of its tensor, \(2,\) float32, got \(3,\)"
    ):
        x.grad = convcore.ones(3)
    with pytest.raises(DTypeError, match="grad: must be a tensor or None, got int"):
        x.grad = 1


# Memory of gradients


def test_gradients_of_a_sum_do_not_share_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = a + b
    y.backward(convcore.ones(2))
    a.grad.mul_(10)
    assert b.grad.tolist() == [1, 1]


def test_the_given_gradient_is_not_kept():
    x, seed = leaf(1.0, 2.0), convcore.ones(2)
    (x + 0).backward(seed)
    seed.zero_()
    assert x.grad.tolist() == [1, 1]
    x.backward(x.grad)
    assert x.grad.tolist() == [2, 2]


def test_a_gradient_that_is_data_is_not_kept():
    class Dot(Function):
        """sum(a * b) for a scalar gradient of 1: backward hands out what it saved."""

        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return (a * b).sum()

        @staticmethod
        def backward(ctx, grad_out):
            a, b = ctx.saved_tensors
            return b, a

    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    Dot.apply(a, b).backward()
    a.grad.zero_()
    assert b.tolist() == [3, 4]
    b.grad.zero_()
    assert a.tolist() == [1, 2]


def test_in_place_accumulation_does_not_disturb_gradients_under_way():
    # `x` gets grad_out itself, before the older node of `u` has used it, and then a second gradient.
    x, v = leaf(1.0), leaf(1.0)
    u = v * 5
    w = x * 2
    ((u + x) + w).backward()
    assert x.grad.tolist() == [3]
    assert v.grad.tolist() == [5]


def test_retained_and_leaf_gradients_do_not_share_memory():
    x = leaf(1.0, 2.0)
    y = x + 0
    y.retain_grad()
    y.sum().backward()
    assert y.grad is not None
    y.grad.zero_()
    assert x.grad.tolist() == [1, 1]
    x.grad.add_(1)  # not read-only, although the gradient of a sum is an expanded scalar
    assert x.grad.tolist() == [2, 2]


def test_retain_graph_keeps_saved_arrays_apart_from_gradients():
    x = leaf(1.0, 2.0)
    w = convcore.tensor([3.0, 4.0])
    y = (x * w).sum()
    y.backward(retain_graph=True)
    x.grad.zero_()
    y.backward()
    assert x.grad.tolist() == [3, 4]


# Memory of graphs


@pytest.fixture
def no_collector():
    """Switch Python's collector of reference circles off."""
    gc.disable()
    yield
    gc.enable()


FORWARDS = {
    "mul": lambda x: x * x,
    "exp saves its output": lambda x: x.exp(),
    "relu saves its output": lambda x: x.relu().relu(),
    "amax saves its output": lambda x: (x * 1).amax(0),
    "sigmoid of views": lambda x: x.reshape(2, 2).T.sigmoid()[0],
    "in place": lambda x: (x * 2).exp_().mul_(3).add_(1),
    "retain_grad": lambda x: (lambda y: (y.retain_grad(), y * 2)[1])(x.exp()),
    "softmax": lambda x: x.softmax(0),
    "second order": lambda x: grad((x**3).sum(), x, create_graph=True)[0],
}


@pytest.mark.parametrize("name", FORWARDS)
@pytest.mark.parametrize("with_backward", [False, True])
def test_memory_is_freed_without_the_collector(name, with_backward, request):
    x = leaf(1.0, 2.0, 3.0, 4.0)
    FORWARDS[name](x).sum().backward()  # compiling a kernel for the first time leaves circles behind
    request.getfixturevalue("no_collector")
    y = FORWARDS[name](x)
    nodes = [y.node]
    for node in nodes:
        nodes += [e[0] for e in node.edges if isinstance(e, tuple)]
    references = [weakref.ref(n) for n in nodes]
    tensor, memory = weakref.ref(y), weakref.ref(y.array)
    if with_backward:
        y.sum().backward()
    del nodes, node, y
    assert tensor() is None
    assert memory() is None
    assert [r() for r in references] == [None] * len(references)


@pytest.mark.usefixtures("no_collector")
def test_backward_frees_what_was_saved_while_the_result_lives():
    x = leaf(1.0, 2.0)
    y = x * 2
    memory = weakref.ref(y.array)
    z = (y * y).sum()
    del y
    assert memory() is not None
    z.backward()
    assert memory() is None
    assert z.item() == 20


def test_the_graph_does_not_keep_what_backward_does_not_need():
    x = leaf(1.0, 2.0)
    y = x + 1
    memory = weakref.ref(y.array)
    z = y + 1
    del y
    assert memory() is None
    z.sum().backward()
    assert x.grad.tolist() == [1, 1]


# convcore.autograd.grad


def test_grad_returns_and_does_not_store():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    first, second = grad((x * w).sum(), [x, w])
    assert first.tolist() == [3, 4]
    assert second.tolist() == [1, 2]
    assert x.grad is None
    assert w.grad is None


def test_grad_of_a_computed_tensor():
    x = leaf(2.0)
    y = x * 3
    z = y * y
    gy, gx = grad(z, [y, x])
    assert (gy.tolist(), gx.tolist()) == ([12], [36])


def test_grad_of_unused_inputs():
    x, unused = leaf(1.0), leaf(1.0)
    y = x * 2
    with pytest.raises(GraphError, match=r"grad: the outputs do not depend on inputs\[1\]; allow_unused=True"):
        grad(y, [x, unused], retain_graph=True)
    assert grad(y, [x, unused], allow_unused=True)[1] is None
    with pytest.raises(GraphError, match=r"grad: inputs\[0\] does not require a gradient"):
        grad(x * 2, convcore.ones(1))


def test_grad_runs_only_what_leads_to_its_inputs():
    x = leaf(2.0)
    y = Counted.apply(x)
    z = y * y
    Counted.calls = 0
    assert grad(z, y, retain_graph=True)[0].tolist() == [8]
    assert Counted.calls == 0
    z.backward()
    assert Counted.calls == 1


def test_grad_frees_only_what_it_ran():
    x = leaf(2.0)
    y = x * x
    grad(y * 3, y)
    y.backward()  # was not needed above, so it still has what it saved
    assert x.grad.tolist() == [4]


def test_several_outputs_with_gradients():
    x = leaf(1.0, 2.0)
    (g,) = grad([x * 2, x * x], x, [convcore.ones(2), convcore.tensor([1.0, 10.0])])
    assert g.tolist() == [4, 42]
    (g,) = grad(x * 2, x, convcore.ones(2))
    assert g.tolist() == [2, 2]


def test_second_and_third_derivative():
    x = leaf(2.0, 3.0)
    (first,) = grad((x**3).sum(), x, create_graph=True)
    (second,) = grad(first.sum(), x, create_graph=True)
    (third,) = grad(second.sum(), x)
    np.testing.assert_allclose(first.detach().array, [12, 27], rtol=1e-6)
    np.testing.assert_allclose(second.detach().array, [12, 18], rtol=1e-6)
    np.testing.assert_allclose(third.array, [6, 6], rtol=1e-6)
    assert not third.requires_grad


def test_backward_with_create_graph():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    assert x.grad.requires_grad
    penalty = (x.grad * x.grad).sum()
    x.grad = None
    penalty.backward()
    assert grad_of(x) == [2 * 12 * 12]
