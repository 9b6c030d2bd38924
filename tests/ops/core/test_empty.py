"""Tensors without elements: the norms take those that PyTorch takes, and their parameters get gradients of zero."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import convcore as cc
from convcore.errors import ShapeError

SHAPES = [
    (0,), (0, 0), (0, 3), (3, 0), (0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5),
    (2, 3, 4, 0), (0, 3, 2, 2, 2), (2, 3, 0, 2, 2),
]  # fmt: skip


def leaves(library: Any, *shapes: tuple[int, ...] | None) -> list[Any]:
    return [None if s is None else library.ones(s, dtype=library.float64).requires_grad_() for s in shapes]


def batch(library: Any, name: str, shape, statistics: bool, affine: bool, training: bool) -> list[Any]:
    """The result of batch or instance norm, and the gradients of what trains."""
    channels = (shape[1],) if len(shape) > 1 else (0,)
    mean, var = (library.ones(channels, dtype=library.float64) if statistics else None for _ in range(2))
    x, weight, bias = leaves(library, shape, *[channels if affine else None] * 2)
    out = getattr(library.nn.functional, name)(x, mean, var, weight, bias, training)
    out.sum().backward()
    if library is cc and statistics:  # torch's instance norm makes them NaN, the mean over no images
        assert all((t == 1).all() for t in (mean, var)), "nothing was seen"
    return [out, *[t.grad for t in (x, weight, bias) if t is not None]]


def compare(ours: list[Any], theirs: list[Any]) -> None:
    assert [tuple(t.shape) for t in ours] == [tuple(t.shape) for t in theirs]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_torch_takes_is_taken(name, shape):
    taken = 0
    for settings in itertools.product([True, False], [True, False], [True, False]):
        try:
            expected = batch(torch, name, shape, *settings)
        except (IndexError, RuntimeError, ValueError):  # IndexError where it looks for weight[0]
            continue
        compare(batch(cc, name, shape, *settings), expected)
        taken += 1
    assert taken or (name, len(shape)) == ("instance_norm", 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_channels_have_weights_without_elements(shape):
    for training in (True, False):
        x, weight = leaves(cc, shape, (shape[1] if len(shape) > 1 else 0,))
        out = cc.nn.functional.batch_norm(x, None, None, weight, weight, training)
        out.sum().backward()
        assert out.shape == x.grad.shape == shape
        np.testing.assert_array_equal(weight.grad.numpy(), np.zeros(weight.shape))


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
@pytest.mark.parametrize("shape", SHAPES)
def test_norms_over_the_last_axes(name, shape):
    for first in range(len(shape)):
        sizes = shape[first:]
        results = []
        for library in (cc, torch):
            x, weight = leaves(library, shape, sizes)
            out = getattr(library.nn.functional, name)(x, sizes, weight)
            out.sum().backward()
            results.append([out, x.grad, weight.grad])
        compare(*results)


@pytest.mark.parametrize("shape", [(3,), ()])
@pytest.mark.parametrize("training", [True, False])
def test_one_axis_is_enough_only_without_elements(shape, training):
    with pytest.raises(ShapeError, match=r"input must have a batch axis and a channel axis.*got shape"):
        cc.nn.functional.batch_norm(cc.ones(shape), None, None, training=training)


def labels(library: Any, count: int) -> Any:
    return library.zeros(count, dtype=library.int64)


CALLS = {
    "var of nothing, corrected upwards": lambda lib: lib.zeros(0, 2).var(correction=-1),
    "std of nothing, corrected upwards": lambda lib: lib.zeros(0, 2).std(0, correction=-2),
    "scatter of nothing": lambda lib: lib.zeros(0, 5).scatter(0, lib.zeros(0, 2).long(), lib.zeros(0, 2), reduce="add"),
    "prelu without channels": lambda lib: lib.nn.functional.prelu(lib.zeros(5, 0, 5), lib.zeros(0)),
    "attention between no words": lambda lib: lib.nn.MultiheadAttention(4, 2)(*[lib.zeros(0, 2, 4)] * 3)[0],
    "attention in no images": lambda lib: lib.nn.MultiheadAttention(4, 2)(*[lib.zeros(3, 0, 4)] * 3)[0],
    "logits of no features": lambda lib: lib.nn.functional.linear_cross_entropy(
        lib.zeros(3, 0), lib.zeros(4, 0), labels(lib, 3), linear_bias=lib.arange(4.0)
    ),
}


@pytest.mark.filterwarnings("ignore:var():UserWarning", "ignore:std():UserWarning", "ignore:The reduce:UserWarning")
@pytest.mark.parametrize("name", CALLS)
def test_what_there_is_to_compute_is_that_of_torch(name):
    ours, theirs = (CALLS[name](library).detach().numpy() for library in (cc, torch))
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("p", [-1, -0.5, -2.0])
def test_a_norm_without_a_value_for_nothing(p):
    with pytest.raises(ShapeError, match=rf"p = {p} needs at least one element, got shape \(2, 0\)"):
        cc.zeros(2, 0).norm(p, 1)
    assert cc.zeros(0, 2).norm(p, 1).shape == (0,)
