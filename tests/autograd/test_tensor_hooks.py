"""Hooks of tensors, which see their gradients and may replace them, against torch."""

import numpy as np
import pytest
import torch

import convcore as cc
from convcore.errors import DTypeError, GraphError, ShapeError


def run(library, place, hook):
    """Gradients of a small program with a hook somewhere, and what the hook saw."""
    x = library.tensor([1.0, -2.0, 3.0], requires_grad=True)
    seen = []
    y = x * 2
    z = y.relu()
    tensors = {"leaf": x, "middle": y, "end": z}

    def watch(gradient):
        seen.append(gradient.numpy().copy())
        return hook(gradient)

    handle = tensors[place].register_hook(watch)
    (z * z + y + x).sum().backward(retain_graph=True)
    (z.sum() + x.sum()).backward(retain_graph=True)
    handle.remove()
    handle.remove()
    x.sum().backward()
    return [x.grad.numpy(), *seen]


@pytest.mark.parametrize("place", ["leaf", "middle", "end"])
@pytest.mark.parametrize("hook", [lambda g: None, lambda g: g * 10, lambda g: g.clamp(max=1.0)])
def test_hooks_are_torchs(place, hook):
    ours, theirs = run(cc, place, hook), run(torch, place, hook)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_several_hooks_and_a_hook_of_fused_layers():
    results = []
    for library in (cc, torch):
        rng = np.random.default_rng(0)
        x = library.tensor(rng.standard_normal((2, 3, 4, 4)), requires_grad=True)
        y = library.nn.functional.batch_norm(x, None, None, training=True)
        y.register_hook(lambda g: g + 1)
        y.register_hook(lambda g: g * g)
        out = library.nn.functional.max_pool2d(library.nn.functional.relu(y), 2)
        (out * out).sum().backward()
        results.append(x.grad.numpy())
    np.testing.assert_allclose(*results, rtol=1e-9, atol=1e-10)


def test_what_hooks_may_not_do():
    with pytest.raises(GraphError, match="register_hook: this tensor does not require a gradient"):
        cc.ones(2).register_hook(print)
    for wrong, error, message in (
        (lambda g: 1.0, DTypeError, "must return a tensor or None, returned float"),
        (lambda g: g[:1], ShapeError, r"of shape \(2,\) and dtype float32, returned \(1,\) float32"),
    ):
        x = cc.ones(2, requires_grad=True)
        x.register_hook(wrong)
        with pytest.raises(error, match=message):
            x.sum().backward()
