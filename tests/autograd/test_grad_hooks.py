"""Hooks and retained gradients in `grad` and `backward`: who is called, when, with what, as in torch."""

import itertools
import sys
import threading
from typing import Any

import numpy as np
import pytest
import torch

import convcore
from convcore.autograd import Function
from convcore.errors import GraphError

LIBRARIES = [convcore, torch]


def number(tensor: Any) -> Any:
    return None if tensor is None else tensor.detach().numpy().tolist()


class Network:
    """x -> y -> z -> out, and from w -> v -> out; x also goes to out directly, twice."""

    def __init__(self, library):
        self.x = library.tensor([3.0, -1.0], requires_grad=True)
        self.w = library.tensor([2.0, 5.0], requires_grad=True)
        self.y = self.x * 2
        self.z = self.y * self.y
        self.v = self.w * self.x
        self.out = (self.z * self.v + self.x).sum()


HOOKS = {"looks": lambda gradient: None, "scales": lambda gradient: gradient * 10}
INPUTS = ["x", "w", "y", "z", "v", "out", "xw", "xx", "yx", "xy", "zyx", "vz", "wv", "zw", "yz"]


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("hook", HOOKS)
def test_grad_calls_hooks_and_keeps_retained_gradients(hook, inputs):
    results = []
    for library in LIBRARIES:
        net, seen = Network(library), []
        for name in ("x", "w", "y", "z", "v", "out"):

            def watch(gradient, name=name, seen=seen):
                seen.append((name, number(gradient)))
                return HOOKS[hook](gradient)

            getattr(net, name).register_hook(watch)
            getattr(net, name).retain_grad()
        names = ["out"] if inputs == "out" else list(inputs)
        for again in (True, False):
            found = library.autograd.grad(net.out, [getattr(net, n) for n in names], retain_graph=again)
            seen.append(("result", [number(g) for g in found]))
        seen.append(("kept", [number(getattr(net, n).grad) for n in ("x", "w", "y", "z", "v", "out")]))
        results.append(seen)
    assert results[0] == results[1]


@pytest.mark.parametrize("create_graph", [False, True])
def test_hooks_may_compute_with_tensors_of_the_graph(create_graph):
    results = []
    for library in LIBRARIES:
        x = library.tensor([3.0], requires_grad=True)
        y = x * x
        x.register_hook(lambda gradient, x=x: gradient * x)
        y.register_hook(lambda gradient, x=x: gradient + x)
        y.retain_grad()
        (first,) = library.autograd.grad((y * y).sum(), x, create_graph=create_graph)
        seen = [number(first), first.requires_grad, number(y.grad), y.grad.requires_grad]
        if create_graph:
            seen += [number(g) for g in library.autograd.grad(first + y.grad, x)]
        results.append(seen)
    assert results[0] == results[1]


def test_unused_inputs_have_no_gradient_to_show():
    for library in LIBRARIES:
        x, unused, seen = library.ones(1, requires_grad=True), library.ones(1, requires_grad=True), []
        later = unused * 2
        unused.register_hook(seen.append)
        later.register_hook(seen.append)
        found = library.autograd.grad(x * 3, [x, unused, later], allow_unused=True)
        assert [number(g) for g in found] == [[3.0], None, None]
        assert seen == []


def test_hooks_off_the_way_are_not_called():
    for library in LIBRARIES:
        net, seen = Network(library), []
        net.w.register_hook(seen.append)
        net.v.register_hook(seen.append)
        net.v.retain_grad()
        library.autograd.grad((net.v + net.y).sum(), net.y)
        assert (seen, net.v.grad) == ([], None)


def test_sums_are_shown_once():
    for library in LIBRARIES:
        x, seen = library.tensor([1.0, 2.0], requires_grad=True), []
        x.register_hook(lambda gradient, seen=seen: seen.append(number(gradient)))
        total = x + x * 2 + (x * 3 + x).sum() + x[0] + x.reshape(2, 1).sum()
        library.autograd.grad(total.sum(), x, retain_graph=True)
        total.sum().backward()
        assert seen == [[15.0, 13.0]] * 2


