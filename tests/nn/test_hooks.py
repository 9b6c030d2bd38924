"""Hooks: the same scenarios in convcore and torch leave the same log."""

import copy
import pickle

import numpy as np
import pytest
import torch

import convcore as cc
from convcore.errors import GraphError


class Log(list):
    """What the hooks of a scenario saw: names and numbers."""

    def see(self, name, *values):
        self.append((name, *[self._plain(v) for v in values]))

    def _plain(self, value):
        if isinstance(value, (tuple, list)):
            return tuple(self._plain(v) for v in value)
        if isinstance(value, dict):
            return {k: self._plain(v) for k, v in value.items()}
        return [round(float(v), 6) for v in value.detach().numpy().ravel()] if hasattr(value, "detach") else value


def scenario(library):
    """A module with all kinds of hooks, in a library; the log of a forward and a backward."""
    nn, log = library.nn, Log()

    class Net(nn.Module):
        def forward(self, a, b=None, scale=1.0):
            return a * scale + (0 if b is None else b), a - 1

    net = nn.Sequential(nn.Linear(2, 2, bias=False))
    net.two = Net()
    with library.no_grad():
        net[0].weight.copy_(library.tensor([[1.0, 2.0], [-1.0, 0.5]]))
    two = net.two
    two.register_forward_pre_hook(lambda m, args: log.see("pre", args))
    two.register_forward_pre_hook(lambda m, args: (args[0] * 2, *args[1:]), prepend=True)
    two.register_forward_pre_hook(
        lambda m, args, kwargs: (args, {**kwargs, "scale": kwargs["scale"] + 1}), with_kwargs=True
    )
    two.register_forward_hook(lambda m, args, out: log.see("post", args, out))
    two.register_forward_hook(lambda m, args, kwargs, out: (out[0] + 1, out[1]), with_kwargs=True, prepend=True)
    two.register_full_backward_pre_hook(lambda m, grads: log.see("backward pre", grads))
    two.register_full_backward_pre_hook(lambda m, grads: (grads[0] * 3, grads[1]), prepend=True)
    two.register_full_backward_hook(lambda m, grad_in, grad_out: log.see("backward", grad_in, grad_out))
    two.register_full_backward_hook(lambda m, grad_in, grad_out: (grad_in[0] * 10, *grad_in[1:]))
    net[0].register_full_backward_hook(lambda m, grad_in, grad_out: log.see("linear", grad_in, grad_out))

    x = library.tensor([[1.0, -2.0]])  # requires no gradient: the first layer has none to give back
    hidden = net[0](x)
    first, second = two(hidden, library.ones(1, 2), scale=3.0)
    (first * first + second).sum().backward()
    log.see("weight", net[0].weight.grad)
    return log


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_all_kinds_of_hooks_are_torchs():
    assert scenario(cc) == scenario(torch)


@pytest.mark.parametrize("library", [cc, torch])
def test_handles_remove_hooks(library):
    module, calls = library.nn.Identity(), []
    first = module.register_forward_hook(lambda *args: calls.append("first"))
    with module.register_forward_hook(lambda *args: calls.append("second")):
        module(1)
    module(1)
    first.remove()
    first.remove()
    module(1)
    assert calls == ["first", "second", "first"]


@pytest.mark.parametrize("library", [cc, torch])
def test_always_call(library):
    class Fails(library.nn.Module):
        def forward(self, x):
            raise ValueError("no")

    module, calls = Fails(), []
    module.register_forward_hook(lambda *args: calls.append("only after success"))
    module.register_forward_hook(lambda m, args, out: calls.append(out), always_call=True)
    with pytest.raises(ValueError, match="no"):
        module(1)
    assert calls == [None]

    def broken(*args):
        raise KeyError("mine")

    module.register_forward_hook(broken, always_call=True)
    with pytest.warns(UserWarning, match="always_call"), pytest.raises(ValueError, match="no"):
        module(1)


def test_hooks_that_return_what_they_may_not():
    module = cc.nn.Identity()
    with (
        module.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True),
        pytest.raises(RuntimeError, match=r"must return None or a tuple \(args, kwargs\), got 3"),
    ):
        module(1)
    x = cc.ones(2, requires_grad=True)
    with (
        module.register_full_backward_hook(lambda m, grad_in, grad_out: (None, None)),
        pytest.raises(GraphError, match="returned 2 gradients for grad_input, which has 1"),
    ):
        module(x).sum().backward()
    linear = cc.nn.Linear(2, 1)
    with (
        linear.register_full_backward_hook(lambda m, grad_in, grad_out: grad_out),
        pytest.raises(GraphError, match="cannot replace the gradients of inputs that do not require any"),
    ):
        linear(cc.ones(1, 2)).sum().backward()
    with (
        module.register_full_backward_hook(lambda *args: None),
        pytest.warns(UserWarning, match="backward hooks are not called, because its output is neither"),
    ):
        module([x])


def test_a_backward_hook_may_return_the_missing_gradients_of_inputs_that_require_none():
    """A hook that scales all gradients leaves None as it is, and may meet nothing else."""
    linear, seen = cc.nn.Linear(2, 1), []

    def scale(module, grad_in, grad_out):
        seen.append(grad_in)
        return tuple([None if g is None else g * 0.5 for g in grad_in])

    linear.register_full_backward_hook(scale)
    linear(cc.ones(1, 2)).sum().backward()
    assert seen == [(None,)]
    assert linear.weight.grad is not None
    np.testing.assert_array_equal(linear.weight.grad.numpy(), [[1, 1]])


def shift(module, args, out):
    return out + 1


def test_hooks_are_copied_and_pickled():
    module = cc.nn.Linear(2, 2)
    module.register_forward_hook(shift)
    expected = module(cc.ones(1, 2)).detach().numpy()
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        np.testing.assert_array_equal(other(cc.ones(1, 2)).detach().numpy(), expected)
        handle = other.register_forward_hook(shift)
        np.testing.assert_allclose(other(cc.ones(1, 2)).detach().numpy(), expected + 1)
        handle.remove()
    np.testing.assert_array_equal(module(cc.ones(1, 2)).detach().numpy(), expected)