def test_a_leaf_may_be_differentiated_itself():
    """Its own gradient and those that come through the graph are one sum."""
    for library in LIBRARIES:
        x, y = library.ones(1, requires_grad=True), library.ones(1, requires_grad=True)
        seen: list[Any] = []
        for name, leaf in (("x", x), ("y", y)):
            leaf.register_hook(lambda gradient, name=name, seen=seen: seen.append((name, number(gradient))))
        ones = [library.ones(1) for _ in range(3)]
        library.autograd.backward([x, y, x * 2], ones)
        assert seen == [("y", [1.0]), ("x", [3.0])]


class Blocks(Function):
    """The identity; gradients end here."""

    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, grad_out):
        return None


def test_a_leaf_does_not_wait_for_gradients_that_are_none():
    x, seen = convcore.ones(1, requires_grad=True), []
    x.register_hook(seen.append)
    (Blocks.apply(x * 2) + x).backward()
    assert (number(x.grad), [number(g) for g in seen]) == ([1.0], [[1.0]])


class Recorded(Function):
    """Its backward computes with recording on, though nobody asked for that."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.w = w
        return x * 1

    @staticmethod
    def backward(ctx, grad_out):
        with convcore.enable_grad():
            return grad_out * ctx.w, None


def test_a_gradient_stands_in_a_graph_only_if_asked():
    x, w = convcore.ones(1, requires_grad=True), convcore.ones(1, requires_grad=True)
    Recorded.apply(x, w).backward()
    assert x.grad is not None
    assert not x.grad.requires_grad


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
def test_leaves_are_finished_as_soon_as_they_are_complete(order):
    """Hooks of leaves and of tensors on the way take turns as in torch."""
    results = []
    for library in LIBRARIES:
        seen = []
        leaves = {name: library.tensor([2.0], requires_grad=True) for name in "abc"}
        value = library.tensor([1.0], requires_grad=True)
        for name in (*order, order[0]):
            value = value * leaves[name]
            value.register_hook(lambda gradient, name=name, seen=seen: seen.append(("value", name)))
        for name, leaf in leaves.items():

            def watch(gradient, name=name, seen=seen, leaves=leaves):
                seen.append((name, number(gradient), [number(leaf.grad) for leaf in leaves.values()]))

            leaf.register_hook(watch)
        value.sum().backward()
        results.append(seen)
    assert results[0] == results[1]


def test_full_backward_hooks_in_grad():
    results = []
    for library in LIBRARIES:
        layer, seen = library.nn.Linear(2, 2), []
        with library.no_grad():
            layer.weight.copy_(library.tensor([[1.0, 2.0], [3.0, 4.0]]))

        def hook(module, ins, outs, seen=seen):
            seen.append([number(g) for g in (*ins, *outs)])
            return (ins[0] * 10,)

        layer.register_full_backward_hook(hook)
        layer.register_full_backward_pre_hook(lambda module, outs: (outs[0] + 1,))
        x = library.ones(1, 2, requires_grad=True)
        found = library.autograd.grad(layer(x).sum(), [x, layer.weight, layer.bias])
        results.append([*seen, *[number(g) for g in found]])
    assert results[0] == results[1]


# Hooks that come, go and fail


def test_hooks_that_come_and_go_while_hooks_are_called():
    results = []
    for library in LIBRARIES:
        x, seen, handles = library.tensor([1.0], requires_grad=True), [], []
        y = x * 2
        for tensor in (x, y):

            def once(gradient, tensor=tensor, seen=seen, handles=handles):
                seen.append("once")
                handles[0 if tensor.is_leaf else 2].remove()
                tensor.register_hook(lambda gradient: seen.append("added"))

            handles += [tensor.register_hook(once), tensor.register_hook(lambda g, seen=seen: seen.append("always"))]
        for _ in range(3):
            y.sum().backward(retain_graph=True)
            seen.append("|")
        results.append(seen)
    assert results[0] == results[1]


class Halves(Function):
    """Two results of one operation."""

    @staticmethod
    def forward(ctx, x):
        return x / 2, x / 2

    @staticmethod
    def backward(ctx, first, second):
        return (first + second) / 2


def test_a_hook_may_put_a_hook_on_another_output_of_the_same_operation():
    x, seen = convcore.tensor([1.0], requires_grad=True), []
    a, b = Halves.apply(x)
    handle = a.register_hook(lambda gradient: b.register_hook(seen.append) and None)
    (a + b).backward(retain_graph=True)
    assert seen == []
    handle.remove()
    (a + b).backward()
    assert [number(g) for g in seen] == [[1.0]]
    assert number(x.grad) == [2.0]


@pytest.mark.parametrize("place", ["leaf", "middle"])
def test_what_a_failing_hook_leaves_behind(place):
    """Leaves that were complete have their gradients, others nothing; the mode is as before, and all works again."""
    results = []
    for library in LIBRARIES:
        x = library.tensor([2.0], requires_grad=True)
        early, late = library.tensor([3.0], requires_grad=True), library.tensor([5.0], requires_grad=True)
        middle = x * late
        out = middle * early + late
        handle = (late if place == "leaf" else middle).register_hook(lambda gradient: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            out.sum().backward(retain_graph=True)
        seen = [number(leaf.grad) for leaf in (x, early, late)] + [library.is_grad_enabled()]
        handle.remove()
        out.sum().backward(retain_graph=True)
        results.append(seen + [number(leaf.grad) for leaf in (x, early, late)])
    assert results[0] == results[1]


def test_backward_inside_a_hook():
    for library in LIBRARIES:
        x, other = library.tensor([2.0], requires_grad=True), library.tensor([3.0], requires_grad=True)
        y = x * x

        def hook(gradient, other=other, x=x, library=library):
            with library.enable_grad():
                inner = (other * other * x).sum()
            inner.backward()

        y.register_hook(hook)
        (y * 2).sum().backward()
        assert (number(x.grad), number(other.grad)) == ([17.0], [12.0])


# What was freed, and how often


def test_a_freed_tensor_can_still_be_an_input_of_grad():
    for library in LIBRARIES:
        x = library.tensor([3.0], requires_grad=True)
        y = x * x
        y.retain_grad()
        y.backward()
        (found,) = library.autograd.grad(y * 5, y)
        assert (number(found), number(y.grad)) == ([5.0], [6.0])


def test_a_part_that_was_freed_behind_an_input_is_refused():
    x, seen = convcore.tensor([3.0], requires_grad=True), []
    x.register_hook(seen.append)
    y = x * x
    y.backward()
    with pytest.raises(GraphError, match="was used before and freed"):
        convcore.autograd.grad(y * 5 + x, [y, x])
    assert len(seen) == 1  # no part of the sum was shown


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True:UserWarning")
@pytest.mark.parametrize("retain_graph", [None, False, True])
@pytest.mark.parametrize("create_graph", [False, True])
def test_when_the_graph_is_kept(retain_graph, create_graph):
    results = []
    for library in LIBRARIES:
        seen: list[Any] = []
        for through_grad in (False, True):
            x = library.tensor([3.0], requires_grad=True)
            y = (x * x).sum()
            settings = {"retain_graph": retain_graph, "create_graph": create_graph}
            for _ in range(2):
                try:
                    if through_grad:
                        seen.append(number(library.autograd.grad(y, x, **settings)[0]))
                    else:
                        y.backward(**settings)
                        seen.append(number(x.grad))
                except RuntimeError:
                    seen.append("refused")
        results.append(seen)
    assert results[0] == results[1]


def test_what_grad_refuses():
    x = convcore.ones(1, requires_grad=True)
    with pytest.raises(GraphError, match="grad: inputs must name at least one tensor, got none"):
        convcore.autograd.grad(x * 2, [])
    with pytest.raises(GraphError, match=r"one gradient \(or None\) for each of the 1 outputs, got 2 grad_outputs"):
        convcore.autograd.grad(x * 2, x, [None, None])


# Threads


@pytest.fixture
def frequent_switches():
    """Threads that take turns as often as Python lets them."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize("size", [3, 20_000])
def test_threads_may_share_leaves(size):
    leaves = [convcore.ones(size, requires_grad=True) for _ in range(4)]
    seen: list[Any] = []
    leaves[0].register_hook(lambda gradient: seen.append(1))
    repeats, workers = 60, 4

    def work():
        for _ in range(repeats):
            (leaves[0] * 2 + leaves[1] + leaves[2] * leaves[3]).sum().backward()

    for _ in range(3):
        for leaf in leaves:
            leaf.grad = None
        seen.clear()
        threads = [threading.Thread(target=work) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == repeats * workers
        for leaf, share in zip(leaves, (2, 1, 1, 1), strict=True):
            np.testing.assert_array_equal(number(leaf.grad), np.full(size, share * repeats * workers))
